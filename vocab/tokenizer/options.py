"""Everything that can be chosen when a tokenizer is learnt: for Python, YAML, the command line and the web form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from lexigraft import InputError
from vocab.options import Options


def _size(value: Any) -> int | str:
    text = str(value).strip().replace("_", "").replace(",", "")
    if text == "auto":
        return text
    if isinstance(value, bool) or not text.isdecimal() or int(text) == 0:
        raise ValueError(f"found {value!r}, expected how many pieces, or auto")
    return int(text)


Size = Annotated[
    int | Literal["auto"],
    PlainValidator(_size),
    WithJsonSchema({"type": "string", "pattern": r"^(auto|[1-9][0-9_]*)$"}),
]


class BuildOptions(Options):
    """How a tokenizer is learnt."""

    algorithm: str = "unigram"
    """How pieces are chosen: unigram for the fewest pieces a word, bpe for large vocabularies from little text,
    byte-bpe where nothing may be unknown."""
    vocab_size: Size = 32_000
    """Pieces in the vocabulary, specials included; `auto` takes the smallest size past which more gains little."""
    auto_gain: float = Field(0.05, gt=0, lt=1)
    """For `auto`: a doubling must save at least this share of pieces a word, or of bits a character, to be worth it."""
    punctuation: Literal["words", "keep", "source"] | None = None
    """`words` cuts punctuation off words, but for the signs below; `keep` cuts at spaces only; `source` does as the
    source does, where the algorithm allows it. Nothing means `source` for byte-level like byte-level, else `words`."""
    joiners: str = "'’‘-‐‑"
    """Signs that belong to a word when they stand between two letters (n'umugabo, ba-haka)."""
    openers: str = "'’‘"
    """Signs that belong to the word they begin (Hausa 'yan)."""
    closers: str = ""
    """Signs that belong to the word they end (Kinyarwanda n' before a space)."""
    split_digits: bool = False
    """Every digit is a piece of its own."""
    spaces_as_tokens: bool = False
    """Each space is a token of its own and none is lost, for scripts where spaces end phrases, not words (Thai)."""
    tweets: bool = False
    """User names become @user, links http, and each emoji stands alone in one spelling, here and wherever the
    tokenizer is used."""
    normal_form: Literal["auto", "NFC", "NFD", "NFKC", "NFKD"] | None = None
    """Unicode normal form. `auto` takes NFC where it makes most marked letters of the text one character, else NFD,
    which takes all of them apart alike. Nothing means as the source does."""
    lowercase: bool | None = None
    """Make capitals small. Nothing means as the source does."""
    strip_accents: bool | None = None
    """Drop accents and dots. Nothing means as the source does."""
    words: list[str] = Field(default_factory=list)
    """Words that must be pieces."""
    morphemes: list[str] = Field(default_factory=list)
    """Parts of words that must be pieces; one that ends in a hyphen (`ba-`) begins words, others stand inside."""
    marks: Path | None = None
    """A clinic's table that a speaker has marked: its whole words and parts of words must be pieces too."""
    character_coverage: float = Field(0.9999, gt=0, le=1)
    """Share of the text's characters that get pieces of their own."""
    min_frequency: int = Field(2, ge=1)
    """BPE and WordPiece merge only pairs that occur so often."""
    byte_fallback: bool | None = None
    """Spell unknown characters by their bytes. Nothing means as the source does."""
    max_piece_length: int = Field(16, ge=1)
    """Longest piece, in characters; what merges make stays below it."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """BPE-dropout: share of the merges left out at random while a model is trained; never in evaluation."""
    alpha: float = Field(0.3, gt=0, le=1)
    """For several languages: a language with n words counts as n^alpha would, so that small ones get pieces too."""
    specials: list[str] = Field(default_factory=list)
    """Special tokens beside the source's, or in their place: `pad=<pad>` gives a token to a role (cls, sep, bos, eos,
    pad, unk, mask), a bare text is one more token."""
    template: Literal["encoder", "none"] | None = None
    """What is written around a text: `encoder` cls and sep, `none` nothing. Nothing means as the source does."""
    truncation_side: Literal["left", "right"] | None = None
    """Where texts that are too long lose tokens. Nothing means as the source does."""
    model_max_length: int | None = Field(None, gt=0)
    """Longest sequence in tokens. Nothing means as the source has it."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        from vocab.tokenizer.algorithm import ALGORITHMS

        chosen = ALGORITHMS[self.algorithm]
        of_words = [*self.words, *self.morphemes, *filter(None, [self.marks])]
        for wrong, message, expected in (
            (
                self.dropout and not chosen.merges,
                "there are no merges to leave out",
                "an algorithm that merges, as bpe",
            ),
            (self.byte_fallback and chosen.family == "byte-level", "bytes are its pieces anyway", "no byte_fallback"),
            (
                self.byte_fallback and chosen.family == "wordpiece",
                "it has no bytes to fall back on",
                "no byte_fallback",
            ),
            (
                of_words and not chosen.sized,
                "a vocabulary of single characters holds no words",
                "no words or morphemes",
            ),
            (
                self.spaces_as_tokens and (chosen.family == "wordpiece" or self.punctuation == "source"),
                "spaces cannot be kept as tokens here",
                "punctuation `words` or `keep`, and an algorithm other than wordpiece",
            ),
        ):
            if wrong:
                raise InputError(message, found=self.algorithm, expected=expected)
        return self
