"""Facts as training text: (head, relation, tail) becomes a sentence, of which the tail is what the model must say.

Adapters learn from facts put into sentences, by the model's own objective, in Lauscher et al. 2020 ("Common Sense or
World Knowledge?"), and from multilingual facts in Hou et al. 2022 ("Adapters for Enhanced Modeling of Multilingual
Knowledge and Text"); to say the tail after head and relation is the task of COMET (Bosselut et al. 2019). An MLM has
the whole tail hidden; a decoder's loss counts the tail alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import field_validator

from adapt.files import write_atomic
from adapt.pretrain.data import Blocks
from adapt.pretrain.objectives.objective import Batch
from adapt.pretrain.tokens import Part, Symbols, TokenFile, tokenise
from corpora.text import number_lines, tidy
from lexigraft import InputError
from vocab.options import Options

_COLUMNS = "head, a tab, relation, a tab, tail"
TAIL = 1 << 24  # added to the id of a token of a tail: the mark goes where the token goes


class Triple(NamedTuple):
    """One fact."""

    head: str
    relation: str
    tail: str


class Sentences(Options):
    """How facts become sentences, and what of them is predicted."""

    template: str = "{head} {relation} {tail}"
    """Sentence of a fact; separators such as `{head} [SEP] {relation} [SEP] {tail}` may stand in it. A relation that is
    a sentence itself (`{head} is the capital of {tail}`) is taken as it is."""
    predict: Literal["tail", "all"] = "tail"
    """tail: the whole tail is hidden and predicted; all: as in any other text."""

    @field_validator("template")
    @classmethod
    def _whole(cls, template: str) -> str:
        _check(template, {"head", "relation", "tail"})
        return template

    def sentence(self, triple: Triple) -> tuple[str, int, int]:
        """Return a fact's sentence, and first character and last + 1 of the tail in it."""
        before, after = (triple.relation if "{" in triple.relation else self.template).split("{tail}")
        fields = {"head": triple.head, "relation": triple.relation}
        start = before.format(**fields).lstrip()
        return f"{start}{triple.tail}{after.format(**fields)}".rstrip(), len(start), len(start) + len(triple.tail)


def _check(template: str, needed: set[str]) -> None:
    """Refuse a sentence that lacks a field or has others.

    Raises:
        ValueError: says what is needed.
    """
    try:
        fields = [
            f"{name}{form}{kind or ''}" for _, name, form, kind in Formatter().parse(template) if name is not None
        ]
    except ValueError:  # braces that do not close
        fields = []
    if fields.count("tail") != 1 or set(fields) != needed:
        wanted = ", ".join(f"{{{name}}}" for name in sorted(needed))
        raise ValueError(f"a sentence of a fact needs {wanted} (the tail once) and no other field, found {template!r}")


def read_triples(path: Path) -> list[Triple]:
    """Read facts: head, tab, relation, tab, tail; empty lines and lines that begin with `#` are skipped.

    Returns:
        The facts in the order of the file, repeated ones left out.

    Raises:
        InputError: a line without three filled cells, a relation that is no sentence though it has braces, or no facts;
            file and line are named.
    """
    found: dict[Triple, None] = {}
    for number, raw in number_lines(path):
        line = tidy(raw)
        if not line.strip() or line.startswith("#"):
            continue
        cells = [" ".join(cell.split()) for cell in line.split("\t")]
        if len(cells) != 3 or not all(cells):
            raise InputError("not a fact", file=path, line=number, found=repr(line)[:80], expected=_COLUMNS)
        if "{" in cells[1]:
            try:
                _check(cells[1], {"head", "tail"})
            except ValueError as error:
                raise InputError(str(error), file=path, line=number) from None
        found[Triple(*cells)] = None
    if not found:
        raise InputError("no facts in it", file=path, expected=f"lines of three columns: {_COLUMNS}")
    return list(found)


class Marked(TokenFile):
    """Tokens of which some belong to tails."""

    def __init__(self, folder: Path, tails: np.ndarray) -> None:
        super().__init__(folder)
        self.tails = tails

    def read(self, lines: np.ndarray) -> list[Part]:
        """Copy some lines into memory, `TAIL` added to the ids of tails."""
        places = [slice(*self.lines[line : line + 2]) for line in lines]
        return [
            (ids + self.tails[place] * np.int32(TAIL), starts)
            for (ids, starts), place in zip(super().read(lines), places, strict=True)
        ]


def tokenise_triples(path: Path, tokenizer: Any, options: Sentences, folder: Path) -> TokenFile:
    """Write the sentences of facts and cut them into tokens, those of the tails marked where they are to be predicted.

    Args:
        path: the facts, as `read_triples` reads them.
        tokenizer: a fast tokenizer of transformers, its dropout off.
        options: how facts become sentences.
        folder: gets `sentences.txt` and the token files.
    """
    made = [options.sentence(triple) for triple in read_triples(path)]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "sentences.txt", "".join(f"{text}\n" for text, _, _ in made))
    tokens = tokenise(folder / "sentences.txt", tokenizer, folder)
    if options.predict == "all":
        return tokens
    encoded = tokenizer.backend_tokenizer.encode_batch([text for text, _, _ in made], add_special_tokens=False)
    tails = [
        begin < last and end > first
        for (_, first, last), line in zip(made, encoded, strict=True)
        for begin, end in line.offsets
    ]
    return Marked(folder, np.array(tails, dtype=bool))


@dataclass(frozen=True)
class Tailed(Blocks):
    """Blocks of which some tokens belong to tails.

    Attributes:
        tails: (rows, length) bool.
    """

    tails: np.ndarray

    @classmethod
    def of(cls, blocks: Blocks) -> Tailed:
        """Take the marks off the ids."""
        return cls(blocks.ids % TAIL, blocks.starts, blocks.documents, blocks.ids >= TAIL)


def predict_tails(batch: Batch, blocks: Tailed, symbols: Symbols, *, bidirectional: bool) -> Batch:
    """In rows that hold facts, predict the tails and nothing else.

    Args:
        batch: what the objective made of the blocks.
        blocks: the blocks it was made of.
        symbols: special tokens.
        bidirectional: hide the tails; else each of their tokens is predicted from the one before it.
    """
    tails = blocks.tails & ~symbols.special[blocks.ids]
    facts = tails.any(axis=1)
    inputs = batch.inputs.copy()
    inputs[facts] = blocks.ids[facts]
    if bidirectional:
        inputs[tails] = symbols.mask
    else:
        tails[:, 0] = False
    rows, columns = tails.nonzero()
    kept = ~facts[batch.rows]
    rows, columns, labels = (
        np.concatenate(pair)
        for pair in (
            (batch.rows[kept], rows),
            (batch.columns[kept], columns - (not bidirectional)),
            (batch.labels[kept], blocks.ids[rows, columns]),
        )
    )
    order = np.lexsort((columns, rows))
    return replace(batch, inputs=inputs, rows=rows[order], columns=columns[order], labels=labels[order])
