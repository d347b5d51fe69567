"""Count strings in bounded memory: what does not fit is written to disk, sorted, and merged at the end."""

from __future__ import annotations

import heapq
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO

_ENTRY = 64  # bytes that a string takes beside its characters
ROOM = 72_000_000  # a million words, or half a million lines


class Tally:
    """Counts of strings, exact for those it keeps; the result does not depend on the order they came in.

    Args:
        room: how much is kept: 64 and its characters for each string. Where that is too little, the most frequent
            strings are kept, and among equally frequent ones those with the smallest checksum, which is as good as
            drawing them.
    """

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self.left_out = 0
        self._counts: Counter[str] = Counter()
        self._characters = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runs: list[Path] = []

    def add(self, strings: list[str]) -> None:
        """Count some strings, none of which holds a line feed."""
        self._counts.update(strings)
        self._characters += sum(map(len, strings))
        if len(self._counts) * _ENTRY + self._characters > self.room:
            self._characters = sum(map(len, self._counts))  # what was counted before takes no room
            if len(self._counts) * _ENTRY + self._characters > self.room / 2:
                self._spill()

    def close(self) -> Counter[str]:
        """Return the counts; `left_out` says how many occurrences of other strings there were."""
        if not self._runs:
            return self._counts
        self._spill()
        try:
            return self._kept()
        finally:
            if self._folder is not None:
                self._folder.cleanup()

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        run = Path(self._folder.name) / str(len(self._runs))
        with run.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as stream:
            stream.writelines(f"{self._counts[string]}\t{string}\n" for string in sorted(self._counts))
        self._runs.append(run)
        self._counts = Counter()
        self._characters = 0

    def _merged(self) -> Iterator[tuple[str, int]]:
        streams = [run.open(encoding="utf-8", errors="surrogatepass", newline="\n") for run in self._runs]
        try:
            for string, same in groupby(heapq.merge(*map(_entries, streams)), key=itemgetter(0)):
                yield string, sum(count for _, count in same)
        finally:
            for stream in streams:
                stream.close()

    def _kept(self) -> Counter[str]:
        needs: Counter[int] = Counter()
        for string, count in self._merged():
            needs[count] += _ENTRY + len(string)
        free, least, share = self.room, 0, 1.0
        for count in sorted(needs, reverse=True):
            if needs[count] > free:
                least, share = count, free / needs[count]
                break
            free -= needs[count]
        kept: Counter[str] = Counter()
        for string, count in self._merged():
            checksum = zlib.crc32(string.encode("utf-8", "surrogatepass"))
            if count > least or (count == least and checksum < share * (1 << 32)):
                kept[string] = count
            else:
                self.left_out += count
        return kept


def ranked(counts: Mapping[str, int]) -> list[str]:
    """Return the strings, the most frequent first, and equally frequent ones in the order of their code points."""
    strings = sorted(counts)
    strings.sort(key=counts.__getitem__, reverse=True)  # stable, in reverse too
    return strings


def as_frequent(counts: Mapping[str, int]) -> dict[int, list[str]]:
    """Put strings that occur equally often together: most of a text's words share a few counts."""
    groups: dict[int, list[str]] = {}
    for string, count in counts.items():
        groups.setdefault(count, []).append(string)
    return groups


def letters(counts: Mapping[str, int]) -> Counter[str]:
    """Count the characters of strings that occur so often."""
    found: Counter[str] = Counter()
    for count, strings in as_frequent(counts).items():
        for letter, number in Counter("".join(strings)).items():
            found[letter] += number * count
    return found


def _entries(stream: IO[str]) -> Iterable[tuple[str, int]]:
    for line in stream:
        count, _, string = line[:-1].partition("\t")
        yield string, int(count)
