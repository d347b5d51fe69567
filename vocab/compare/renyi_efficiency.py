"""Rényi efficiency at 2.5: how evenly the pieces are used (Zouhar et al. 2023)."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Resampled, Weights

ALPHA = 2.5
_COLUMNS = 1024


def measure(measured: Measured) -> Resampled | None:
    """Divide the Rényi entropy of the tokens by the logarithm of how many different ones occur."""
    used = measured.used
    if len(used) < 2:
        return None

    def resample(draw: Weights) -> np.ndarray:
        # In float32, added up in float64: a draw's seventh digit says nothing.
        counts = measured.counts[:, used].tocsc().astype(np.float32)
        weights = draw(counts.shape[0])
        single = weights.astype(np.float32)
        powers = np.zeros(len(weights))
        for start in range(0, len(used), _COLUMNS):
            part = single @ counts[:, start : start + _COLUMNS].toarray()
            powers += (part * part * np.sqrt(part)).sum(axis=1, dtype=np.float64)
        return _efficiency(powers / (weights @ measured.tokens) ** ALPHA, len(used))

    return Resampled(float(efficiency(measured.frequency[used].astype(np.float64))), resample)


def efficiency(counts: np.ndarray) -> float:
    """Compute log2(sum p^a) / (1 - a) / log2(types), section 4.

    Args:
        counts: (tokens,), how often each token occurs; none is 0.

    Returns:
        1 where all tokens are equally frequent.
    """
    return float(_efficiency(((counts / counts.sum()) ** ALPHA).sum(), len(counts)))


def _efficiency(power: np.ndarray, types: int) -> np.ndarray:
    """From the sum of p^a and the number of different tokens."""
    return np.asarray(np.log2(power) / (1 - ALPHA) / np.log2(types))


SPEC = Metric(
    name="renyi_efficiency",
    summary="Rényi entropy of the tokens (alpha 2.5) / log2 of the number of different tokens",
    unit="share of the most possible",
    better="higher",
    paper="Zouhar et al. 2023, Tokenization and the Noiseless Channel, section 4",
    measure=measure,
)
