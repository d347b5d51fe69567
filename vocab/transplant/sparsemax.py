"""Sparsemax of many rows at once, exact, without sorting them whole (Martins & Astudillo 2016, algorithm 1)."""

from __future__ import annotations

import numpy as np


def sparsemax(scores: np.ndarray, candidates: int = 256) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project each row onto the simplex: w = max(z - tau, 0) with tau such that w sums to 1.

    Only the `candidates` largest scores of a row are sorted. The threshold they give is the row's own if at least one
    of them stays outside the support; where that does not hold, the row is done again with four times as many.

    Args:
        scores: float32 (rows, n), n >= 1.
        candidates: how many to sort at first.

    Returns:
        CSR parts of the weights: indptr (rows + 1,), indices, data float32.
    """
    threshold = _thresholds(scores, candidates)
    # Compared in float32, one step low, so that nothing is lost; what is not above the exact threshold goes after.
    low = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf))
    flat = np.flatnonzero(scores > low[:, None])
    row, column = np.divmod(flat, scores.shape[1])
    weight = scores.ravel()[flat].astype(np.float64) - threshold[row]
    keep = weight > 0
    row, column, weight = row[keep], column[keep], weight[keep]
    lengths = np.bincount(row, minlength=len(scores))
    return np.concatenate([[0], np.cumsum(lengths)]), column, weight.astype(np.float32)


def _thresholds(scores: np.ndarray, candidates: int) -> np.ndarray:
    number, width = scores.shape
    size = min(candidates, width)
    top = np.partition(scores, width - size, axis=1)[:, width - size :] if size < width else scores.copy()
    top.sort(axis=1)
    top = top[:, ::-1].astype(np.float64)
    sums = np.cumsum(top, axis=1)
    support = np.sum(1 + np.arange(1, size + 1) * top > sums, axis=1)
    threshold = (sums[np.arange(number), support - 1] - 1) / support
    if size < width:
        unsure = np.flatnonzero(support == size)
        if len(unsure):
            threshold[unsure] = _thresholds(scores[unsure], 4 * candidates)
    return threshold
