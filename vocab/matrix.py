"""Rows of embedding matrices, numpy or torch, in any float dtype, in blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.device import here

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from vocab.device import Place

_CELLS = 1 << 20  # numbers held at once
_BLOCK = 1024  # rows multiplied at once in float32: few enough that rounding stays far below what rows hold


def fingerprint(matrix: Any, n_source: int | None = None) -> str:
    """SHA-256 over a matrix's first rows as float32: the same for equal values in any dtype that holds them."""
    rows = int(matrix.shape[0]) if n_source is None else n_source
    digest = hashlib.sha256(f"{rows},{int(matrix.shape[1])}".encode())
    for ids in parts(matrix, rows):
        digest.update(np.ascontiguousarray(take(matrix, ids), np.float32).data)
    return digest.hexdigest()


def parts(matrix: Any, rows: int) -> Iterator[slice]:
    """Cut the first rows of a matrix into slices of some 4 MB each, as float32."""
    return blocks(rows, max(_CELLS // int(matrix.shape[1]), 1))


def blocks(rows: int, size: int) -> Iterator[slice]:
    """Cut `rows` rows into slices of at most `size`."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def take(matrix: Any, rows: Any) -> np.ndarray:
    """Rows of a numpy array or torch tensor as float32 (float64 stays)."""
    if isinstance(matrix, np.ndarray):
        part = matrix[rows]
    elif isinstance(rows, np.ndarray) and rows.dtype == np.int64:
        from torch import from_numpy

        if not rows.flags.writeable:
            rows = rows.copy()  # torch warns of ids that cannot be written to
        part = matrix.detach().index_select(0, from_numpy(rows).to(matrix.device)).cpu()
    else:
        part = matrix[rows].detach().cpu()
    if not isinstance(part, np.ndarray):
        part = part.numpy() if str(part.dtype) in {"torch.float32", "torch.float64"} else part.float().numpy()
    return part if part.dtype == np.float64 else part.astype(np.float32, copy=False)


def like(matrix: Any, shape: tuple[int, int]) -> Any:
    """Return an unfilled matrix of the same library, dtype and device."""
    return np.empty(shape, matrix.dtype) if isinstance(matrix, np.ndarray) else matrix.new_empty(shape)


def put(result: Any, start: int, stop: int, rows: np.ndarray) -> None:
    """Write rows into a matrix, in its own dtype."""
    if isinstance(result, np.ndarray):
        result[start:stop] = rows
    else:
        import torch

        with torch.no_grad():
            result[start:stop] = torch.from_numpy(rows).to(result.dtype).to(result.device)


def only(weights: csr_matrix, rows: np.ndarray) -> csr_matrix:
    """Return the same matrix with all rows but the chosen ones emptied."""
    from scipy.sparse import csr_matrix

    lengths = np.diff(weights.indptr)
    keep = np.repeat(rows, lengths)
    indptr = np.concatenate([[0], np.cumsum(np.where(rows, lengths, 0))])
    return csr_matrix((weights.data[keep], weights.indices[keep], indptr), shape=weights.shape)


def stack(columns: Sequence[Sequence[int]], width: int, weights: Sequence[Sequence[float]] | None = None) -> csr_matrix:
    """CSR (rows, width) float32 from each row's columns, which share it equally where no weights are given.

    A column that stands twice in a row counts twice.
    """
    from scipy.sparse import csr_matrix

    lengths = np.array([len(row) for row in columns], np.int64)
    if weights is None:
        data = np.repeat(1 / np.maximum(lengths, 1), lengths)
    else:
        data = np.array([weight for row in weights for weight in row])
    indices = np.array([column for row in columns for column in row], np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    matrix = csr_matrix((data.astype(np.float32), indices, indptr), shape=(len(columns), width))
    matrix.sum_duplicates()
    return matrix


def top_directions(matrix: Any, n_source: int, rank: int) -> np.ndarray:
    """Leading right singular vectors of a matrix, from its dim x dim Gram matrix, summed and decomposed in float64.

    Args:
        matrix: (n_source or more, dim).
        n_source: how many of its rows count.
        rank: how many vectors.

    Returns:
        float64 (dim, at most rank), orthonormal columns, the strongest first. Each one's largest entry is positive, so
        that the same matrix gives the same signs everywhere.
    """
    on = here()
    vectors = (_eigenvectors(matrix, n_source) if on is None else _eigenvectors_on(on, matrix, n_source))[:, :rank]
    return vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])


def _eigenvectors(matrix: Any, n_source: int) -> np.ndarray:
    """Eigenvectors (dim, dim) of the Gram matrix of a matrix's first rows, the strongest first."""
    dim = int(matrix.shape[1])
    gram, total = np.zeros((dim, dim)), np.zeros(dim)
    # Blocks are multiplied in the rows' own precision, less a common shift: without it the mean direction, by far the
    # strongest in embeddings, would drown the weak ones in its rounding. Sums and what is put back are float64.
    shift = take(matrix, slice(0, min(n_source, _BLOCK))).mean(axis=0)
    for part in blocks(n_source, _BLOCK):
        rows = take(matrix, part) - shift
        gram += rows.T @ rows
        total += rows.sum(axis=0, dtype=np.float64)
    shift = shift.astype(np.float64)
    gram += np.outer(shift, total) + np.outer(total, shift) + n_source * np.outer(shift, shift)
    return np.linalg.eigh(gram)[1][:, ::-1]


def _eigenvectors_on(on: Place, matrix: Any, n_source: int) -> np.ndarray:
    """As `_eigenvectors`, on a device; all of it in float64, where products cost a GPU little."""
    import torch

    dim = int(matrix.shape[1])
    gram = on.put(np.zeros((dim, dim)))

    def add(part: slice) -> None:
        rows = on.put(take(matrix, part)).double()
        gram.addmm_(rows.T, rows)

    on.in_blocks(n_source, 16 * dim, add)
    vectors: np.ndarray = torch.linalg.eigh(gram)[1].flip(1).cpu().numpy()
    return vectors


def basis_rows(basis: csr_matrix, matrix: Any) -> np.ndarray:
    """`B @ E`, its blocks of source rows summed in float64: (basis, dim)."""
    total = np.zeros((basis.shape[0], int(matrix.shape[1])))
    if basis.shape[0]:
        by_column = basis.tocsc()
        for rows in blocks(basis.shape[1], 8192):
            part = by_column[:, rows]
            if part.nnz:
                total += part.toarray() @ take(matrix, rows)
    return total


def product(weights: csr_matrix, matrix: Any, basis: np.ndarray) -> np.ndarray:
    """`W @ [E ; B E]` for some target rows, reading only the source rows they use."""
    from scipy.sparse import csr_matrix

    n_source = weights.shape[1] - basis.shape[0]
    # The columns in use and their places, as np.unique gives them, without sorting every index.
    used = np.zeros(weights.shape[1], bool)
    used[weights.indices] = True
    columns = np.flatnonzero(used)
    index = (np.cumsum(used) - 1)[weights.indices]
    split = int(np.searchsorted(columns, n_source))
    rows = take(matrix, columns[:split].astype(np.int64))
    rows = np.concatenate([rows, basis[columns[split:] - n_source].astype(rows.dtype)])
    if isinstance(matrix, np.ndarray) or rows.dtype != np.float32:
        return csr_matrix((weights.data, index, weights.indptr), shape=(weights.shape[0], len(columns))) @ rows
    # Whoever has a torch matrix has torch, whose sums are vectorised: half the time of scipy's.
    from torch import from_numpy
    from torch.nn.functional import embedding_bag

    index, starts, data = (
        from_numpy(part) for part in (index.astype(np.int32), weights.indptr[:-1].astype(np.int32), weights.data)
    )
    return embedding_bag(index, from_numpy(rows), starts, mode="sum", per_sample_weights=data).numpy()


def moments(matrix: Any, rows: np.ndarray, ddof: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column over some rows, summed in float64.

    Args:
        matrix: (rows, dim).
        rows: ids of the rows that count.
        ddof: 1 for the sample's standard deviation, 0 for the population's.

    Returns:
        Two float64 arrays (dim,).
    """
    dim = int(matrix.shape[1])
    mean, square = np.zeros(dim), np.zeros(dim)
    for part in parts(matrix, len(rows)):
        mean += take(matrix, rows[part]).sum(axis=0, dtype=np.float64)
    mean /= len(rows)
    for part in parts(matrix, len(rows)):
        square += ((take(matrix, rows[part]) - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(square / max(len(rows) - ddof, 1))
