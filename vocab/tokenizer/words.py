"""The different words of a text: numbered as they come, with what says whether a word is cut alike wherever it stands.

Nothing here is done word by word in Python that can be done for some thousand words at once.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import count, islice

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

    def strange(self, word: str) -> bool:
        """Whether a word may be cut otherwise in its line than alone: control characters, or a mark begins it."""
        if word.isascii():
            return not word.isprintable()
        return word[0] in self.marks or not self.plain.issuperset(word)

    def cores(self, words: Sequence[str]) -> list[str]:
        """Take the punctuation and signs off both ends of words; "" where nothing is left."""
        signs = "".join(self.known - self.worded)
        return [word if word.isalnum() else word.strip(signs) for word in words]

    def joined(self, word: str) -> int:
        """Count the code points of a word that belong to the grapheme before them (or to the space before it)."""
        if word.isascii() or self.joining.isdisjoint(word):
            return 0
        rest = [character for character in word if not "\u0300" <= character <= "\u036f"]
        if self.joining.isdisjoint(rest):
            return len(word) - len(rest)  # accents over and under Latin, Greek or Cyrillic letters
        import regex

        return len(word) + 1 - len(regex.findall(r"\X", f" {word}"))


def _joins(character: str) -> bool:
    """Whether a letter or sign may join the one before it: Hangul jamo, flags, skin tones, prepended letters."""
    code = ord(character)
    return 0x1100 <= code <= 0x11FF or 0xA960 <= code <= 0xD7FB or 0x1F1E6 <= code <= 0x1F3FF


class Lexicon:
    """Different words, and what is known of each.

    Attributes:
        words: the words, none with white space in it.
        strange: bool (words,), the word might be cut otherwise beside others.
        signs: what is known of their characters.
    """

    def __init__(self, words: list[str], strange: np.ndarray, signs: Signs) -> None:
        self.words, self.strange, self.signs = words, strange, signs

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
    def lettered(self) -> np.ndarray:
        """Bool (words,): nothing but letters, marks and numbers."""
        worded = self.signs.worded
        return np.array([word.isalnum() or worded.issuperset(word) for word in self.words], dtype=bool)

    @cached_property
    def stems(self) -> np.ndarray:
        """Place of each word without the one of `SIGNS` that follows its last letter; -1 where there is none, int64."""
        worded, found = self.signs.worded, np.full(len(self), -1, dtype=np.int64)
        for number, word in enumerate(self.words):
            if word[-1] in SIGNS and word[-2:-1] in worded:
                found[number] = self.place.get(word[:-1], -1)
        found[self.strange] = -1
        return found


class Splitter:
    """Parts lines at white space and numbers their words; a new word gets the next number."""

    def __init__(self) -> None:
        self._number: defaultdict[str, int] = defaultdict(count().__next__)
        self._strange = np.zeros(0, dtype=bool)
        self._size = np.zeros(0, dtype=np.int64)
        self.signs = Signs()

    @property
    def words(self) -> list[str]:
        """The words so far."""
        return list(self._number)

    @property
    def lexicon(self) -> Lexicon:
        """The words so far, and what is known of them."""
        return Lexicon(self.words, self._strange, self.signs)

    def number(self, words: Sequence[str]) -> np.ndarray:
        """Return the number of each word, int64."""
        known = len(self._number)
        ids = np.fromiter(map(self._number.__getitem__, words), dtype=np.int64, count=len(words))
        fresh = list(islice(reversed(self._number), len(self._number) - known))[::-1]
        self.signs.learn(fresh)
        strange = np.fromiter(map(self.signs.strange, fresh), dtype=bool, count=len(fresh))
        self._strange = np.concatenate([self._strange, strange])
        self._size = np.concatenate([self._size, np.fromiter(map(len, fresh), dtype=np.int64, count=len(fresh))])
        return ids

    def split(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Part lines.

        Args:
            lines: some thousand lines.

        Returns:
            Numbers of all words, int64 (words,); how many each line has, int64 (lines,); and which lines are odd, bool
            (lines,): white space other than single spaces between words stands in them, or a strange word does.
        """
        ids = self.number("\n".join(lines).split())
        size = self._size[ids]
        length = np.fromiter(map(len, lines), dtype=np.int64, count=len(lines))
        spaces = np.array([line.count(" ") for line in lines], dtype=np.int64)
        filled = length - spaces
        if filled.sum() == size.sum():  # no white space but spaces: characters say where a line's words end
            ends = np.searchsorted(np.cumsum(size), np.cumsum(filled), side="right")
            counts = np.diff(ends, prepend=0)
        else:
            counts = np.array([len(line.split()) for line in lines], dtype=np.int64)
            filled = np.bincount(np.repeat(np.arange(len(lines)), counts), weights=size, minlength=len(lines))
        odd = (counts > 0) & ((spaces != counts - 1) | (length - filled != spaces))
        row = np.repeat(np.arange(len(lines)), counts)
        odd[row[self._strange[ids]]] = True
        return ids, counts, odd
