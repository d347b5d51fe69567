"""Word vectors from files: fastText (.bin, .vec), word2vec (text and binary) and GloVe, told apart by their content.

Nothing that runs is opened: a pickle (gensim's own format, torch's) is refused before a byte of it is interpreted.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numpy as np

from lexigraft import InputError

_FASTTEXT = struct.pack("<i", 793_712_314)
_HEADER = struct.Struct("<2i12id2i")
Read = TypeVar("Read")
_KINDS = "fastText .bin or .vec, word2vec text or binary, GloVe text"


@dataclass
class WordVectors:
    """Vectors of words, as long as the file has them.

    Attributes:
        words: the words; the first of equals counts.
        matrix: float32 (words, dim); or None where `model` makes them.
        frequency: how often each word was seen, int64 (words,); or None where the file does not say.
        model: a fastText model, whose words are made of n-grams; or None.
    """

    words: list[str]
    matrix: np.ndarray | None = None
    frequency: np.ndarray | None = None
    model: Any = None
    index: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.index = {word: place for place, word in reversed(list(enumerate(self.words)))}

    @property
    def dim(self) -> int:
        """Dimensions."""
        return int(self.model.get_dimension() if self.matrix is None else self.matrix.shape[1])

    @property
    def has_subwords(self) -> bool:
        """Whether there are n-grams, so that any string has a vector."""
        if self.model is None:
            return False
        arguments = self.model.f.getArgs()
        return int(arguments.maxn) > 0 and int(arguments.bucket) > 0

    def vector(self, word: str) -> np.ndarray | None:
        """Vector of a word that the file has, or None."""
        place = self.index.get(word)
        if place is None:
            return None
        return self.made_of(word) if self.matrix is None else self.matrix[place]

    def made_of(self, text: str) -> np.ndarray:
        """Mean of the input rows of a string's n-grams (and of the word, if it is one), as fastText's own; 0 if none.

        `get_word_vector` of some builds brings vectors to length 1, which the alignment must not.
        """
        rows = self.model.get_subwords(text)[1] if text else []
        if not len(rows):
            return np.zeros(self.dim, np.float32)
        return np.asarray(np.mean([self.model.get_input_vector(int(row)) for row in rows], axis=0, dtype=np.float64))

    def rows(self) -> np.ndarray:
        """All words' vectors, (words, dim)."""
        return np.stack([self.made_of(word) for word in self.words]) if self.matrix is None else self.matrix


class WordFile:
    """A file of word vectors, read when first needed.

    Args:
        path: the file.

    Raises:
        InputError: no such file, a pickle, or another kind of file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError("no such file of word vectors", file=self.path, expected=_KINDS)
        with self.path.open("rb") as file:
            self._start = file.read(8)
        self._zipped = self._start[:2] == b"\x1f\x8b"
        if self._zipped:
            self._start = self._unpacked(lambda file: file.read(8))
        if self._start[:1] == b"\x80" or self._start[:4] == b"PK\x03\x04":
            raise InputError(
                "word vectors in a pickle or an archive that may hold one: a pickle can run code, it is not opened",
                file=self.path, expected=f"{_KINDS} (gensim: `vectors.save_word2vec_format(...)`)",
            )  # fmt: skip
        if self._start[:6] == b"\x93NUMPY":
            raise InputError("an array has no words", file=self.path, expected=f"{_KINDS}; or pass the loaded array")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def vectors(self) -> WordVectors:
        """The words.

        Raises:
            InputError: names the file, the line, and what is wrong there.
        """
        if self._start[:4] == _FASTTEXT:
            return self._fasttext()
        return self._unpacked(self._read)

    def _unpacked(self, read: Callable[[IO[bytes]], Read]) -> Read:
        """Open the file, unpacking it where it is gzipped, and let it be read."""
        try:
            with gzip.open(self.path) if self._zipped else self.path.open("rb") as file:
                return read(cast("IO[bytes]", file))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"the packed file is damaged: {error}", file=self.path, expected="whole gzip") from None

    def _read(self, file: IO[bytes]) -> WordVectors:
        first = file.readline()
        head = first.split()
        header = len(head) == 2 and all(part.isdigit() for part in head)
        if not header:
            return self._text(_chain(first, file), None, 1)
        words, dim = int(head[0]), int(head[1])
        if not words or not dim:
            raise InputError("a header of nothing", file=self.path, line=1, found=first.decode().strip())
        second = file.readline()
        parts = second.split()
        # A line of as many ASCII pieces as there should be is text too, whatever its numbers look like (1,5).
        if _is_number(parts[-1:]) or (len(parts) == dim + 1 and second.isascii()):
            return self._text(_chain(second, file), (words, dim), 2)
        return self._binary(second + file.read(), words, dim)

    def _fasttext(self) -> WordVectors:
        """Read a fastText model, after a look at its size: a file that ends early makes the library end the process.

        Its header is magic and version, twelve settings (the dimensions first, the n-gram rows ninth), a rate, and how
        many words there are; input and output matrix follow.
        """
        import fasttext

        if self._zipped:
            raise InputError("a fastText model is read from where it lies", file=self.path, expected="it unpacked")
        with self.path.open("rb") as file:
            head = file.read(_HEADER.size)
        size = self.path.stat().st_size
        fields = _HEADER.unpack(head.ljust(_HEADER.size, b"\0"))
        dim, buckets, words = fields[2], fields[10], fields[16]
        if dim < 1 or words < 1 or buckets < 0 or size < 4 * dim * (2 * words + buckets):
            raise InputError(
                "not a readable fastText model: it ends early, or is a compressed one (.ftz)", file=self.path,
                found=f"{size:,} bytes", expected=f"{4 * dim * (2 * words + buckets):,} or more",
            )  # fmt: skip
        try:
            model = fasttext.load_model(str(self.path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise InputError(f"not a readable fastText model: {error}", file=self.path) from None
        words, counts = model.get_words(include_freq=True, on_unicode_error="replace")
        return WordVectors(list(words), None, np.asarray(counts, np.int64), model)

    def _text(self, lines: Iterator[bytes], header: tuple[int, int] | None, number: int) -> WordVectors:
        words: list[str] = []
        rows: list[np.ndarray] = []
        dim = header[1] if header else 0
        wider = header is not None  # every line so far has more numbers than the header says
        for number, raw in enumerate(lines, number):  # noqa: B020 - goes on counting where the header ended
            if not raw.strip():
                continue
            parts = raw.rstrip().split(b" ")
            dim = dim or len(parts) - 1
            wider = wider and len(parts) > dim + 1 and _is_number(parts[1:-dim])
            if len(parts) <= dim or dim < 1 + (header is None):  # a word and one number are no vector, but some header
                raise InputError(
                    "the line is too short for a vector", file=self.path, line=number,
                    found=f"{len(parts) - 1} numbers", expected=f"a word and {max(dim, 2)} numbers",
                )  # fmt: skip
            try:
                row = np.array(parts[-dim:], "S").astype(np.float32)
                word = b" ".join(parts[:-dim]).decode("utf-8")
            except (ValueError, UnicodeDecodeError) as error:
                raise InputError(f"the line is no vector: {error}", file=self.path, line=number) from None
            if not np.isfinite(row).all():
                raise InputError("a vector holds NaN or inf", file=self.path, line=number, found=f"the word {word!r}")
            words.append(word)
            rows.append(row)
        if words and wider:
            raise InputError(
                "the header is wrong: every line holds more numbers", file=self.path, line=1, found=f"{dim} dimensions",
            )  # fmt: skip
        if header and len(words) != header[0]:
            raise InputError(
                "the header is wrong, or lines are missing", file=self.path, line=1,
                found=f"{len(words)} words", expected=f"{header[0]}",
            )  # fmt: skip
        if not words:
            raise InputError("no word vectors in it", file=self.path, expected=_KINDS)
        return WordVectors(words, np.stack(rows))

    def _binary(self, data: bytes, number: int, dim: int) -> WordVectors:
        if number * (4 * dim + 2) - 1 > len(data):  # before a wrong header asks for more memory than there is
            raise InputError(
                "word2vec's binary file ends early, or its header is wrong", file=self.path,
                found=f"{len(data):,} bytes", expected=f"{number:,} words of {dim} numbers",
            )  # fmt: skip
        words: list[str] = []
        matrix = np.zeros((number, dim), np.float32)
        at = 0
        for place in range(number):
            space = data.find(b" ", at)
            stop = space + 1 + 4 * dim
            if space < 0 or stop > len(data):
                raise InputError(
                    "word2vec's binary file ends early, or its header is wrong", file=self.path,
                    found=f"{place:,} words of {dim} numbers", expected=f"{number:,}",
                )  # fmt: skip
            words.append(data[at:space].lstrip(b"\n").decode("utf-8", "replace"))
            matrix[place] = np.frombuffer(data, "<f4", dim, space + 1)
            at = stop
        if data[at:].strip(b"\n"):
            raise InputError(
                "word2vec's binary file goes on after its last word: the header is wrong, or its numbers are text that "
                "cannot be read", file=self.path, found=f"{len(data) - at:,} bytes more", expected=f"{number:,} words",
            )  # fmt: skip
        if not np.isfinite(matrix).all():
            bad = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
            raise InputError("a vector holds NaN or inf", file=self.path, found=f"word {bad + 1}, {words[bad]!r}")
        return WordVectors(words, matrix)


def _chain(first: bytes, file: IO[bytes]) -> Iterator[bytes]:
    yield first
    yield from file


def _is_number(parts: Sequence[bytes]) -> bool:
    try:
        return bool([float(part) for part in parts])
    except ValueError:
        return False
