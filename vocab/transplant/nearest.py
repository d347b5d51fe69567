"""The k most similar source tokens of each target token, the same at ties every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.vectors.evidence import Evidence

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CELLS = 4_000_000


def softmax_of_nearest(
    target: Any, source: Any, sizes: tuple[int, int], wanted: np.ndarray, neighbours: int, temperature: float
) -> tuple[np.ndarray, csr_matrix, np.ndarray]:
    """Mix the nearest source tokens: softmax(cosine / temperature) over the k nearest.

    Args:
        target: vectors of target tokens (target, k).
        source: vectors of source tokens in the same space (source, k).
        sizes: tokens of target and source.
        wanted: ids of target rows to make.
        neighbours: how many.
        temperature: of the softmax.

    Returns:
        Ids of the rows that have a vector, CSR weights (those rows, source), and their best cosines.

    Raises:
        InputError: the vectors are not in one space.
    """
    from scipy.sparse import csr_matrix

    new, old = Evidence.of(target, sizes[0]), Evidence.of(source, sizes[1])
    if new.dense is None or old.dense is None or new.dense.shape[1] != old.dense.shape[1]:
        raise InputError(
            "vectors of source and target tokens must lie in one space",
            found=f"{new.shape[1]} and {old.shape[1]} dimensions",
            expected="dense vectors of the same number of dimensions",
        )
    anchors = np.flatnonzero(old.dense.any(axis=1))
    rows = wanted[new.dense[wanted].any(axis=1)]
    known = old.dense[anchors].T.copy()
    size = min(neighbours, len(anchors))
    if not size:
        return rows[:0], csr_matrix((0, sizes[1]), dtype=np.float32), np.zeros(0)
    chosen, weights, best = [], [], []
    block = max(_CELLS // len(anchors), 16)
    for start in range(0, len(rows), block):
        near = new.dense[rows[start : start + block]] @ known
        index, value = _largest(near, size)
        power = np.exp((value - value[:, :1]) / temperature)
        chosen.append(anchors[index])
        weights.append(power / power.sum(axis=1, keepdims=True))
        best.append(value[:, 0])
    joined = [np.concatenate(part) if part else np.zeros((0, size)) for part in (chosen, weights)]
    matrix = csr_matrix(
        (joined[1].ravel().astype(np.float32), joined[0].ravel().astype(np.int64), size * np.arange(len(rows) + 1)),
        shape=(len(rows), sizes[1]),
    )
    matrix.sort_indices()
    return rows, matrix, np.concatenate(best) if best else np.zeros(0)


def _largest(scores: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values (float64) of each row's largest scores, descending; of equals the first columns."""
    bound = np.partition(scores, scores.shape[1] - size, axis=1)[:, scores.shape[1] - size]
    row, column = np.nonzero(scores >= bound[:, None])
    value = scores[row, column].astype(np.float64)
    order = np.lexsort((column, -value, row))
    counts = np.bincount(row, minlength=len(scores))
    first = (np.cumsum(counts) - counts)[:, None] + np.arange(size)
    return column[order][first], value[order][first]
