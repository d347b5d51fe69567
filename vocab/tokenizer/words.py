"""The different words of a text: numbered as they come, with what says whether a word is cut alike wherever it stands.

Nothing here is done word by word in Python that can be done for some thousand words at once.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count, islice
from unicodedata import is_normalized

import numpy as np

SPACE = "▁"  # what Metaspace tokenizers write for a space
SIGNS = ",.;:!?)\"'"
"""Signs that often end a word, and stand alone in most vocabularies."""
_WHITE = [chr(code) for code in range(0x3001) if chr(code).isspace() and code != 0x20]


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
    def ascii(self) -> np.ndarray:
        """Bool (words,): nothing but letters and digits of ASCII, which all normal forms leave alone."""
        return np.array([word.isascii() and word.isalnum() for word in self.words], dtype=bool)

    @cached_property
    def composed(self) -> np.ndarray:
        """Bool (words,): in NFC, and no mark stands first."""
        plain = np.array([is_normalized("NFC", word) for word in self.words], dtype=bool)
        return self.ascii | (plain & ~self.strange)

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
        self._strange: set[str] = set()
        self.signs = Signs()

    @property
    def words(self) -> list[str]:
        """The words so far."""
        return list(self._number)

    @property
    def lexicon(self) -> Lexicon:
        """The words so far, and what is known of them."""
        strange = np.zeros(len(self._number), dtype=bool)
        strange[[self._number[word] for word in self._strange]] = True
        return Lexicon(self.words, strange, self.signs)

    def number(self, words: Collection[str]) -> np.ndarray:
        """Return the number of each word, int64."""
        known = len(self._number)
        ids = np.fromiter(map(self._number.__getitem__, words), dtype=np.int64, count=len(words))
        fresh = list(islice(reversed(self._number), len(self._number) - known))
        self.signs.learn(fresh)
        self._strange.update(self.signs.strange(fresh))
        return ids

    def split(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Part lines.

        Args:
            lines: some thousand lines.

        Returns:
            Numbers of all words, int64 (words,); how many each line has, int64 (lines,); and which lines are odd, bool
            (lines,): white space other than single spaces between words stands in them, or a strange word does.
        """
        text = " ".join(lines)
        ids = self.number(text.split())
        counts = np.array([line.count(" ") + 1 for line in lines], dtype=np.int64)
        odd = np.zeros(len(lines), dtype=bool)
        for place, parts in self._irregular(text, lines):
            counts[place] = len(parts)
            odd[place] = len(parts) > 0
        return ids, counts, odd

    def count(self, lines: Sequence[str]) -> Counted:
        """Count the words of lines, which takes less than parting them.

        Args:
            lines: some thousand lines.
        """
        text = " ".join(lines)
        counted = Counter(text.split())
        ids = self.number(counted)
        irregular = dict(self._irregular(text, lines))
        first = Counter([line.split(" ", 1)[0] for n, line in enumerate(lines) if n not in irregular])
        apart = Counter(chain.from_iterable(irregular.values()))
        odd = [place for place, parts in irregular.items() if parts]
        return Counted(self._often(counted, ids), self._often(first), self._often(apart), odd)

    def _often(self, counted: Counter[str], ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        often = np.fromiter(counted.values(), dtype=np.int64, count=len(counted))
        return self.number(counted) if ids is None else ids, often

    def _irregular(self, text: str, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """Find lines that are odd or blank: their places and their words."""
        edges = {"", " ", *self.signs.marks}
        suspects = [*_WHITE, *(self.signs.known - self.signs.plain), *(f" {mark}" for mark in self.signs.marks), "  "]
        found = {place for place, line in enumerate(lines) if line[:1] in edges or line[-1] == " "}
        for suspect in suspects:
            if suspect in text:
                found.update([place for place, line in enumerate(lines) if suspect in line])
        for place in sorted(found):
            parts = lines[place].split()
            if not parts or lines[place] != " ".join(parts) or not self._strange.isdisjoint(parts):
                yield place, parts


@dataclass(frozen=True)
class Counted:
    """How often words stand in some lines: each time the numbers of the words, and how often, both int64.

    Attributes:
        every: all words.
        first: those that begin a line that is not odd.
        apart: those in odd lines.
        odd: places of the odd lines; see `Splitter.split`.
    """

    every: tuple[np.ndarray, np.ndarray]
    first: tuple[np.ndarray, np.ndarray]
    apart: tuple[np.ndarray, np.ndarray]
    odd: list[int]
