"""Collect what a Unigram vocabulary may begin with: everything within a word that occurs twice or more."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from vocab.tokenizer.tally import ranked

_MOST_POSITIONS = 20_000_000


@dataclass(frozen=True)
class Candidates:
    """Pieces of two characters or more, and how often each occurs.

    Attributes:
        text: what they were found in.
        starts: where each stands in the text, int64 (candidates,).
        lengths: in characters, int64 (candidates,).
        counts: occurrences, int64 (candidates,).
        spelled: numbers in the order of their spelling (code points), int64 (candidates,).
    """

    text: str
    starts: np.ndarray
    lengths: np.ndarray
    counts: np.ndarray
    spelled: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def best(self, most: int) -> list[tuple[str, int]]:
        """Give the candidates with the largest occurrences times length, the largest first, and their occurrences."""
        weights = self.counts * self.lengths
        some = np.arange(len(self))
        if len(self) > most:
            some = np.flatnonzero(weights >= np.partition(weights, -most)[-most])
        some = some[np.lexsort((self.spelled[some], -weights[some]))[:most]]
        starts = self.starts[some]
        ends = starts + self.lengths[some]
        places = zip(starts.tolist(), ends.tolist(), self.counts[some].tolist(), strict=True)
        return [(self.text[start:end], count) for start, end, count in places]


def candidates(counts: Mapping[str, int], longest: int) -> Candidates:
    """Collect the candidates of the most frequent parts, as many as there is room for.

    sentencepiece counts in how many *different* words a candidate occurs, so that a frequent word that is always
    written alike is no candidate at all. Counting occurrences gives 4 to 8 % fewer pieces a word on held-out Hausa
    and Yoruba (16k pieces).

    The beginnings of all characters are sorted by what follows (a suffix array, cut off at the longest candidate and at
    the ends of parts); then those that share their first two, three, ... characters stand together.

    Args:
        counts: part -> how often it occurs.
        longest: longest candidate, in characters.

    Returns:
        Candidates that occur twice or more.
    """
    parts = with_room(counts, longest)
    sizes = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    weights = np.repeat(np.fromiter(map(counts.__getitem__, parts), dtype=np.int64, count=len(parts)), sizes)
    text = "".join(parts)
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    number = np.zeros(sys.maxunicode + 1, dtype=np.int64)  # of each character that occurs, from 1, as they are sorted
    number[codes] = 1
    number = np.cumsum(number)
    room = np.minimum(np.repeat(np.cumsum(sizes), sizes) - np.arange(len(text)), longest)
    longest = int(room.max(initial=1))
    letter = np.append(number[codes], np.zeros(longest, dtype=np.int64))  # 0 stands for the end
    starts = np.flatnonzero(room > 1)
    starts = starts[_order(letter, starts, room[starts], int(number[-1]).bit_length())]
    room = room[starts]
    opens = np.zeros(len(starts), dtype=bool)  # whether its first characters are not those of the one before it
    opens[:1] = True
    places = np.arange(len(starts))
    found = [(starts[:0],) * 4]
    for length in range(1, longest + 1 if len(starts) else 0):
        after = np.where(room >= length, letter[starts + length - 1], 0)
        opens[1:] |= after[1:] != after[:-1]
        first = np.flatnonzero(opens)
        totals = np.add.reduceat(weights[starts], first)
        good = (totals > 1) & (room[first] >= length)
        if length > 1:
            some = first[good]
            found.append((starts[some], np.full(len(some), length), totals[good], places[some]))
        kept = np.repeat(good, np.diff(first, append=len(starts)))  # what occurs once occurs no more often if longer
        starts, room, places, opens = starts[kept], room[kept], places[kept], opens[kept]
        if not len(starts):
            break
    at, lengths, totals, places = (np.concatenate(column) for column in zip(*found, strict=True))
    return Candidates(text, at, lengths, totals, spelled=places * (longest + 1) + lengths)


def _order(letter: np.ndarray, starts: np.ndarray, room: np.ndarray, bits: int) -> np.ndarray:
    """Sort beginnings by the letters that follow, as many as there is room for, from the last to the first.

    Args:
        letter: numbers of the text's letters, from 1, and 0 for what comes behind it.
        starts: where each begins.
        room: how many letters of it count, int64 (beginnings,).
        bits: how many a letter's number needs; as many letters as fit make one key.

    Returns:
        The order, int64 (beginnings,).
    """
    order = np.arange(len(starts))
    each, longest = 63 // max(bits, 1), int(room.max(initial=0))
    for begin in reversed(range(0, longest, each)):
        key = np.zeros(len(starts), dtype=np.int64)
        for offset in range(begin, min(begin + each, longest)):
            key = (key << bits) | np.where(offset < room, letter[starts + offset], 0)
        order = order[np.argsort(key[order], kind="stable")]
    return order


def with_room(counts: Mapping[str, int], longest: int) -> list[str]:
    """Return the most frequent parts, as many as there is room to collect candidates from."""
    sizes = np.fromiter(map(len, counts), dtype=np.int64, count=len(counts))
    if int((sizes * np.minimum(sizes, longest)).sum()) <= _MOST_POSITIONS:
        return list(counts)
    parts = ranked(counts)
    used = accumulate(len(part) * min(len(part), longest) for part in parts)
    return [part for part, places in zip(parts, used, strict=True) if places <= _MOST_POSITIONS]
