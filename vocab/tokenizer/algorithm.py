"""What a tokenizer algorithm declares, and the registry that finds the algorithms of this folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lexigraft import InputError
from vocab.registry import Registry
from vocab.tokenizer.tally import letters as letters_in
from vocab.tokenizer.tally import ranked

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Family = Literal["metaspace", "byte-level", "wordpiece"]
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


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
        given: pieces that the user asks for, spelt as the vocabulary spells them.
    """

    counts: Mapping[str, int]
    specials: tuple[str, ...]
    unk: str | None
    vocab_size: int
    min_frequency: int
    character_coverage: float
    byte_fallback: bool
    max_piece_length: int
    given: tuple[str, ...] = ()

    @property
    def reserved(self) -> tuple[str, ...]:
        """Tokens that stand before all pieces: the specials, and the bytes to fall back on."""
        return self.specials + BYTES * self.byte_fallback


@dataclass(frozen=True)
class Units:
    """How text is taken apart before it is cut into pieces, and put together when pieces are decoded.

    Attributes:
        apart: parts of a normaliser, after all others.
        together: parts of a decoder, on the whole text, after all others.
    """

    apart: tuple[dict[str, Any], ...] = ()
    together: tuple[dict[str, Any], ...] = ()


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
        sized: the size is chosen; else the text alone decides it, and `vocab_size` is the most it may be.
        across: pieces may hold several words, so the text is counted by lines, not by words.
        units: characters of the text -> smaller units than these.
        limits: says, one sentence each, where less than the whole text is learnt from.
        cutters: parts of a pre-tokeniser, after all others, that what was learnt needs.
        merges: pieces are made by merges, some of which may be left out.
    """

    name: str
    summary: str
    paper: str
    when: str
    when_not: str
    family: Family
    learn: Callable[[Task], dict[str, Any]]
    sized: bool = True
    across: bool = False
    units: Callable[[Mapping[str, int]], Units] | None = None
    limits: Callable[[Task], list[str]] | None = None
    cutters: Callable[[Task, Mapping[str, Any]], list[dict[str, Any]]] | None = None
    merges: bool = False


class TooManyPieces(InputError):
    """The text cannot give as many pieces as were asked for.

    Args:
        task: what was asked.
        most: the largest size that it can give.
        remedy: what else would help.
    """

    def __init__(self, task: Task, most: int, remedy: str = "or more text") -> None:
        self.most = most
        super().__init__(
            "the text cannot give so many pieces",
            found=f"vocab_size {task.vocab_size}",
            expected=f"at most {most}, {remedy}",
        )


class TooFewPieces(InputError):
    """Specials and letters alone need more room than the vocabulary has.

    Args:
        task: what was asked.
        least: the smallest size that holds them.
    """

    def __init__(self, task: Task, least: int) -> None:
        self.least = least
        super().__init__(
            "special tokens and letters alone are more than the vocabulary holds",
            found=f"vocab_size {task.vocab_size}",
            expected=f"at least {least}, or a lower character_coverage than {task.character_coverage:g}",
        )


def tokenizer_of(model: Mapping[str, Any], cutters: Sequence[Mapping[str, Any]] = ()) -> Tokenizer:
    """Make a tokenizer of a model alone, and of parts of a pre-tokeniser."""
    from tokenizers import Tokenizer

    bare: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "model": model}
    none = dict.fromkeys(("normalizer", "post_processor", "decoder"))
    cut = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(cutters)}}
    return Tokenizer.from_str(json.dumps(bare | none | cut))


def covered(counts: Mapping[str, int], share: float) -> int:
    """Count the most frequent characters that make up a share of the text.

    Args:
        counts: how often each character occurs.
        share: between 0 and 1.

    Returns:
        How many characters are needed.
    """
    left = math.floor(sum(counts.values()) * (1 - share) + 1e-9)
    kept = len(counts)
    for count in sorted(counts.values()):
        left -= count
        if left < 0:
            break
        kept -= 1
    return kept


def ranked_letters(task: Task) -> tuple[list[str], list[str]]:
    """Return the characters that get a piece of their own, the most frequent first, and those that get none."""
    letters = letters_in(task.counts)
    for piece in task.given:  # without its letters a piece cannot be made
        letters.update(dict.fromkeys(piece, max(letters.values(), default=1)))
    order = ranked(letters)
    kept = covered(letters, task.character_coverage)
    return order[:kept], order[kept:]


ALGORITHMS: Registry[Algorithm] = Registry("vocab.tokenizer", "algorithm")
