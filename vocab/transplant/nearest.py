"""The k most similar source tokens of each target token, the same at ties every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.device import back, here, largest_columns
from vocab.matrix import blocks
from vocab.vectors.evidence import Evidence

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_ROWS, _COLUMNS = 64, 16_384  # similarities made at once: what the processor's cache holds
_FOLD = 32
_BYTES = 24  # that a similarity takes with torch, while a row's largest are looked for


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
    known = np.ascontiguousarray(old.dense[anchors].T)
    size = min(neighbours, len(anchors))
    if not size or not len(rows):
        return rows[:0], csr_matrix((0, sizes[1]), dtype=np.float32), np.zeros(0)
    index, value = nearest(new.dense[rows], known, size)
    power = np.exp((value - value[:, :1]) / temperature)
    weights = power / power.sum(axis=1, keepdims=True)
    matrix = csr_matrix(
        (weights.ravel().astype(np.float32), anchors[index].ravel(), size * np.arange(len(rows) + 1)),
        shape=(len(rows), sizes[1]),
    )
    matrix.sort_indices()
    return rows, matrix, value[:, 0]


def nearest(vectors: np.ndarray, known: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the largest products of any number of rows, on what is computed on; see `largest`."""
    on = here()
    if on is None:
        made = [largest(vectors[part], known, size) for part in blocks(len(vectors), _ROWS)]
    else:
        table = on.put(known)

        def find(part: slice) -> tuple[np.ndarray, np.ndarray]:
            scores = on.put(vectors[part]) @ table
            columns = largest_columns(scores, size)
            return back(columns), back(scores.gather(1, columns)).astype(np.float64)

        made = on.in_blocks(len(vectors), _BYTES * known.shape[1], find)
    index, value = (np.concatenate(part) for part in zip(*made, strict=True))
    return index, value


def largest(vectors: np.ndarray, known: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Find each row's largest products, without ever sorting a row: what is not above the worst kept is passed over.

    Args:
        vectors: float32 (rows, k).
        known: float32 (k, columns).
        size: how many to keep, at most the columns.

    Returns:
        Columns and values (float64), (rows, size), by falling value; of equals the first columns.
    """
    number, columns = len(vectors), known.shape[1]
    index = np.zeros((number, size), np.int64)
    value = np.full((number, size), -np.inf, np.float32)
    scores = np.empty((number, min(_COLUMNS, columns)), np.float32)
    above = np.empty(scores.shape, bool)
    for start in range(0, columns, _COLUMNS):
        part = known[:, start : start + _COLUMNS]
        scores, above = scores[:, : part.shape[1]], above[:, : part.shape[1]]
        np.matmul(vectors, part, out=scores)
        worst = value[:, -1:] if start else _below(scores, size)
        np.greater(scores, worst, out=above)
        row, column = np.divmod(np.flatnonzero(above), scores.shape[1])
        if not len(row):
            continue
        counts = np.bincount(row, minlength=number)
        at = size + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        touched = np.flatnonzero(counts)
        wide = np.full((number, size + int(counts.max())), -np.inf, np.float32)
        wide_index = np.zeros(wide.shape, np.int64)
        wide[:, :size], wide_index[:, :size] = value, index
        wide[row, at], wide_index[row, at] = scores[row, column], column + start
        # Stable, and earlier columns stand first: of equals the first stay.
        order = np.argsort(-wide[touched], axis=1, kind="stable")[:, :size]
        value[touched] = np.take_along_axis(wide[touched], order, axis=1)
        index[touched] = np.take_along_axis(wide_index[touched], order, axis=1)
    return index, value.astype(np.float64)


def _below(scores: np.ndarray, size: int) -> np.ndarray:
    """Give each row a number (rows, 1) that `size` of its scores or more (or all) are above, by maxima of parts."""
    width = scores.shape[1]
    parts = min(max(width // _FOLD, size), width)
    fold = width // parts
    few = scores[:, : parts * fold].reshape(len(scores), fold, parts).max(axis=1)
    place = max(parts - size, 0)
    return np.nextafter(np.partition(few, place, axis=1)[:, place, None], np.float32(-np.inf))
