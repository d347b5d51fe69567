"""Gini coefficient of what the same content costs in different languages (Foroutan et al. 2025)."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Resampled, Weights


def measure(measured: Measured) -> Resampled | None:
    """Compute the Gini coefficient of tokens by language; None with fewer than two languages beside the reference.

    A language's cost is the tokens of its text by those of the other side; the other sides, taken as one language,
    cost 1.
    """
    if len(measured.parallel) < 2:
        return None
    sides = list(measured.parallel.values())

    def costs(weights: list[np.ndarray]) -> np.ndarray:
        found = [(w @ first) / (w @ second) for w, (first, second) in zip(weights, sides, strict=True)]
        return np.stack([*found, np.ones_like(found[0])], axis=1)

    def resample(draw: Weights) -> np.ndarray:
        return gini(costs([draw(len(first), stream) for stream, (first, _) in enumerate(sides)]))

    return Resampled(float(gini(costs([np.ones((1, len(first))) for first, _ in sides]))[0]), resample)


def gini(costs: np.ndarray) -> np.ndarray:
    """Compute the mean absolute difference of all pairs, by twice the mean.

    Args:
        costs: (draws, languages), positive.

    Returns:
        (draws,), 0 where all cost the same.
    """
    apart = np.abs(costs[:, :, None] - costs[:, None, :]).mean(axis=(1, 2))
    return apart / (2 * costs.mean(axis=1))


SPEC = Metric(
    name="gini",
    summary="Gini coefficient of the languages' costs (tokens / tokens of the other side), the other side's 1 included",
    unit="0 is even, 1 all on one",
    better="lower",
    paper="Foroutan et al. 2025, Parity-Aware Byte-Pair Encoding (Gini of token costs)",
    measure=measure,
)
