"""One pass over a text, in blocks: its different words, and how often each stands in each block of documents.

A text has far fewer different words than words, and most tokenizers cut each word whatever stands beside it; so a text
that is counted once can be cut by any number of tokenizers in the time that its different words take. What such a
tokenizer might still treat as a whole (runs of spaces, control characters, accents that begin a word) is kept with the
words beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.cut import CHARACTERS, head, without_spans
from vocab.tokenizer.pieces import batched
from vocab.tokenizer.texts import Lines
from vocab.tokenizer.words import Lexicon, Splitter

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Documents = Literal["line", "blank", "file"]
BLOCKS = 256
_APOSTROPHES = "'’‘"
_BATCH = 5000
_SAMPLE = 2000
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
        core: int64 (words,), place in `words` of each word without the punctuation around it (but for an apostrophe
            that begins the word more often than not); -1 where nothing is left.
        plain: CSR (blocks, words), how often a word stands outside the lexicon's spans.
        first: CSR (blocks, words), how often it begins a line there.
        spans: CSR (blocks, spans), how often each span occurs.
        occurrences: CSR (blocks, words), how often each word occurs at all.
        totals: for `lines`, `words`, `characters` (code points), `bytes` (UTF-8) and `graphemes`: float64 (blocks,).
        sample: up to 2,000 lines spread evenly over the text; of lines of more than 20,000 characters, the beginning.
        sample_blocks: int64 (sample,), the block of each.
        sample_items: int64, the words and spans of the sampled lines; see `Splitter.split`.
        sample_counts: int64 (sample,), how many each has.
    """

    lines: Lines
    documents: Documents
    documents_a_block: int
    lexicon: Lexicon
    core: np.ndarray
    plain: csr_matrix
    first: csr_matrix
    spans: csr_matrix
    occurrences: csr_matrix
    totals: dict[str, np.ndarray]
    sample: list[str]
    sample_blocks: np.ndarray
    sample_items: np.ndarray
    sample_counts: np.ndarray

    @property
    def words(self) -> list[str]:
        """The different words."""
        return self.lexicon.words

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.totals["lines"])

    @cached_property
    def inside(self) -> csr_matrix:
        """How often a word stands outside spans and does not begin its line, CSR (blocks, words)."""
        return self.plain - self.first

    @property
    def sample_plain(self) -> np.ndarray:
        """Which sampled lines have no spans, bool (sample,)."""
        return without_spans(self.sample_items, self.sample_counts)

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
        for batch in batched(lines, CHARACTERS):
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
        self.size = 1
        self.plain, self.first, self.spans = (_Cells() for _ in range(3))
        self.totals = {name: np.zeros(BLOCKS) for name in ("lines", "characters", "bytes")}
        self.last = 0
        self.sample: list[tuple[int, int, str]] = []
        self.step, self.seen = 1, 0

    def add(self, lines: list[str], numbers: np.ndarray) -> None:
        while numbers[-1] // self.size >= BLOCKS:
            self._merge()
        blocks = numbers // self.size
        self.last = int(blocks[-1])
        ids, counts = self.splitter.split(lines)
        rows, words = np.repeat(blocks << 32, counts), ids >= 0
        self.plain.add(rows[words] | ids[words])
        self.spans.add(rows[~words] | ~ids[~words])
        first = (np.cumsum(counts) - counts)[counts > 0]
        first = first[words[first]]
        self.first.add(rows[first] | ids[first])
        sizes = {
            "lines": None,
            "characters": list(map(len, lines)),
            "bytes": [len(line if line.isascii() else line.encode("utf-8", "surrogatepass")) for line in lines],
        }
        for name, weights in sizes.items():
            self.totals[name] += np.bincount(blocks, weights, minlength=BLOCKS)
        self._choose(lines, numbers.tolist())

    def _merge(self) -> None:
        self.size *= 2
        for cells in (self.plain, self.first, self.spans):
            cells.halve()
        for name, values in self.totals.items():
            self.totals[name] = np.concatenate([values.reshape(-1, 2).sum(axis=1), np.zeros(BLOCKS // 2)])

    def _choose(self, lines: list[str], documents: list[int]) -> None:
        """Keep every n-th line; n doubles when there are too many."""
        start = -self.seen % self.step
        for place in range(start, len(lines), self.step):
            line = head(lines[place])
            if line.strip():
                self.sample.append((self.seen + place, documents[place], line))
        self.seen += len(lines)
        while len(self.sample) > _SAMPLE:
            self.step *= 2
            self.sample = [entry for entry in self.sample if entry[0] % self.step == 0]

    def finish(self, lines: Lines, documents: Documents) -> Text:
        from scipy.sparse import csr_matrix

        splitter = self.splitter
        written = splitter.lexicon.words
        blocks = self.last + 1 if self.seen else 0
        times = np.asarray(self.plain.matrix(blocks, len(written)).sum(axis=0)).ravel()
        cores = _with_apostrophes(written, splitter.signs.cores(written), times)
        core = splitter.number([bare or word for bare, word in zip(cores, written, strict=True)])
        core[[not bare for bare in cores]] = -1
        sample = [line for _, _, line in self.sample]
        sample_items, sample_counts = splitter.split(sample)
        lexicon = splitter.lexicon
        plain, first = (cells.matrix(blocks, len(lexicon)) for cells in (self.plain, self.first))
        spans = self.spans.matrix(blocks, len(lexicon.spans))
        parts = [span.split() for span, _ in lexicon.spans]
        members = splitter.number(list(chain.from_iterable(parts)))
        edges = np.cumsum([0, *map(len, parts)])
        shape = (len(parts), len(lexicon))
        occurrences = plain + spans @ csr_matrix((np.ones(len(members)), members, edges), shape=shape)
        joined = np.zeros(len(lexicon))
        joined[: len(written)] = splitter.signs.joined(written)
        totals = {name: values[:blocks] for name, values in self.totals.items()}
        totals["words"] = np.asarray(occurrences.sum(axis=1)).ravel()
        totals["graphemes"] = totals["characters"] - occurrences @ joined
        return Text(
            lines=lines,
            documents=documents,
            documents_a_block=self.size,
            lexicon=lexicon,
            core=np.concatenate([core, np.arange(len(written), len(lexicon))]),
            plain=plain,
            first=first,
            spans=spans,
            occurrences=occurrences,
            totals=totals,
            sample=sample,
            sample_blocks=np.array([document // self.size for _, document, _ in self.sample], dtype=np.int64),
            sample_items=sample_items,
            sample_counts=sample_counts,
        )


def _with_apostrophes(written: list[str], cores: list[str], times: np.ndarray) -> list[str]:
    """Leave an apostrophe with the word that it begins (Hausa 'yan), where the word mostly has one.

    Args:
        written: the words.
        cores: the same without the signs around them; changed here.
        times: how often each stands in the text, float64 (words,).
    """
    begun: dict[int, str] = {}
    for place, (word, core) in enumerate(zip(written, cores, strict=True)):
        start = word.find(core) if core and word != core else 0
        if start and word[start - 1] in _APOSTROPHES and word[start + len(core) :][:1] not in (*_APOSTROPHES, '"'):
            begun[place] = word[start - 1] + core  # what an apostrophe closes, too, is quoted
    mostly = dict.fromkeys((cores[place] for place in begun), 0.0)
    for place, core in enumerate(cores):
        if core in mostly:
            mostly[core] += times[place] if place in begun else -times[place]
    for place, word in begun.items():
        if mostly[cores[place]] > 0:
            cores[place] = word
    return cores


class _Cells:
    """Cells of a sparse matrix of counts, added up as they come."""

    def __init__(self) -> None:
        self.keys: list[np.ndarray] = []
        self.counts: list[np.ndarray] = []
        self.waiting = 0

    def add(self, keys: np.ndarray) -> None:
        """Count once more each cell of `keys`: row << 32 | column."""
        different, counts = np.unique(keys, return_counts=True)
        self.keys.append(different)
        self.counts.append(counts)
        self.waiting += len(different)
        if self.waiting > _COMPACT:
            self._compact()
            self.waiting = 0

    def halve(self) -> None:
        self.keys = [(keys >> 33 << 32) | (keys & 0xFFFFFFFF) for keys in self.keys]

    def _compact(self) -> None:
        keys, counts = (np.concatenate([np.zeros(0, dtype=np.int64), *parts]) for parts in (self.keys, self.counts))
        order = np.argsort(keys, kind="stable")  # fast: it is some sorted parts
        keys, counts = keys[order], counts[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        self.keys, self.counts = [keys[starts]], [np.add.reduceat(counts, starts) if len(keys) else counts]

    def matrix(self, rows: int, columns: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        self._compact()
        (keys,), (counts,) = self.keys, self.counts
        edges = np.searchsorted(keys >> 32, np.arange(rows + 1))
        return csr_matrix((counts.astype(np.float64), keys & 0xFFFFFFFF, edges), shape=(rows, columns))
