"""Text becomes tokens once, in memory-mapped files; it is read in portions, so that memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from adapt.files import digest, digest_of, write_json
from corpora.text import read_lines
from lexigraft import InputError

PORTION = 2000  # lines tokenised at a time
OFFSETS = 1 << 20  # places of lines that are looked up at a time

Part = tuple[np.ndarray, np.ndarray]  # ids of a line, or of a piece of one, and which of them begin a word

Progress = Callable[[float, float, dict[str, Any]], None]


@dataclass(frozen=True)
class Symbols:
    """What training must know of a vocabulary.

    Attributes:
        size: largest id + 1.
        begin: token that opens a block, or None (BERT's [CLS], <s>).
        end: token that ends a line, or None (BERT's [SEP], </s>).
        pad: token that fills up a block.
        mask: mask token, or None.
        special: (size,) bool.
        ordinary: ids that are not special, int64.
        fingerprint: changes when the tokenizer does.
        similar: (size, k) tokens that may stand in for each, -1 for none (adapt/pretrain/similar.py), or None.
    """

    size: int
    begin: int | None
    end: int | None
    pad: int
    mask: int | None
    special: np.ndarray
    ordinary: np.ndarray
    fingerprint: str
    similar: np.ndarray | None = None

    @classmethod
    def of(cls, tokenizer: Any) -> Symbols:
        """Read them off a fast tokenizer of transformers."""
        vocabulary = tokenizer.get_vocab()
        size = max(vocabulary.values()) + 1
        special = np.zeros(size, dtype=bool)
        special[list(tokenizer.all_special_ids)] = True
        for number, token in tokenizer.added_tokens_decoder.items():
            special[number] |= token.special
        begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
        end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
        pad = next((i for i in (tokenizer.pad_token_id, end, begin) if i is not None), 0)
        known = np.array(sorted(vocabulary.values()))
        fingerprint = digest_of(tokenizer.backend_tokenizer.to_str())
        return cls(size, begin, end, pad, tokenizer.mask_token_id, special, known[~special[known]], fingerprint)


def word_starts(lines: Sequence[str], offsets: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    """Mark the tokens that begin a word, where words are what white space separates.

    Args:
        lines: texts.
        offsets: for each line, first and last character + 1 of each token, as the tokenizer gives them.

    Returns:
        bool, all tokens of all lines in order.
    """
    text = "\n".join(lines)
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    kinds = np.flatnonzero(np.bincount(points))  # not np.unique, which sorts them: that took a quarter of all
    blank = np.isin(np.arange(kinds.max(initial=0) + 1), [k for k in kinds.tolist() if chr(k).isspace()])[points]
    # A blank belongs to the word that follows it, as in SentencePiece.
    word = np.cumsum(blank & ~np.concatenate(([False], blank[:-1])))
    counts = np.array([len(line) for line in offsets])
    base = np.repeat(np.cumsum([0] + [len(line) + 1 for line in lines[:-1]]), counts)
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(offsets)), dtype=np.int64).reshape(-1, 2)
    if not len(flat):
        return np.zeros(0, dtype=bool)
    last = base + np.maximum(flat[:, 1] - 1, flat[:, 0])
    of_token = word[np.minimum(last, len(word) - 1)]
    starts = np.ones(len(flat), dtype=bool)
    starts[1:] = of_token[1:] != of_token[:-1]
    starts[(np.cumsum(counts) - counts)[counts > 0]] = True
    return starts


class TokenFile:
    """A tokenised text on disk: `ids.bin`, `starts.bin` (one flag a token), `lines.bin` (offsets), `tokens.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))

    @cached_property
    def ids(self) -> np.ndarray:
        """(tokens,) uint16 or int32, memory-mapped."""
        return np.memmap(self.folder / "ids.bin", dtype=self.facts["dtype"], mode="r")

    @cached_property
    def starts(self) -> np.ndarray:
        """(tokens,) bool, memory-mapped."""
        return np.memmap(self.folder / "starts.bin", dtype=np.bool_, mode="r")

    @cached_property
    def lines(self) -> np.ndarray:
        """(lines + 1,) int64, where each line begins, memory-mapped."""
        return np.memmap(self.folder / "lines.bin", dtype=np.int64, mode="r")

    def at(self, epoch: int) -> TokenFile:
        """Return the same lines as they are cut in an epoch: here always alike."""
        return self

    def read(self, lines: np.ndarray) -> list[Part]:
        """Copy some lines into memory, past the maps: pages read here and there would stay until all of a file is in.

        Args:
            lines: numbers of the lines, rising.
        """
        found: list[Part] = []
        dtype = np.dtype(self.facts["dtype"])
        with (
            (self.folder / "ids.bin").open("rb", buffering=0) as ids,
            (self.folder / "starts.bin").open("rb", buffering=0) as starts,
        ):
            for some in np.array_split(lines, 1 + len(self.lines) // OFFSETS):
                places = np.stack([self.lines[some], self.lines[some + 1]], 1).tolist()
                self.release()
                for begin, end in places:
                    ids.seek(begin * dtype.itemsize)
                    starts.seek(begin)
                    found.append((
                        np.frombuffer(ids.read((end - begin) * dtype.itemsize), dtype),
                        np.frombuffer(starts.read(end - begin), np.bool_),
                    ))  # fmt: skip
        return found

    def counts(self, size: int) -> np.ndarray:
        """How often each id occurs, (size,) int64."""
        total = np.zeros(size, dtype=np.int64)
        with (self.folder / "ids.bin").open("rb") as handle:  # not through the map, whose pages would stay in memory
            while len(part := np.fromfile(handle, dtype=self.facts["dtype"], count=1 << 20)):
                total += np.bincount(part, minlength=size)
        return total

    def release(self) -> None:
        """Let go of the mapped files, and so of the pages that were read; they are mapped anew when needed."""
        for name in ("ids", "starts", "lines"):
            self.__dict__.pop(name, None)


def tokenise(
    text: Path, tokenizer: Any, folder: Path, max_lines: int | None = None, progress: Progress | None = None
) -> TokenFile:
    """Tokenise a text file once; the result is used again while text and tokenizer stay the same.

    Args:
        text: UTF-8 (or gzip of it), one line a sentence or paragraph; empty lines are skipped.
        tokenizer: a fast tokenizer of transformers.
        folder: where the token files go.
        max_lines: stop after so many lines (for measurements).
        progress: told bytes read.

    Returns:
        The opened token file.

    Raises:
        InputError: the text gives no tokens, or is not UTF-8 (the line is named).
    """
    key = digest_of(
        {"text": digest(text), "tokenizer": digest_of(tokenizer.backend_tokenizer.to_str()), "lines": max_lines, "v": 1}
    )
    if (folder / "tokens.json").is_file():
        try:
            known = TokenFile(folder)
            if known.facts.get("fingerprint") == key and len(known.ids) == known.facts["tokens"] == len(known.starts):
                return known
        except (OSError, ValueError, KeyError):
            pass  # cut off while it was written: made again below
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.json").unlink(missing_ok=True)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    dtype = "uint16" if backend.get_vocab_size() <= 0xFFFF else "int32"
    tokens, characters, lines, read = 0, 0, 0, 0
    size = text.stat().st_size
    with (
        (folder / "ids.bin").open("wb") as ids,
        (folder / "starts.bin").open("wb") as starts,
        (folder / "lines.bin").open("wb") as begins,
    ):
        begins.write(np.zeros(1, dtype=np.int64).tobytes())
        for portion in _portions(text, max_lines):
            encoded = backend.encode_batch(portion, add_special_tokens=False)
            lengths = np.array([len(e.ids) for e in encoded])
            ids.write(np.array([i for e in encoded for i in e.ids], dtype=dtype).tobytes())
            starts.write(word_starts(portion, [e.offsets for e in encoded]).tobytes())
            begins.write((tokens + np.cumsum(lengths)).astype(np.int64).tobytes())
            tokens += int(lengths.sum())
            lines += len(portion)
            characters += sum(len(line) for line in portion)
            read += sum(len(line.encode()) + 1 for line in portion)
            if progress:
                progress(min(read, size), size, {"what": "tokenising"})
    if not tokens:
        raise InputError("no text to train on", file=text, found=f"{lines} lines, no tokens")
    facts = {"fingerprint": key, "tokens": tokens, "characters": characters, "lines": lines, "dtype": dtype}
    write_json(folder / "tokens.json", facts)
    return TokenFile(folder)


def _portions(text: Path, max_lines: int | None) -> Iterator[list[str]]:
    """Lines that are not empty, some thousand at a time."""
    lines = islice(read_lines(text), max_lines)
    while portion := list(islice(lines, PORTION)):
        yield portion
