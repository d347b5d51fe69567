"""Rényi efficiency at 2.5: how evenly the pieces are used (Zouhar et al. 2023)."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Resampled

ALPHA = 2.5


def measure(measured: Measured) -> Resampled | None:
    """Divide the Rényi entropy of the tokens by the logarithm of how many different ones occur."""
    used, places = np.unique(measured.ids, return_inverse=True)
    if len(used) < 2:
        return None
    counts = np.bincount(places).astype(np.float64)

    def resample(edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
        from scipy.sparse import csr_matrix

        rows = np.append(measured.starts[edges], measured.starts[-1])
        table = csr_matrix((np.ones(len(places)), places, rows), shape=(len(edges), len(used)))
        table.sum_duplicates()
        return efficiency((table.T @ weights.T).T, len(used))

    return Resampled(float(efficiency(counts[None], len(used))[0]), resample)


def efficiency(counts: np.ndarray, types: int) -> np.ndarray:
    """Compute log2(sum p^a) / (1 - a) / log2(types), section 4.

    Args:
        counts: (draws, tokens), how often each token occurs.
        types: how many different tokens there are.

    Returns:
        (draws,), 1 where all tokens are equally frequent.
    """
    shares = counts / counts.sum(axis=1, keepdims=True)
    return np.log2((shares**ALPHA).sum(axis=1)) / (1 - ALPHA) / np.log2(types)


SPEC = Metric(
    name="renyi_efficiency",
    summary="Rényi entropy of the tokens (alpha 2.5) / log2 of the number of different tokens",
    unit="share of the most possible",
    better="higher",
    paper="Zouhar et al. 2023, Tokenization and the Noiseless Channel, section 4",
    measure=measure,
)
