"""Evidence about tokens: vectors whose cosines say how alike two tokens are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.sparse import csr_matrix

    from vocab.vectors.words import WordFile


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
        known = np.zeros(self.shape[0], bool)
        if self.dense is not None:
            known |= self.dense.any(axis=1)
        if self.sparse is not None:
            known |= np.diff(self.sparse.indptr) > 0
        return known

    def against(self, anchors: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Prepare similarities to some tokens.

        Args:
            anchors: ids of the tokens that others are compared with.

        Returns:
            A function: ids -> float32 (ids, anchors). Its result is overwritten by the next call.
        """
        dense = None if self.dense is None else np.ascontiguousarray(self.dense[anchors].T)
        sparse = None if self.sparse is None else self.sparse[anchors].T.tocsr()
        buffers: dict[str, np.ndarray] = {}

        def similarity(rows: np.ndarray) -> np.ndarray:
            for name in ("sum", "part"):
                if len(buffers.get(name, ())) < len(rows):
                    buffers[name] = np.zeros((len(rows), len(anchors)), np.float32)
            result, part = buffers["sum"][: len(rows)], buffers["part"][: len(rows)]
            if self.sparse is not None:
                (self.sparse[rows] @ sparse).toarray(out=part)
            if self.dense is None or dense is None:
                return part
            np.matmul(self.dense[rows], dense, out=result)
            if self.sparse is not None:
                result += part
            return result

        return similarity

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All columns in one array, dense: for small vocabularies."""
        parts = [self.dense] if self.dense is not None else []
        parts += [self.sparse.toarray()] if self.sparse is not None else []
        return np.concatenate(parts, axis=1).astype(dtype or np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows brought to length 1; zero rows stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)
