"""The learning rate as a share of its peak: warm-up, then cosine, linear, WSD or constant.

A model that was trained before has its rate raised again and then lowered ("re-warming" and "re-decaying": Gupta et al.
2023; Ibrahim et al. 2024, section 4.1): `cosine` with a warm-up does that, with `min_lr` as the floor. WSD (warm-up,
stable, decay: Hu et al. 2024, MiniCPM, section 4; Hägele et al. 2024) stays at the peak, so that one long training can
be brought to an end from any of its checkpoints: see `decay` below.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapt.pretrain.options import Pretrain


def rate_share(options: Pretrain, step: int, steps: int, decay: tuple[int, int] | None = None) -> float:
    """Share of the peak rate that a step uses, as the settings say; arguments and result as of `factor`."""
    return factor(options.schedule, step, steps, options.warmup, floor=options.min_lr, decay=decay,
                  decay_share=options.decay_share, shape=options.decay_shape)  # fmt: skip


def factor(
    schedule: str,
    step: int,
    steps: int,
    warmup: float,
    *,
    floor: float = 0.0,
    decay: tuple[int, int] | None = None,
    decay_share: float = 0.2,
    shape: str = "1-sqrt",
) -> float:
    """Share of the peak rate that a step uses.

    Args:
        schedule: `cosine`, `linear` (both fall from the warm-up's end to the floor), `wsd` (stable, then a fall),
            `constant`.
        step: index of the step, from 0.
        steps: number of all steps.
        warmup: share of the steps in which the rate rises from 0.
        floor: share of the peak that a fall ends at.
        decay: (first, length) of WSD's fall, in steps: step `first` is the first below the peak, step `first + length`
            would be the first at the floor. To end a training early from its checkpoint of step s, over n steps, give
            `(s, n)` with the `steps` it had (they set the warm-up) and go on from s to s + n. None: the last
            `decay_share` of the steps.
        decay_share: share of the steps in which WSD falls (Hägele et al. 2024, section 3: 10 to 20 % are enough).
        shape: of WSD's fall: `1-sqrt` (Hägele et al. 2024: the best of theirs), `linear` or `cosine`.

    Returns:
        A number in (0, 1].
    """
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    if schedule == "wsd":
        length = max(1, round(decay_share * steps))
        first, length = decay or (steps - length, length)
        if step < first:
            return 1.0
        fallen = (step - first + 1) / (length + 1)
    elif schedule in ("cosine", "linear"):
        fallen, shape = (step - rising) / max(1, steps - rising), schedule
    else:
        raise ValueError(f"unknown schedule {schedule!r}")
    return floor + (1 - floor) * max(0.0, 1 - _fall(shape, min(1.0, fallen)))


def _fall(shape: str, done: float) -> float:
    """Share of the way down after a share of the fall's steps."""
    if shape == "linear":
        return done
    if shape == "cosine":
        return 0.5 * (1 - math.cos(math.pi * done))
    if shape == "1-sqrt":
        return math.sqrt(done)
    raise ValueError(f"unknown shape {shape!r}")
