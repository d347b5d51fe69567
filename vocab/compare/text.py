"""One pass over a text, in blocks: its different words, and how often each stands in each block of documents.

A text has far fewer different words than words, and most tokenizers cut each word whatever stands beside it; so a text
that is counted once can be cut by any number of tokenizers in the time that its different words take. Lines that such
a tokenizer might still treat as a whole (runs of spaces, control characters, accents that begin a word) are kept as
they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.cut import batched
from vocab.tokenizer.texts import Lines
from vocab.tokenizer.words import Lexicon, Splitter

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
        lexicon: the different strings between white space, then words without the punctuation around them.
        core: int64 (words,), place in `words` of each word without the punctuation around it; -1 where nothing is left.
        inside: CSR (blocks, words), how often a word stands in a plain line, not at its beginning. Plain are lines
            with single spaces between words, none of which is strange.
        first: CSR (blocks, words), how often it begins a plain line.
        apart: CSR (blocks, words), how often it stands in another line.
        odd: the different lines that are not plain.
        odd_counts: CSR (blocks, odd), how often each occurs.
        totals: for `lines`, `words`, `characters` (code points), `bytes` (UTF-8) and `graphemes`: float64 (blocks,).
        sample: up to 2,000 lines spread evenly over the text, none of more than 20,000 characters.
        sample_blocks: int64 (sample,), the block of each.
        sample_words: int64, the places in `words` of all words of the sampled lines.
        sample_counts: int64 (sample,), how many words each has.
        sample_odd: bool (sample,), which are not plain.
    """

    lines: Lines
    documents: Documents
    documents_a_block: int
    lexicon: Lexicon
    core: np.ndarray
    inside: csr_matrix
    first: csr_matrix
    apart: csr_matrix
    odd: list[str]
    odd_counts: csr_matrix
    totals: dict[str, np.ndarray]
    sample: list[str]
    sample_blocks: np.ndarray
    sample_words: np.ndarray
    sample_counts: np.ndarray
    sample_odd: np.ndarray

    @property
    def words(self) -> list[str]:
        """The different words."""
        return self.lexicon.words

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.totals["lines"])

    @cached_property
    def plain(self) -> csr_matrix:
        """How often each word occurs in plain lines, CSR (blocks, words)."""
        return self.inside + self.first

    @property
    def occurrences(self) -> csr_matrix:
        """How often each word occurs at all, CSR (blocks, words)."""
        return self.plain + self.apart

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
    for numbers, batch in _batches(lines, documents):
        counter.add(batch, numbers)
    return counter.finish(lines, documents)


def _batches(lines: Lines, documents: Documents) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Give some thousand lines at a time, with the number of each one's document."""
    if documents == "line":
        number = 0
        for batch in batched(lines):
            yield np.arange(number, number + len(batch)), batch
            number += len(batch)
        return
    numbered = _numbered(lines, documents)
    while pairs := list(islice(numbered, _BATCH)):
        yield np.array([number for number, _ in pairs], dtype=np.int64), [line for _, line in pairs]


def _numbered(lines: Lines, documents: Documents) -> Iterator[tuple[int, str]]:
    if documents == "file" and lines.files:
        for number, file in enumerate(lines.files):
            for line in Lines(file):
                yield number, line
        return
    number, filled = 0, False
    for line in lines:
        if line.strip():
            yield number, line
            filled = True
        elif documents == "blank":
            number, filled = number + filled, False


class _Counter:
    """Counts batches of lines; when there are too many blocks, two neighbours become one."""

    def __init__(self) -> None:
        self.splitter = Splitter()
        self.odd_table: defaultdict[str, int] = defaultdict()
        self.odd_table.default_factory = self.odd_table.__len__
        self.size = 1
        self.cells, self.odd = [_Cells() for _ in range(3)], _Cells()
        self.totals = {name: np.zeros(2 * BLOCKS) for name in ("lines", "words", "characters", "bytes")}
        self.last = 0
        self.sample: list[tuple[int, int, str]] = []
        self.step, self.seen = 1, 0

    def add(self, lines: list[str], numbers: np.ndarray) -> None:
        while numbers[-1] // self.size >= BLOCKS:
            self._merge()
        blocks = numbers // self.size
        self.last = int(blocks[-1])
        edges = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(lines)]
        for start, end in zip(edges, edges[1:], strict=False):
            self._count(lines[start:end], int(blocks[start]))
        self._choose(lines, numbers.tolist())

    def _count(self, lines: list[str], block: int) -> None:
        """Count lines of one block."""
        counted = self.splitter.count(lines)
        for cells, (ids, often) in zip(self.cells, (counted.every, counted.first, counted.apart), strict=True):
            cells.add(block, ids, often)
        whole = Counter(lines[place] for place in counted.odd)
        self.odd.add(block, np.array([self.odd_table[line] for line in whole], np.int64), np.array([*whole.values()]))
        text = "".join(lines)
        totals = {
            "lines": len(lines),
            "words": counted.every[1].sum(),
            "characters": len(text),
            "bytes": len(text.encode("utf-8", "surrogatepass")),
        }
        for name, value in totals.items():
            self.totals[name][block] += value

    def _merge(self) -> None:
        self.size *= 2
        for cells in (*self.cells, self.odd):
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
        written = self.splitter.words
        cores = self.splitter.signs.cores(written)
        core = self.splitter.number([bare or word for bare, word in zip(cores, written, strict=True)])
        core[[not bare for bare in cores]] = -1
        sample = [line for _, _, line in self.sample]
        sample_words, sample_counts, sample_odd = self.splitter.split(sample)
        lexicon = self.splitter.lexicon
        blocks = self.last + 1 if self.seen else 0
        every, first, apart = (cells.matrix(blocks, len(lexicon)) for cells in self.cells)
        inside = every - first - apart
        inside.eliminate_zeros()
        totals = {name: values[:blocks] for name, values in self.totals.items()}
        joined = np.zeros(len(lexicon))
        joined[: len(written)] = self.splitter.signs.joined(written)
        totals["graphemes"] = totals["characters"] - every @ joined
        return Text(
            lines=lines,
            documents=documents,
            documents_a_block=self.size,
            lexicon=lexicon,
            core=np.concatenate([core, np.arange(len(written), len(lexicon))]),
            inside=inside,
            first=first,
            apart=apart,
            odd=list(self.odd_table),
            odd_counts=self.odd.matrix(blocks, len(self.odd_table)),
            totals=totals,
            sample=sample,
            sample_blocks=np.array([document // self.size for _, document, _ in self.sample], dtype=np.int64),
            sample_words=sample_words,
            sample_counts=sample_counts,
            sample_odd=sample_odd,
        )


class _Cells:
    """Cells of a sparse matrix of counts, added up as they come."""

    def __init__(self) -> None:
        self.keys: list[np.ndarray] = []
        self.counts: list[np.ndarray] = []
        self.waiting = 0

    def add(self, row: int, columns: np.ndarray, counts: np.ndarray) -> None:
        self.keys.append(row << 32 | columns)
        self.counts.append(counts)
        self.waiting += len(columns)
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

        keys = np.concatenate([np.zeros(0, dtype=np.int64), *self.keys])
        counts = np.concatenate([np.zeros(0), *self.counts])
        return csr_matrix((counts, (keys >> 32, keys & 0xFFFFFFFF)), shape=(rows, columns))
