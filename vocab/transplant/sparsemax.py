"""Sparsemax of many rows at once, exact, without sorting them whole (Martins & Astudillo 2016, algorithm 1).

The threshold of a part of a row is never above the whole row's: taking the largest of every few scores gives a lower
bound in one fast pass, few scores lie above it, and among those few the exact threshold is found.
"""

from __future__ import annotations

import numpy as np


def sparsemax(scores: np.ndarray, fold: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project each row onto the simplex: w = max(z - tau, 0) with tau such that w sums to 1.

    Args:
        scores: float32 (rows, n), n >= 1.
        fold: halvings of the row before the bound is looked for; changes the time, never the result.

    Returns:
        CSR parts of the weights: indptr (rows + 1,), indices, data float32.
    """
    few = scores
    for _ in range(fold):
        half = few.shape[1] // 2
        if not half:
            break
        larger = np.maximum(few[:, :half], few[:, half : 2 * half])
        few = np.concatenate([larger, few[:, 2 * half :]], axis=1) if few.shape[1] % 2 else larger
    # One step low, so that rounding loses nothing; what is not above the exact threshold goes afterwards.
    bound = np.nextafter(_thresholds(few).astype(np.float32), np.float32(-np.inf))
    flat = np.flatnonzero(scores > bound[:, None])
    counts = np.diff(np.searchsorted(flat, np.arange(len(scores) + 1) * scores.shape[1]))
    value = scores.ravel()[flat]
    padded = np.full((len(scores), int(counts.max(initial=1))), -1e9, np.float32)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = value
    weight = value - np.repeat(_thresholds(padded), counts)
    keep = weight > 0
    row = np.repeat(np.arange(len(scores)), counts)
    lengths = np.bincount(row[keep], minlength=len(scores))
    column = flat - row * scores.shape[1]
    return np.concatenate([[0], np.cumsum(lengths)]), column[keep], weight[keep].astype(np.float32)


def _thresholds(scores: np.ndarray) -> np.ndarray:
    """Find the threshold of each row by sorting it (numpy sorts float32 much faster than float64): float64 (rows,)."""
    ordered = np.sort(scores, axis=1)[:, ::-1]
    sums = np.cumsum(ordered, axis=1, dtype=np.float64)
    support = np.count_nonzero(np.arange(1.0, ordered.shape[1] + 1) * ordered + 1 > sums, axis=1)
    return (sums[np.arange(len(ordered)), support - 1] - 1) / support
