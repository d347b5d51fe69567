"""Sparsemax of many rows at once, exact, without sorting (Martins & Astudillo 2016, equation 4).

The threshold is found as Michelot (1986) does: the mean excess of what is above it, again and again, a bound that only
rises. The threshold of a part of a row is never above the whole row's, so the first rounds need only look at the
largest of every few scores; few scores lie above the bound that they give, and the last rounds are made among those.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vocab.device import back

_ROUNDS = 3
_SLACK = 1e-4


def sparsemax(scores: Any, fold: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project each row onto the simplex: w = max(z - tau, 0) with tau such that w sums to 1.

    Args:
        scores: float32 (rows, n), n >= 1, finite; an array, or a tensor on any device.
        fold: of how many scores the first rounds take the largest; changes the time, never the result.

    Returns:
        CSR parts of the weights: indptr (rows + 1,), indices, data float32.
    """
    rows, size = scores.shape
    width = size // fold
    few = scores
    if width:  # what is left over is not looked at: it could only raise the bound
        few = scores[:, : width * fold].reshape(rows, fold, width)
        few = few.max(axis=1) if isinstance(few, np.ndarray) else few.amax(dim=1)
    find = _above if isinstance(scores, np.ndarray) else _above_with_torch
    flat, value = find(scores, few)
    starts = np.searchsorted(flat, size * np.arange(rows + 1))
    while True:
        lengths = np.diff(starts)
        weight = value - np.repeat((np.add.reduceat(value, starts[:-1]) - 1) / lengths, lengths)
        keep = weight > 0
        if keep.all():
            return starts, flat - np.repeat(size * np.arange(rows), lengths), weight.astype(np.float32)
        starts = np.append(0, np.cumsum(np.add.reduceat(keep, starts[:-1], dtype=np.int64)))
        flat, value = flat[keep], value[keep]


def _above(scores: np.ndarray, few: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in the flattened scores, and scores float64, of all that may be above the threshold, found in some."""
    bound = few.max(axis=1) - np.float32(1)
    ones = np.ones(few.shape[1], np.float32)
    for _ in range(_ROUNDS):
        above = (few > bound[:, None]).astype(np.float32)
        bound = (np.einsum("ij,ij->i", few, above) - np.float32(1)) / (above @ ones)
    # Somewhat low, so that rounding loses nothing; what is not above the exact threshold goes afterwards.
    bound -= np.float32(_SLACK) * (1 + np.abs(bound))
    flat = np.flatnonzero(scores > bound[:, None])
    return flat, scores.ravel()[flat].astype(np.float64)


def _above_with_torch(scores: Any, few: Any) -> tuple[np.ndarray, np.ndarray]:
    """As `_above`, on the scores' device."""
    bound = few.amax(dim=1) - 1
    for _ in range(_ROUNDS):
        above = (few > bound[:, None]).to(few.dtype)
        bound = ((few * above).sum(dim=1) - 1) / above.sum(dim=1)
    bound -= _SLACK * (1 + bound.abs())
    flat = (scores > bound[:, None]).flatten().nonzero()[:, 0]
    return back(flat), back(scores.flatten()[flat]).astype(np.float64)
