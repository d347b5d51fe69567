"""Sparsemax of many rows at once, exact, without sorting (Martins & Astudillo 2016, equation 4).

The threshold is found as Michelot (1986) does: the mean excess of what is above it, again and again, a bound that only
rises. The threshold of a part of a row is never above the whole row's, so the first rounds need only look at the
largest of every few scores; few scores lie above the bound that they give, and the last rounds are made among those.
"""

from __future__ import annotations

import numpy as np

_ROUNDS = 3


def sparsemax(scores: np.ndarray, fold: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project each row onto the simplex: w = max(z - tau, 0) with tau such that w sums to 1.

    Args:
        scores: float32 (rows, n), n >= 1, finite.
        fold: of how many scores the first rounds take the largest; changes the time, never the result.

    Returns:
        CSR parts of the weights: indptr (rows + 1,), indices, data float32.
    """
    rows, size = scores.shape
    width = size // fold
    few = scores
    if width:
        largest = scores[:, : width * fold].reshape(rows, fold, width).max(axis=1)
        few = np.concatenate([largest, scores[:, width * fold :]], axis=1)
    bound = few.max(axis=1) - np.float32(1)
    for _ in range(_ROUNDS):
        above = few > bound[:, None]
        bound = (np.einsum("ij,ij->i", few, above) - np.float32(1)) / np.count_nonzero(above, axis=1)
    # Somewhat low, so that rounding loses nothing; what is not above the exact threshold goes afterwards.
    bound = (bound - 1e-4 * (1 + np.abs(bound))).astype(np.float32)
    flat = np.flatnonzero(scores > bound[:, None])
    row, value = flat // size, scores.ravel()[flat].astype(np.float64)
    column = flat - row * size
    while True:
        lengths = np.bincount(row, minlength=rows)
        weight = value - ((np.bincount(row, value, rows) - 1) / lengths)[row]
        keep = weight > 0
        if keep.all():
            return np.concatenate([[0], np.cumsum(lengths)]), column, weight.astype(np.float32)
        row, column, value = row[keep], column[keep], value[keep]
