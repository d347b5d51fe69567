"""Counts: which tokens stand near which. Our own evidence: PPMI and a randomised SVD instead of a trained network.

Token pairs at distance 1 to 5 on one line weigh (6 - d) / 5; left and right contexts are kept apart, with the 4,000
most frequent tokens as columns of each; PPMI with context smoothing 0.75 (Levy, Goldberg & Dagan 2015); randomised SVD
with 300 + 10 dimensions and one power iteration (Halko, Martinsson & Tropp 2011); rows are U S^0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.matrix import blocks
from vocab.tokenizer.cut import cut_lines
from vocab.tokenizer.texts import Lines
from vocab.vectors.evidence import unit
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_POSITIONS = 400_000  # of text looked at at once: some 60 MB
_ROWS = 16_384
_FEW = 256


def encode(
    vocabulary: Vocabulary, texts: Any, progress: Callable[[float, float, dict[str, Any]], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Encode text once, specials left out.

    Args:
        vocabulary: whose tokens.
        texts: paths or a re-iterable of lines.
        progress: called with lines done (the total is not known, 0).

    Returns:
        ids int32 (positions,), and the start of each line and the end of the last, int64 (lines + 1,).
    """
    lines = texts if isinstance(texts, Lines) else Lines(texts)
    told = None if progress is None else lambda done: progress(done, 0, {"step": "reading text"})
    pieces = cut_lines(vocabulary, lines, told)
    keep = (vocabulary.kind != Kind.SPECIAL)[pieces.ids]
    return pieces.ids[keep], np.concatenate([[0], np.cumsum(keep)])[pieces.starts]


def count_pairs(ids: np.ndarray, starts: np.ndarray, tokens: int, columns: np.ndarray, window: int = 5) -> csr_matrix:
    """Count which tokens stand near which.

    Args:
        ids: tokens of the text, int32 (positions,).
        starts: where lines start, and where the last ends (lines + 1,).
        tokens: size of the vocabulary.
        columns: ids of the context tokens.
        window: largest distance.

    Returns:
        CSR float32 (tokens, 2 * columns): weights of contexts to the left, then to the right.
    """
    from scipy.sparse import csr_matrix

    column = np.full(tokens, -1, np.int32)
    column[columns] = np.arange(len(columns))
    width = 2 * len(columns)
    total = csr_matrix((tokens, width), dtype=np.float32)
    for first, last in _runs(starts):
        part = ids[starts[first] : starts[last]].astype(np.int64)
        line = np.repeat(np.arange(first, last), np.diff(starts[first : last + 1]))
        here = csr_matrix((np.ones(len(part), np.float32), part, np.arange(len(part) + 1)), shape=(len(part), tokens))
        total = total + here.T.tocsr() @ _contexts(column[part], line, len(columns), window)
    total.sum_duplicates()
    return total


def _contexts(column: np.ndarray, line: np.ndarray, columns: int, window: int) -> csr_matrix:
    """CSR float32 (positions, 2 * columns): weights of what stands near each position.

    Args:
        column: of the token at each position, -1 where it has none (positions,).
        line: that each position is on (positions,).
        columns: how many there are.
        window: largest distance.
    """
    from scipy.sparse import csr_matrix

    number = len(column)
    context = np.full((number, 2 * window), -1, np.int32)
    for distance in range(1, min(window, number - 1) + 1):
        same = line[distance:] == line[:-distance]
        left, right = column[:-distance], column[distance:]
        context[distance:, distance - 1] = np.where(same, left, -1)
        context[:-distance, window + distance - 1] = np.where(same & (right >= 0), right + columns, -1)
    weight = np.tile((window + 1 - np.arange(1, window + 1)) / window, 2).astype(np.float32)
    there = context >= 0
    ends, context = np.cumsum(there.sum(axis=1)), context[there]
    data = np.broadcast_to(weight, there.shape)[there]
    return csr_matrix((data, context, np.append(0, ends)), shape=(number, 2 * columns))


def _runs(starts: np.ndarray) -> list[tuple[int, int]]:
    """Lines grouped so that a group has few enough positions for its arrays to stay small."""
    runs, first = [], 0
    while first < len(starts) - 1:
        last = max(int(np.searchsorted(starts, starts[first] + _POSITIONS, "right")) - 1, first + 1)
        runs.append((first, last))
        first = last
    return runs


def ppmi(counts: csr_matrix, smoothing: float = 0.75) -> csr_matrix:
    """Positive pointwise mutual information, with smoothed contexts (Levy, Goldberg & Dagan 2015, section 3.1).

    Args:
        counts: CSR (tokens, contexts), all >= 0.
        smoothing: power on the contexts' counts.

    Returns:
        CSR float32 of the same shape: max(0, log(p(t, c) / (p(t) p_s(c)))).
    """
    from scipy.sparse import csr_matrix

    rows = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    smoothed = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel() ** smoothing
    smoothed /= smoothed.sum() or 1.0
    data, starts = np.empty(counts.nnz, np.float32), counts.indptr
    for block in blocks(counts.shape[0], _FEW):
        part = slice(starts[block.start], starts[block.stop])
        expected = np.repeat(rows[block], np.diff(starts[block.start : block.stop + 1]))
        expected *= smoothed[counts.indices[part]]
        data[part] = np.maximum(np.log(counts.data[part] / expected), 0)
    matrix = csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)
    matrix.eliminate_zeros()
    return matrix


def randomised_svd(matrix: csr_matrix, rank: int = 300, extra: int = 10, seed: int = 0) -> np.ndarray:
    """Return U S^0.5 of a sparse matrix by random projection with one power iteration (Halko et al. 2011, alg. 4.4).

    Args:
        matrix: CSR (n, m).
        rank: dimensions kept.
        extra: dimensions that are carried along and dropped.
        seed: seed of the projection.

    Returns:
        float32 (n, at most `rank`).
    """
    # Rows without entries stay 0 and are left out: rounding would leave dust there, which length 1 makes noise of.
    from scipy.sparse import csr_matrix

    seen = np.flatnonzero(np.diff(matrix.indptr))
    starts = np.append(0, matrix.indptr[seen + 1])
    part = csr_matrix((matrix.data, matrix.indices, starts), shape=(len(seen), matrix.shape[1]))
    width = min(rank + extra, *part.shape)
    if width == 0:
        return np.zeros((matrix.shape[0], 0), np.float32)
    start = np.random.default_rng(seed).standard_normal((part.shape[1], width), np.float32)
    # Written so that of the tall matrices no more than two are in memory at a time.
    basis = orthonormal(part.T @ orthonormal(part @ start))
    basis = orthonormal(part @ basis)
    small = part.T @ basis
    # The left side of the small matrix is all that is needed: eigenvectors of its Gram matrix, in float64.
    values, vectors = np.linalg.eigh((small.T @ small).astype(np.float64))
    order = np.argsort(-values, kind="stable")[:rank]
    root = np.maximum(values[order], 0) ** 0.25
    basis = basis @ (vectors[:, order] * root).astype(np.float32)
    rows = np.zeros((matrix.shape[0], basis.shape[1]), np.float32)
    rows[seen] = basis
    return rows


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """Give an orthonormal basis of what some columns span, by their Gram matrix: much faster than QR of a tall matrix.

    Args:
        columns: (n, k), k much smaller than n. The Gram matrix is taken in float64, which loses nothing that float32
            columns hold unless they all but depend on each other; then QR is taken after all.

    Returns:
        (n, k), of the same dtype.
    """
    # In blocks: a float64 copy of all rows would take twice the memory of the columns.
    gram = np.zeros((columns.shape[1], columns.shape[1]))
    for start in range(0, len(columns), _ROWS):
        gram += _gram(columns[start : start + _ROWS])
    values, vectors = np.linalg.eigh(gram)
    if values[0] <= 1e-9 * values[-1]:
        return np.linalg.qr(columns)[0]
    return columns @ (vectors / np.sqrt(values)).astype(columns.dtype)


def _gram(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    product: np.ndarray = rows.T @ rows
    return product


def count_vectors(
    vocabulary: Vocabulary, ids: np.ndarray, starts: np.ndarray, *, contexts: int = 4000, rank: int = 300, seed: int = 0
) -> np.ndarray:
    """Make dense vectors of what tokens stand near.

    Args:
        vocabulary: the tokens.
        ids: the encoded text (see `encode`).
        starts: its lines.
        contexts: how many of the most frequent tokens serve as contexts, on each side.
        rank: dimensions.
        seed: seed of the projection.

    Returns:
        float32 (tokens, at most `rank`), rows of length 1; 0 for tokens that the text does not show.
    """
    frequency = np.bincount(ids, minlength=len(vocabulary))
    columns = np.argsort(-frequency, kind="stable")[:contexts]
    columns = np.sort(columns[frequency[columns] > 0])
    return unit(randomised_svd(ppmi(count_pairs(ids, starts, len(vocabulary), columns)), rank, seed=seed))
