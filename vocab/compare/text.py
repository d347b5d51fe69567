"""One pass over a text, in blocks: its different words, and how often each stands in each block of documents.

A text has far fewer different words than words, and most tokenizers cut each word whatever stands beside it; so a text
that is counted once can be cut by any number of tokenizers in the time that its different words take. Lines that such
a tokenizer might still treat as a whole (runs of spaces, control characters, accents that begin a word) are kept as
they are.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.texts import Lines
from vocab.view import SPACE

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Documents = Literal["line", "blank", "file"]
BLOCKS = 256
_BATCH = 5000
_SAMPLE = 2000
_LONGEST = 20_000  # characters of a sampled line
_COMPACT = 4_000_000


@dataclass(frozen=True)
class Text:
    """A text that has been counted.

    Attributes:
        lines: the text itself, to be gone through again.
        documents: what a document is.
        documents_a_block: so many neighbouring documents are one block; there are 128 to 256 blocks, or as many as
            documents.
        words: the different strings between white space, then words without the punctuation around them.
        core: int64 (words,), place in `words` of each word without the punctuation around it; -1 where nothing is left.
        strange: bool (words,), the word might be cut otherwise beside others: it holds a control character, or begins
            with a combining mark; only lines without such words, and with single spaces, are plain.
        inside: CSR (blocks, words), how often a word stands in a plain line, not at its beginning.
        first: CSR (blocks, words), how often it begins a plain line.
        apart: CSR (blocks, words), how often it stands in another line.
        odd: the different lines that are not plain.
        odd_counts: CSR (blocks, odd), how often each occurs.
        totals: for `lines`, `words`, `characters` (code points), `bytes` (UTF-8) and `graphemes`: float64 (blocks,).
        sample: up to 2,000 lines spread evenly over the text, none of more than 20,000 characters.
        sample_blocks: int64 (sample,), the block of each.
    """

    lines: Lines
    documents: Documents
    documents_a_block: int
    words: list[str]
    core: np.ndarray
    strange: np.ndarray
    inside: csr_matrix
    first: csr_matrix
    apart: csr_matrix
    odd: list[str]
    odd_counts: csr_matrix
    totals: dict[str, np.ndarray]
    sample: list[str]
    sample_blocks: np.ndarray

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.totals["lines"])

    @property
    def occurrences(self) -> csr_matrix:
        """How often each word occurs at all, CSR (blocks, words)."""
        return self.inside + self.first + self.apart

    @property
    def frequency(self) -> np.ndarray:
        """How often each word occurs in the whole text, int64 (words,)."""
        return np.asarray(self.occurrences.sum(axis=0)).ravel().astype(np.int64)

    def again(self) -> Iterator[tuple[np.ndarray, list[str]]]:
        """Go through the text again: lines, and the block of each, a batch at a time."""
        for numbers, lines in _batches(self.lines, self.documents):
            yield numbers // self.documents_a_block, lines


def read_text(texts: Any, *, documents: Documents = "line", blank: bool = False) -> Text:
    """Count a text.

    Args:
        texts: a file, files, or lines that can be gone through twice.
        documents: what is resampled as one for intervals: each line, lines between blank lines, or each file.
        blank: count blank lines as documents of their own, for texts that belong together line by line.

    Returns:
        The counts.

    Raises:
        InputError: no text, a one-shot iterator, a file that is not UTF-8, or an unknown kind of document.
    """
    if documents not in ("line", "blank", "file"):
        raise InputError("unknown kind of document", found=repr(documents), expected="line, blank or file")
    lines = Lines(texts, blank=blank or documents == "blank")
    counter = _Counter()
    for numbers, batch in _batches(lines, documents, keep_blank=blank):
        counter.add(batch, numbers)
    return counter.finish(lines, documents)


def _batches(lines: Lines, documents: Documents, keep_blank: bool = False) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Give some thousand lines at a time, with the number of each one's document."""
    numbered = _numbered(lines, documents, keep_blank)
    while batch := list(islice(numbered, _BATCH)):
        yield np.array([number for number, _ in batch], dtype=np.int64), [line for _, line in batch]


def _numbered(lines: Lines, documents: Documents, keep_blank: bool) -> Iterator[tuple[int, str]]:
    if documents == "file" and lines.files:
        for number, file in enumerate(lines.files):
            for line in Lines(file):
                yield number, line
        return
    number, filled = 0, False
    for line in lines:
        if documents == "blank" and not line.strip():
            number, filled = number + filled, False
            continue
        if line.strip() or keep_blank:
            yield number, line
            filled = True
            number += documents == "line"


class _Counter:
    """Counts batches of lines; when there are too many blocks, two neighbours become one."""

    def __init__(self) -> None:
        self.table: defaultdict[str, int] = defaultdict()
        self.table.default_factory = self.table.__len__  # a new word gets the next number
        self.odd_table: defaultdict[str, int] = defaultdict()
        self.odd_table.default_factory = self.odd_table.__len__
        self.size = 1
        self.inside, self.first, self.apart, self.odd = (_Cells() for _ in range(4))
        self.totals = {name: np.zeros(2 * BLOCKS) for name in ("lines", "words", "characters", "bytes")}
        self.last = 0
        self.strange = np.zeros(0, dtype=bool)
        self.signs = _Signs()
        self.sample: list[tuple[int, int, str]] = []
        self.step, self.seen = 1, 0

    def add(self, lines: list[str], numbers: np.ndarray) -> None:
        while numbers[-1] // self.size >= BLOCKS:
            self._merge()
        blocks = numbers // self.size
        self.last = int(blocks[-1])
        split = [line.split() for line in lines]
        table = self.table
        known = len(table)
        ids = np.array([table[word] for words in split for word in words], dtype=np.int64)
        lengths = np.array([len(words) for words in split], dtype=np.int64)
        fresh = list(table)[known:] if known else list(table)
        self.strange = np.concatenate([self.strange, [self.signs.strange(word) for word in fresh]]).astype(bool)
        odd = np.array([line != " ".join(words) for line, words in zip(lines, split, strict=True)], dtype=bool)
        row = np.repeat(np.arange(len(lines)), lengths)
        odd |= np.bincount(row, weights=self.strange[ids], minlength=len(lines)) > 0
        begins = np.zeros(len(ids), dtype=bool)
        begins[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        of, apart = blocks[row], odd[row]
        self.inside.add(of, ids, ~apart & ~begins)
        self.first.add(of, ids, ~apart & begins)
        self.apart.add(of, ids, apart)
        whole = [self.odd_table[lines[place]] for place in np.flatnonzero(odd & (lengths > 0)).tolist()]
        self.odd.add(blocks[odd & (lengths > 0)], np.array(whole, dtype=np.int64))
        self._total("lines", blocks, np.ones(len(lines)))
        self._total("words", blocks, lengths)
        self._total("characters", blocks, np.array([len(line) for line in lines]))
        self._total("bytes", blocks, np.array([len(line.encode("utf-8", "surrogatepass")) for line in lines]))
        self._choose(lines, numbers.tolist())

    def _total(self, name: str, blocks: np.ndarray, values: np.ndarray) -> None:
        self.totals[name] += np.bincount(blocks, weights=values, minlength=2 * BLOCKS)

    def _merge(self) -> None:
        self.size *= 2
        for cells in (self.inside, self.first, self.apart, self.odd):
            cells.halve()
        for name, values in self.totals.items():
            self.totals[name] = np.concatenate([values.reshape(-1, 2).sum(axis=1), np.zeros(BLOCKS)])

    def _choose(self, lines: list[str], documents: list[int]) -> None:
        """Keep every n-th line; n doubles when there are too many."""
        start = -self.seen % self.step
        for place in range(start, len(lines), self.step):
            if lines[place].strip() and len(lines[place]) <= _LONGEST:
                self.sample.append((self.seen + place, documents[place], lines[place]))
        self.seen += len(lines)
        while len(self.sample) > _SAMPLE:
            self.step *= 2
            self.sample = [entry for entry in self.sample if entry[0] % self.step == 0]

    def finish(self, lines: Lines, documents: Documents) -> Text:
        words = list(self.table)
        core = np.full(len(words), -1, dtype=np.int64)
        for place, word in enumerate(words):
            bare = self.signs.core(word)
            if bare:
                core[place] = self.table[bare]
        every = list(self.table)
        blocks = self.last + 1 if self.seen else 0
        inside, first, apart = (cells.matrix(blocks, len(every)) for cells in (self.inside, self.first, self.apart))
        totals = {name: values[:blocks] for name, values in self.totals.items()}
        joined = np.zeros(len(every))
        joined[: len(words)] = [self.signs.joined(word) for word in words]
        totals["graphemes"] = totals["characters"] - (inside + first + apart) @ joined
        return Text(
            lines=lines,
            documents=documents,
            documents_a_block=self.size,
            words=every,
            core=np.concatenate([core, np.arange(len(words), len(every))]),
            strange=np.append(self.strange, [self.signs.strange(word) for word in every[len(words) :]]).astype(bool),
            inside=inside,
            first=first,
            apart=apart,
            odd=list(self.odd_table),
            odd_counts=self.odd.matrix(blocks, len(self.odd_table)),
            totals=totals,
            sample=[line for _, _, line in self.sample],
            sample_blocks=np.array([document // self.size for _, document, _ in self.sample], dtype=np.int64),
        )


class _Cells:
    """Cells of a sparse matrix of counts, added up as they come."""

    def __init__(self) -> None:
        self.keys: list[np.ndarray] = []
        self.counts: list[np.ndarray] = []
        self.waiting = 0

    def add(self, rows: np.ndarray, columns: np.ndarray, use: np.ndarray | None = None) -> None:
        keys = rows << 32 | columns
        keys, counts = np.unique(keys if use is None else keys[use], return_counts=True)
        self.keys.append(keys)
        self.counts.append(counts)
        self.waiting += len(keys)
        if self.waiting > _COMPACT:
            self._compact()
            self.waiting = 0

    def halve(self) -> None:
        self.keys = [(keys >> 33 << 32) | (keys & 0xFFFFFFFF) for keys in self.keys]

    def _compact(self) -> None:
        keys, places = np.unique(np.concatenate(self.keys), return_inverse=True)
        counts = np.bincount(places, weights=np.concatenate(self.counts)).astype(np.int64)
        self.keys, self.counts = [keys], [counts]

    def matrix(self, rows: int, columns: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        if not self.keys:
            return csr_matrix((rows, columns), dtype=np.float64)
        keys, counts = np.concatenate(self.keys), np.concatenate(self.counts).astype(np.float64)
        return csr_matrix((counts, (keys >> 32, keys & 0xFFFFFFFF)), shape=(rows, columns))


class _Signs:
    """What is known of the characters met so far."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}

    def _kind(self, character: str) -> str:
        """Return `m` (combining mark), `x` (a normaliser might drop it or make a space of it) or `l` (all others)."""
        kind = self.kinds.get(character)
        if kind is None:
            category = unicodedata.category(character)[0]
            spaced = any(c.isspace() for c in unicodedata.normalize("NFKC", character))
            kind = "x" if category in "CZ" or spaced or character == SPACE else "m" if category == "M" else "l"
            self.kinds[character] = kind
        return kind

    def strange(self, word: str) -> bool:
        """Whether a word may be cut otherwise in its line than alone."""
        if word.isascii():
            return not word.isprintable()
        return self._kind(word[0]) == "m" or any(self._kind(character) == "x" for character in word)

    @staticmethod
    def core(word: str) -> str:
        """Take the punctuation and signs off both ends of a word."""
        if word.isalnum():
            return word
        inside = [place for place, character in enumerate(word) if unicodedata.category(character)[0] in "LMN"]
        return word[inside[0] : inside[-1] + 1] if inside else ""

    def joined(self, word: str) -> int:
        """Count the code points of a word that belong to the grapheme before them."""
        if word.isascii() or not any(self._kind(character) in "mx" or _joins(character) for character in word):
            return 0
        import regex

        return len(word) + 1 - len(regex.findall(r"\X", f" {word}"))


def _joins(character: str) -> bool:
    """Whether a letter or sign may join the one before it: Hangul jamo, flags, skin tones, prepended letters."""
    code = ord(character)
    return 0x1100 <= code <= 0x11FF or 0xA960 <= code <= 0xD7FB or 0x1F1E6 <= code <= 0x1F3FF
