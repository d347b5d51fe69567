"""The different words of a text: numbered as they come, with what says whether a word is cut alike wherever it stands.

Nothing here is done word by word in Python that can be done for some thousand words at once.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import compress, count, islice
from unicodedata import is_normalized

import numpy as np

SPACE = "▁"  # what Metaspace tokenizers write for a space
SIGNS = ",.;:!?)\"'"
"""Signs that often end a word, and stand alone in most vocabularies."""


class Signs:
    """What is known of the characters met so far."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.plain: set[str] = set()  # no normaliser drops them or makes a space of them
        self.marks: set[str] = set()  # combining marks
        self.worded: set[str] = set()  # letters, marks and numbers
        self.joining: set[str] = set()  # may belong to the grapheme before them

    def learn(self, words: Iterable[str]) -> None:
        """Look at the characters of words."""
        for character in set().union(*words) - self.known:
            category = unicodedata.category(character)[0]
            spaced = any(map(str.isspace, unicodedata.normalize("NFKC", character)))
            self.known.add(character)
            if category in "LMN":
                self.worded.add(character)
            if category == "M":
                self.marks.add(character)
            if category in "CZ" or spaced or character == SPACE:
                self.joining.add(character)
            else:
                self.plain.add(character)
                if category == "M" or _joins(character):
                    self.joining.add(character)

    def strange(self, words: Sequence[str]) -> list[str]:
        """Choose words that may be cut otherwise in their lines: they hold control characters, or begin with a mark.

        Their characters must have been looked at.
        """
        found = [word for word in words if word[0] in self.marks]
        odd = self.known - self.plain
        if odd:
            found += [word for word in words if not odd.isdisjoint(word)]
        return found

    def cores(self, words: Sequence[str]) -> list[str]:
        """Take the punctuation and signs off both ends of words; "" where nothing is left."""
        signs = "".join(self.known - self.worded)
        return [word if word.isalnum() else word.strip(signs) for word in words]

    def joined(self, words: Sequence[str]) -> list[int]:
        """Count the code points of each word that belong to the grapheme before them (or to the space before it)."""
        return [0 if word.isascii() or self.joining.isdisjoint(word) else self._joined(word) for word in words]

    def _joined(self, word: str) -> int:
        rest = [character for character in word if not "\u0300" <= character <= "\u036f"]
        if self.joining.isdisjoint(rest):
            return len(word) - len(rest)  # accents over and under Latin, Greek or Cyrillic letters
        import regex

        return len(word) + 1 - len(regex.findall(r"\X", f" {word}"))


def _joins(character: str) -> bool:
    """Whether a letter or sign may be one grapheme with what stands beside it (Unicode Annex 29)."""
    if character.isascii():
        return False
    code = ord(character)
    if 0x1100 <= code <= 0x11FF or 0xA960 <= code <= 0xD7FB or 0x1F1E6 <= code <= 0x1F1FF:
        return True  # Hangul jamo join each other, and so do the letters of flags
    import regex

    return len(regex.findall(r"\X", f"q{character}q")) < 3


class Lexicon:
    """Different words, and what is known of each.

    Attributes:
        words: the words, none with white space in it.
        strange: bool (words,), the word might be cut otherwise beside others.
        signs: what is known of their characters.
        spans: parts of lines that must be cut whole, and whether each begins its line; see `Splitter.split`.
    """

    def __init__(
        self, words: list[str], strange: np.ndarray, signs: Signs, spans: Sequence[tuple[str, bool]] = ()
    ) -> None:
        self.words, self.strange, self.signs, self.spans = words, strange, signs, spans

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def order(self) -> np.ndarray:
        """Places of the words in the order of their spelling, int64: neighbours have pieces in common."""
        return np.array(sorted(range(len(self)), key=self.words.__getitem__), dtype=np.int64)

    @cached_property
    def place(self) -> dict[str, int]:
        """Word -> its place."""
        return dict(zip(self.words, range(len(self)), strict=True))

    @cached_property
    def _codes(self) -> tuple[np.ndarray, np.ndarray]:
        """Code points of all words after each other, uint32, and where each word begins there, int64."""
        lengths = np.fromiter(map(len, self.words), dtype=np.int64, count=len(self))
        codes = np.frombuffer("".join(self.words).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        return codes, np.cumsum(lengths) - lengths

    def every(self, characters: Iterable[str]) -> np.ndarray:
        """Mark the words that have no other characters than these; bool (words,)."""
        codes, starts = self._codes
        if not len(codes):
            return np.zeros(0, dtype=bool)
        return np.logical_and.reduceat(_among(characters)[codes], starts)

    @cached_property
    def lettered(self) -> np.ndarray:
        """Bool (words,): nothing but letters, marks and numbers."""
        return self.every(self.signs.worded)

    @cached_property
    def composed(self) -> np.ndarray:
        """Bool (words,): in NFC, and no mark stands first."""
        found = self.every(map(chr, range(0x300)))  # nothing below U+0300 composes with what stands before it
        for place in np.flatnonzero(~found).tolist():
            found[place] = is_normalized("NFC", self.words[place])
        return found & ~self.strange

    @cached_property
    def stems(self) -> np.ndarray:
        """Place of each word without the one of `SIGNS` that follows its last letter; -1 where there is none, int64."""
        codes, starts = self._codes
        last, found = np.append(starts, len(codes))[1:] - 1, np.full(len(self), -1, dtype=np.int64)
        signed = (
            (last > starts) & ~self.strange & _among(SIGNS)[codes[last]] & _among(self.signs.worded)[codes[last - 1]]
        )
        for place in np.flatnonzero(signed).tolist():
            found[place] = self.place.get(self.words[place][:-1], -1)
        return found


def _among(characters: Iterable[str]) -> np.ndarray:
    """Table of all code points, bool: which are these characters."""
    table = np.zeros(0x110000, dtype=bool)
    table[list(map(ord, characters))] = True
    return table


class Splitter:
    """Parts lines at spaces and numbers their words; a new word gets the next number."""

    def __init__(self) -> None:
        self._number: defaultdict[str, int] = defaultdict(count().__next__)
        self._spans: defaultdict[tuple[str, bool], int] = defaultdict(count().__next__)
        self._strange: set[str] = set()
        self.signs = Signs()

    @property
    def lexicon(self) -> Lexicon:
        """The words and spans so far, and what is known of them."""
        strange = np.zeros(len(self._number), dtype=bool)
        strange[[self._number[word] for word in self._strange if word in self._number]] = True
        return Lexicon(list(self._number), strange, self.signs, list(self._spans))

    def number(self, words: Collection[str]) -> np.ndarray:
        """Return the number of each word, int64."""
        known = len(self._number)
        ids = self._numbers(words)
        self._learn(list(islice(reversed(self._number), len(self._number) - known)))
        return ids

    def split(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Part lines into words, and spans where white space other than single spaces or a strange word stands.

        A span is one word longer on either side, so that wherever a line is parted plain words meet at one space.

        Args:
            lines: some thousand lines.

        Returns:
            Numbers of all words, and -1 - number for a span, int64 (items,); and how many items each line has, int64
            (lines,): none where it is blank.
        """
        counts = np.array([line.count(" ") + 1 for line in lines], dtype=np.int64)
        if not lines:
            return counts, counts
        data = f"{' '.join(lines)} ".encode("utf-8", "surrogatepass")
        edges = np.concatenate([[0], np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord(" ")) + 1])
        written, place = _different(data, edges)
        self._learn([word for word in written if word and word not in self._number])
        plain = np.array([word != "" and word not in self._strange for word in written], dtype=bool)
        ids = np.full(len(written), -1, dtype=np.int64)
        ids[plain] = self._numbers(list(compress(written, plain.tolist())))
        ids = ids[place]
        return (ids, counts) if plain.all() else self._with_spans(ids, counts, data, edges)

    def _with_spans(
        self, ids: np.ndarray, counts: np.ndarray, data: bytes, edges: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Put spans where -1 stands; `edges` are the bytes where words begin, and the end."""
        ends = np.cumsum(counts)
        odd = np.flatnonzero(ids < 0)
        line = np.searchsorted(ends, odd, side="right")
        starts, stops = np.maximum(odd - 1, (ends - counts)[line]), np.minimum(odd + 2, ends[line])
        apart = starts[1:] >= stops[:-1]
        starts, stops = starts[np.append(True, apart)], stops[np.append(apart, True)]
        kept = np.ones(len(ids), dtype=bool)
        for start, stop, begins in zip(
            starts.tolist(), stops.tolist(), np.isin(starts, ends - counts).tolist(), strict=True
        ):
            span = data[edges[start] : edges[stop] - 1].decode("utf-8", "surrogatepass")
            words = span.split()
            known = len(self._spans)
            if words and (number := self._spans[span, begins]) == known:
                self.number(words)
            kept[start + bool(words) : stop] = False
            ids[start] = ~number if words else 0
        return ids[kept], np.add.reduceat(kept, ends - counts, dtype=np.int64)

    def _numbers(self, words: Collection[str]) -> np.ndarray:
        return np.fromiter(map(self._number.__getitem__, words), dtype=np.int64, count=len(words))

    def _learn(self, words: Sequence[str]) -> None:
        """Look at new words."""
        self.signs.learn(words)
        self._strange.update(self.signs.strange(words))


def _different(data: bytes, edges: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Find the different words of a text.

    Args:
        data: UTF-8 with a space behind each word.
        edges: the bytes where words begin, and the end, int64 (words + 1,).

    Returns:
        The different words, and the place of each word among them.
    """
    import pyarrow as pa

    buffers = [None, pa.py_buffer(edges), pa.py_buffer(data)]
    found = pa.Array.from_buffers(pa.large_binary(), len(edges) - 1, buffers).dictionary_encode()
    joined = b"".join(found.dictionary.to_pylist()).decode("utf-8", "surrogatepass")
    # The buffer itself: `to_numpy` would import pandas, 50 MB.
    return joined.split(" ")[:-1], np.frombuffer(found.indices.buffers()[1], np.int32, len(found))
