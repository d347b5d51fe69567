"""Evidence about tokens: vectors whose cosines say how alike two tokens are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.sparse import csr_matrix

    from vocab.device import Place
    from vocab.vectors.words import WordFile

_ROUNDING = 1e-6
_COMMON = 16  # a column that more than one token in so many has is common


@dataclass
class Evidence:
    """Two kinds of vectors for the same tokens; the similarity of two tokens is the sum of the cosines.

    Attributes:
        dense: float32 (tokens, k), rows of length 1, or 0 where nothing is known; or None.
        sparse: CSR float32 (tokens, m), rows of length 1 or 0; or None.
        frequency: int64 (tokens,): how often the text shows each token; or None.
        kind: what it was made from, for reports.
        words: the file of word vectors that it was made from; or None.
    """

    dense: np.ndarray | None = None
    sparse: csr_matrix | None = None
    frequency: np.ndarray | None = None
    kind: str = "vectors"
    words: WordFile | None = None

    @classmethod
    def of(cls, vectors: Any, tokens: int) -> Evidence:
        """Take vectors as users give them.

        Args:
            vectors: `Evidence`, or an array (tokens, k).
            tokens: size of the vocabulary they must be for.

        Raises:
            InputError: wrong shape, NaN or inf.
        """
        if not isinstance(vectors, Evidence):
            try:
                # NumPy has no bfloat16, and drops the imaginary part of numbers in silence.
                array = np.asarray(vectors.detach().float().cpu() if hasattr(vectors, "detach") else vectors)
                array = array.astype(np.float32, casting="same_kind" if array.dtype.kind in "cf" else "unsafe")
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"vectors must be a matrix of numbers: {error}", found=type(vectors).__name__,
                    expected="an array (tokens, k), what vocab.token_vectors returns, or a file of word vectors",
                ) from None  # fmt: skip
            if array.ndim != 2:
                raise InputError("vectors must be a matrix", found=f"shape {array.shape}", expected="(tokens, k)")
            if not np.isfinite(array).all():
                row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
                raise InputError("vectors hold NaN or inf", found=f"row {row}", expected="finite numbers")
            vectors = cls(unit(array))
        if vectors.shape[0] != tokens:
            raise InputError(
                "the number of vectors is not the number of tokens",
                found=f"{vectors.shape[0]} vectors",
                expected=f"{tokens}, one for each id of the vocabulary (zero rows where there is none)",
            )
        return vectors

    def onto(self, own: Vocabulary, other: Vocabulary) -> Evidence:
        """Give the tokens of another vocabulary the vectors of those here that are spelled alike.

        Args:
            own: the vocabulary that these vectors are for.
            other: the one that they shall be for; tokens that `own` lacks have no vector then.
        """
        from scipy.sparse import csr_matrix

        place = np.array([own.ids.get(form, -1) for form in other.forms], np.int64)
        place[other.kind > Kind.BYTE] = -1
        rows = np.flatnonzero(place >= 0)
        pick = csr_matrix((np.ones(len(rows), np.float32), (rows, place[rows])), shape=(len(other), self.shape[0]))
        return replace(
            self,
            dense=None if self.dense is None else pick @ self.dense,
            sparse=None if self.sparse is None else (pick @ self.sparse).tocsr(),
            frequency=None if self.frequency is None else (pick @ self.frequency).astype(np.int64),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(tokens, columns)."""
        parts = [p for p in (self.dense, self.sparse) if p is not None]
        return (int(parts[0].shape[0]) if parts else 0, sum(int(p.shape[1]) for p in parts))

    @property
    def known(self) -> np.ndarray:
        """Bool (tokens,): tokens with a vector."""
        known = self._seen.copy()
        if self.sparse is not None:
            known |= np.diff(self.sparse.indptr) > 0
        return known

    def seen_first(self, ids: np.ndarray) -> np.ndarray:
        """Order tokens so that `against` has least to do: those that have a dense vector first.

        Returns:
            Places in `ids`.
        """
        return np.argsort(~self._seen[ids], kind="stable")

    @cached_property
    def _seen(self) -> np.ndarray:
        """Bool (tokens,): tokens with a dense vector."""
        return np.asarray(np.zeros(self.shape[0], bool) if self.dense is None else self.dense.any(axis=1))

    def against(self, anchors: np.ndarray, on: Place | None = None) -> Callable[[np.ndarray], Any]:
        """Prepare similarities to some tokens.

        Where the last of the anchors, or of the tokens asked for, have no dense vector, nothing is multiplied for them.

        Args:
            anchors: ids of the tokens that others are compared with.
            on: a device to multiply on; None: the processor, by numpy.

        Returns:
            A function: ids -> float32 (ids, anchors), an array, or a tensor on the device. Its result is overwritten by
            the next call.
        """
        dense = np.zeros((self.shape[0], 0), np.float32) if self.dense is None else self.dense
        common, rare = self._common
        seen = _up_to_last(self._seen[anchors])
        few = np.ascontiguousarray(common[anchors].T)
        all_of = np.concatenate([dense[anchors[:seen]].T, few[:, :seen]])
        sparse = None if rare is None else rare[anchors].T.tocsr()
        matmul, put, add = _NUMPY if on is None else _with_torch(on)
        all_of, few = put(all_of), put(few)
        buffer = put(np.zeros((0, len(anchors)), np.float32))

        def similarity(rows: np.ndarray) -> Any:
            nonlocal buffer
            if len(buffer) < len(rows):
                buffer = put(np.zeros((len(rows), len(anchors)), np.float32))
            result, mine = buffer[: len(rows)], common[rows]
            top = _up_to_last(self._seen[rows])
            matmul(put(np.concatenate([dense[rows[:top]], mine[:top]], axis=1)), all_of, out=result[:top, :seen])
            matmul(put(mine[:top]), few[:, seen:], out=result[:top, seen:])
            matmul(put(mine[top:]), few, out=result[top:])
            if rare is not None and sparse is not None:
                part = rare[rows] @ sparse
                first = len(anchors) * np.arange(len(rows))
                add(result, part.indices + np.repeat(first, np.diff(part.indptr)), part.data)
            return result

        return similarity

    @cached_property
    def _common(self) -> tuple[np.ndarray, csr_matrix | None]:
        """The sparse vectors in two parts: what many tokens have, such as a word's beginning, as an array; the rest."""
        if self.sparse is None:
            return np.zeros((self.shape[0], 0), np.float32), None
        often = np.bincount(self.sparse.indices, minlength=self.sparse.shape[1]) > self.sparse.shape[0] / _COMMON
        return self.sparse[:, np.flatnonzero(often)].toarray(), self.sparse[:, np.flatnonzero(~often)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All columns in one array, dense: for small vocabularies."""
        parts = [self.dense] if self.dense is not None else []
        parts += [self.sparse.toarray()] if self.sparse is not None else []
        return np.concatenate(parts, axis=1).astype(dtype or np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows brought to length 1; zero rows stay zero. An array of such rows is returned as it is."""
    square = np.einsum("ij,ij->i", rows, rows)
    if rows.dtype == np.float32 and np.all((np.abs(square - 1) < _ROUNDING) | (square == 0)):
        return rows
    length = np.sqrt(square)[:, None]
    return (rows / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


def _up_to_last(flags: np.ndarray) -> int:
    """How many there are up to the last one that is true."""
    there = np.flatnonzero(flags)
    return int(there[-1]) + 1 if len(there) else 0


def _add(result: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Add to different places of a flattened array."""
    result.ravel()[places] += values


_NUMPY: tuple[Callable[..., Any], Callable[..., Any], Callable[..., None]] = (np.matmul, lambda array: array, _add)


def _with_torch(on: Place) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., None]]:
    """As `_NUMPY`: how products are made, how arrays come to the device, and how single numbers are added there."""
    import torch

    def add(result: Any, places: np.ndarray, values: np.ndarray) -> None:
        result.view(-1).index_add_(0, on.put(places), on.put(values))

    return torch.matmul, on.put, add
