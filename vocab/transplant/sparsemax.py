"""Sparsemax of many rows at once, exact, without sorting them whole (Martins & Astudillo 2016, algorithm 1).

The threshold of a part of a row is never above the whole row's: taking the largest of every few scores gives a lower
bound in one fast pass, few scores lie above it, and among those few the exact threshold is found.
"""

from __future__ import annotations

import numpy as np


def sparsemax(scores: np.ndarray, fold: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project each row onto the simplex: w = max(z - tau, 0) with tau such that w sums to 1.

    Args:
        scores: float32 (rows, n), n >= 1.
        fold: halvings of the row before the bound is looked for; changes the time, never the result.

    Returns:
        CSR parts of the weights: indptr (rows + 1,), indices, data float32.
    """
    few = scores
    for _ in range(fold):
        if few.shape[1] < 2:
            break
        half = (few.shape[1] + 1) // 2
        folded = few[:, :half].copy()
        np.maximum(folded[:, : few.shape[1] - half], few[:, half:], out=folded[:, : few.shape[1] - half])
        few = folded
    # One step low, so that rounding loses nothing; what is not above the exact threshold goes afterwards.
    bound = np.nextafter(_thresholds(few).astype(np.float32), np.float32(-np.inf))
    flat = np.flatnonzero(scores > bound[:, None])
    row, column = np.divmod(flat, scores.shape[1])
    value = scores.ravel()[flat].astype(np.float64)
    counts = np.bincount(row, minlength=len(scores))
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.full((len(scores), int(counts.max(initial=1))), -1e9)
    padded[row, place] = value
    weight = value - _thresholds(padded)[row]
    keep = weight > 0
    lengths = np.bincount(row[keep], minlength=len(scores))
    return np.concatenate([[0], np.cumsum(lengths)]), column[keep], weight[keep].astype(np.float32)


def _thresholds(scores: np.ndarray) -> np.ndarray:
    """Find the threshold of each row by sorting it: float64 (rows,)."""
    ordered = np.sort(scores, axis=1)[:, ::-1].astype(np.float64)
    sums = np.cumsum(ordered, axis=1)
    support = np.sum(1 + np.arange(1, ordered.shape[1] + 1) * ordered > sums, axis=1)
    return (sums[np.arange(len(ordered)), support - 1] - 1) / support
