"""The learning rate as a share of its peak: warm-up, then cosine, linear, WSD or constant."""

from __future__ import annotations

import math

DECAY_SHARE = 0.2  # share of the steps in which WSD falls (Hägele et al. 2024 find 10 to 20 % enough)


def factor(schedule: str, step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate that a step uses.

    Args:
        schedule: `cosine`, `linear` (both fall to 0), `wsd` (stable, then a fall as 1 - sqrt), `constant`.
        step: index of the step, from 0.
        steps: number of all steps.
        warmup: share of the steps in which the rate rises from 0.

    Returns:
        A number in (0, 1].
    """
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0
    if step < rising:
        return (step + 1) / rising
    left = (steps - step) / max(1, steps - rising)
    if schedule == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    if schedule == "linear":
        return left
    if schedule == "wsd":
        falling = max(1, round(DECAY_SHARE * steps))
        return 1.0 if steps - step > falling else 1 - math.sqrt(1 - (steps - step) / (falling + 1))
    if schedule == "constant":
        return 1.0
    raise ValueError(f"unknown schedule {schedule!r}")
