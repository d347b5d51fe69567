"""Values with intervals: the text is drawn again, block by block, the same draws for all that is compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vocab.compare.metric import Ratio, Resampled, divide
from vocab.compare.text import BLOCKS

DRAWS = 500


@dataclass(frozen=True)
class Estimate:
    """A value and its values on resampled texts.

    Attributes:
        value: on the text as it is; NaN where it is not defined.
        draws: float64 (draws,); empty where there are none.
        given: an interval that came from elsewhere.
    """

    value: float
    draws: np.ndarray
    given: tuple[float, float] | None = None

    @property
    def interval(self) -> list[float]:
        """Percentile interval of 95 %, [low, high]; NaN without draws."""
        return list(self.given) if self.given is not None else _percentiles(self.draws)

    def less(self, other: Estimate) -> list[float]:
        """Difference to another value on the same text, paired draw by draw: [difference, low, high]."""
        paired = len(self.draws) > 0 and len(self.draws) == len(other.draws)
        return [self.value - other.value, *_percentiles(self.draws - other.draws if paired else np.empty(0))]


def estimate(result: Ratio | Resampled, seed: int) -> Estimate:
    """Compute a metric, and resample it.

    Args:
        result: what the metric measured.
        seed: seed of the draws.
    """

    def weights(blocks: int, stream: int = 0) -> np.ndarray:
        return _weights(blocks, seed, stream)

    if isinstance(result, Resampled):
        draws = np.empty(0) if result.resample is None else result.resample(weights)
        return Estimate(result.value, draws, result.interval)
    value = float(divide(result.above.sum(keepdims=True), result.below.sum(keepdims=True))[0])
    number = len(result.below)
    edges = np.linspace(0, number, min(number, BLOCKS), endpoint=False).astype(np.int64)
    above, below = (np.add.reduceat(part.astype(np.float64), edges) for part in (result.above, result.below))
    drawn = weights(len(edges))
    return Estimate(value, divide(drawn @ above, drawn @ below))


def _percentiles(draws: np.ndarray) -> list[float]:
    draws = draws[np.isfinite(draws)]
    return [float(x) for x in np.quantile(draws, [0.025, 0.975])] if len(draws) else [np.nan, np.nan]


@lru_cache(maxsize=8)
def _weights(blocks: int, seed: int, stream: int) -> np.ndarray:
    """Draw how often each block stands in each resampled text: (draws, blocks)."""
    rng = np.random.default_rng([seed, stream])
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS).astype(np.float64)
    weights.setflags(write=False)
    return weights
