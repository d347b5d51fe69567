"""What a tokenizer algorithm declares, and the registry that finds the algorithms of this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vocab.registry import Registry

Family = Literal["metaspace", "byte-level", "wordpiece"]


@dataclass(frozen=True)
class Task:
    """What an algorithm learns from.

    Attributes:
        counts: what may become pieces: the parts into which normaliser and pre-tokeniser cut the text, in the
            family's own alphabet, with how often each occurs.
        specials: tokens that take the first ids, in this order.
        unk: the one of them that stands for what is unknown; None only where nothing is (byte-level).
        vocab_size: pieces wanted, specials included.
        min_frequency: pairs that occur less often are not merged (BPE, WordPiece).
        character_coverage: share of the characters in the text that get a piece of their own; the rest is unknown.
        byte_fallback: spell unknown characters by their bytes.
        max_piece_length: longest piece, in characters.
    """

    counts: Mapping[str, int]
    specials: tuple[str, ...]
    unk: str | None
    vocab_size: int
    min_frequency: int
    character_coverage: float
    byte_fallback: bool
    max_piece_length: int


@dataclass(frozen=True)
class Algorithm:
    """One way to learn a vocabulary.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year.
        when: when to use it.
        when_not: when not to.
        family: how pieces mark the beginning of a word.
        learn: makes the `model` part of a tokenizer.json. Raises InputError where the text cannot give the size.
    """

    name: str
    summary: str
    paper: str
    when: str
    when_not: str
    family: Family
    learn: Callable[[Task], dict[str, Any]]


ALGORITHMS: Registry[Algorithm] = Registry("vocab.tokenizer", "algorithm")
