"""Strings and the tokens that a tokenizer cuts them into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from vocab.view import Vocabulary

_ROOM = 1 << 20  # characters cut at a time; a token needs some hundred bytes until only its id is kept
_STRING = 64  # characters that a string counts as, beside its own


class Pieces:
    """Strings and the tokens of each.

    Attributes:
        ids: int32 (tokens,), all strings after each other.
        starts: int64 (strings + 1,), where each begins in `ids`.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        self.ids, self.starts = ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    @classmethod
    def of(cls, view: Vocabulary, strings: Iterable[str], backend: Any = None) -> Pieces:
        """Cut strings, each alone and whole; `backend` may stand in for the view's own."""
        view.encode(())  # takes off what truncation the caller may have set since
        encode = (backend or view.backend).encode_batch_fast
        ids, lengths = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
        for batch in batched(strings, _ROOM):
            found = [encoding.ids for encoding in encode(batch, add_special_tokens=False)]
            lengths.append(np.fromiter(map(len, found), dtype=np.int64, count=len(found)))
            ids.append(np.fromiter(chain.from_iterable(found), dtype=np.int32, count=int(lengths[-1].sum())))
        return cls(np.concatenate(ids), np.concatenate(lengths))

    @classmethod
    def joined(cls, parts: Iterable[Pieces]) -> Pieces:
        """Put some after each other."""
        every = [cls(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)), *parts]
        return cls(np.concatenate([part.ids for part in every]), np.concatenate([part.lengths for part in every]))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each string, int64 (strings,)."""
        return np.diff(self.starts)

    def __getitem__(self, place: int) -> np.ndarray:
        return self.ids[self.starts[place] : self.starts[place + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces.joined([self, other])

    def take(self, places: np.ndarray, counts: np.ndarray | None = None) -> Pieces:
        """Put strings together from these.

        Args:
            places: which strings, int64 (parts,).
            counts: how many parts are one string, int64 (strings,); None where each is one.

        Returns:
            The new strings' tokens.
        """
        lengths = self.lengths[places]
        ends = np.cumsum(lengths)
        ids = self.ids[np.repeat(self.starts[places] - (ends - lengths), lengths) + np.arange(lengths.sum())]
        if counts is not None:
            ends = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(counts)])]
            lengths = np.diff(ends)
        return Pieces(ids, lengths)

    def unlike(self, other: Pieces, names: np.ndarray | None = None) -> np.ndarray:
        """Say which strings another tokenizer cuts otherwise.

        Args:
            other: the same strings.
            names: what its ids are here, integers (its vocabulary,); None where they are the same.

        Returns:
            Places of the strings, int64.
        """
        ids = other.ids if names is None else names[other.ids]
        same = self.lengths == other.lengths
        strings = np.repeat(np.arange(len(self)), np.where(same, self.lengths, 0))
        kept = [np.repeat(same, part.lengths) for part in (self, other)]
        same[strings[self.ids[kept[0]] != ids[kept[1]]]] = False
        return np.flatnonzero(~same)

    def matrix(self, width: int) -> csr_matrix:
        """CSR (strings, width): how often each token occurs in each string."""
        from scipy.sparse import csr_matrix

        # Copies: adding up duplicates sorts and shortens the arrays in place.
        table = csr_matrix((np.ones(len(self.ids)), self.ids.copy(), self.starts.copy()), shape=(len(self), width))
        table.sum_duplicates()
        return table


def batched(strings: Iterable[str], room: int) -> Iterator[list[str]]:
    """Give some strings at a time, of so many characters together: fewer strings where they are long."""
    batch, left = list[str](), room
    for string in strings:
        batch.append(string)
        left -= len(string) + _STRING
        if left < 0:
            yield batch
            batch, left = [], room
    if batch:
        yield batch
