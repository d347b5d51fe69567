"""Read a SentencePiece `.model` as a fast tokenizer that gives the same ids.

The pieces are read with sentencepiece itself; the few settings that its Python interface does not show are taken from
the model's protobuf (field numbers of sentencepiece_model.proto).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.tokenizer.roles import parts_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "▁"
_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_USER_DEFINED = 4
# `tokenizers` finds the pieces of bytes in a text like any other: `<0x41>` would become the byte, and come back as A.
# SentencePiece never does. So this part of a pre-tokeniser, behind the others, cuts what is written so in two.
BYTES_APART = {
    "type": "Split",
    "pattern": {"Regex": "<(?=0x[0-9A-Fa-f]{2}>)"},
    "behavior": "MergedWithPrevious",
    "invert": False,
}


@dataclass(frozen=True)
class Settings:
    """What a SentencePiece model says of itself.

    Attributes:
        kind: unigram, bpe, word or char.
        charsmap: the compiled normalisation rules; empty for identity.
        dummy_prefix: a space is put before the text.
        one_space: runs of spaces become one, those at the ends go.
        suffix: the word mark stands after the word.
        types: the type of each piece, as the protobuf numbers them.
    """

    kind: str
    charsmap: bytes
    dummy_prefix: bool
    one_space: bool
    suffix: bool
    types: tuple[int, ...]


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Go through a protobuf message: (field number, integer or bytes)."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = raw[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while place < len(raw):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(wire) or (varint() if wire == 2 else 0)
        if not size and wire != 2:
            raise ValueError(f"wire type {wire}")
        yield key >> 3, raw[place : place + size]
        place += size


def settings_of(raw: bytes) -> Settings:
    """Read the settings from a serialised model."""
    trainer: dict[int, Any] = {}
    normaliser: dict[int, Any] = {}
    types: list[int] = []
    for number, value in _fields(raw):
        if number == 1:
            types.append(dict(_fields(value)).get(3, 1))
        elif number == 2:
            trainer = dict(_fields(value))
        elif number == 3:
            normaliser = dict(_fields(value))
    return Settings(
        kind=_TYPES[trainer.get(3, 1)],
        charsmap=normaliser.get(2, b""),
        dummy_prefix=bool(normaliser.get(3, 1)),
        one_space=bool(normaliser.get(4, 1)),
        suffix=bool(trainer.get(24, 0)),
        types=tuple(types),
    )


def read_model(model: str | Path | bytes) -> Tokenizer:
    """Convert a SentencePiece model of type unigram or bpe.

    Args:
        model: the file, or the serialised model.

    Returns:
        A tokenizer with the same ids; control pieces are its special tokens. Two things differ: what follows a
        user-defined piece without a space is cut as the beginning of a word, and in Unigram models with byte fallback
        no piece holds the `<0` of a text such as `<0x41>`.

    Raises:
        InputError: it is no SentencePiece model, or of a type that has no fast counterpart (char, word).
    """
    import sentencepiece
    from tokenizers import Tokenizer

    file = None if isinstance(model, bytes) else Path(model)
    raw = model if isinstance(model, bytes) else Path(model).read_bytes()
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(raw)
        settings = settings_of(raw)
    except (RuntimeError, ValueError, IndexError, KeyError):
        raise InputError("this is no SentencePiece model", file=file, expected="a .model of sentencepiece") from None
    if settings.kind not in ("unigram", "bpe") or settings.suffix:
        raise InputError(
            "this SentencePiece model has no fast counterpart",
            file=file,
            found="word marks at the end" if settings.suffix else f"type {settings.kind}",
            expected="type unigram or bpe, word marks at the beginning",
        )
    number = processor.GetPieceSize()
    pieces = [(processor.IdToPiece(i), processor.GetScore(i)) for i in range(number)]
    special = [i for i in range(number) if processor.IsControl(i) or processor.IsUnknown(i)]
    users = [i for i, kind in enumerate(settings.types) if kind == _USER_DEFINED]
    fallback = any(processor.IsByte(i) for i in range(number))
    bpe = settings.kind == "bpe"
    cutter = {
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": "always" if settings.dummy_prefix and settings.one_space else "never",
        "split": not any(SPACE in piece[1:] for piece, _ in pieces),  # some hold several words or spaces
    }
    return Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [_added(i, pieces[i][0], i in special) for i in sorted({*special, *users})],
                "normalizer": normaliser_state(settings),
                "pre_tokenizer": with_bytes_apart(cutter) if fallback and not bpe else cutter,
                "post_processor": None,
                "decoder": decoder_state(fallback, settings.dummy_prefix),
                "model": _bpe(processor, pieces, fallback) if bpe else _unigram(processor, pieces, fallback),
            }
        )
    )


def _added(index: int, content: str, special: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": not special, "special": special}
    return {"id": index, "content": content, **flags}


def normaliser_state(settings: Settings) -> dict[str, Any] | None:
    """Return the normaliser that does what SentencePiece's does."""
    parts: list[dict[str, Any]] = []
    if settings.charsmap:
        charsmap = base64.b64encode(settings.charsmap).decode("ascii")
        parts += mended([{"type": "Precompiled", "precompiled_charsmap": charsmap}])
    if settings.one_space:
        parts.append({"type": "Strip", "strip_left": True, "strip_right": True})
        parts.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    elif settings.dummy_prefix:  # the pre-tokeniser puts none where the text has one of its own
        parts.append({"type": "Prepend", "prepend": " "})
    return {"type": "Sequence", "normalizers": parts} if parts else None


def mended(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put NFC before compiled rules that would otherwise lose accents.

    The `Precompiled` normaliser of tokenizers replaces a letter and its accents by the rule for the letter alone:
    `e`, dot below, acute (decomposed) loses its acute where SentencePiece keeps it.
    """
    from tokenizers.normalizers import Normalizer, Precompiled

    for place, part in enumerate(parts):
        if part["type"] == "Precompiled" and not (place and parts[place - 1]["type"] == "NFC"):
            rules: Normalizer = Precompiled(base64.b64decode(part["precompiled_charsmap"]))
            if rules.normalize_str("e\u0301") == "\u00e9":
                return [*parts[:place], {"type": "NFC"}, *parts[place:]]
    return parts


def with_bytes_apart(cutter: dict[str, Any] | None) -> dict[str, Any]:
    """Let a pre-tokeniser cut what is written like the piece of a byte, behind its other parts."""
    return {"type": "Sequence", "pretokenizers": [*parts_of(cutter), BYTES_APART]}


def decoder_state(fallback: bool, prefix: bool) -> dict[str, Any]:
    """Return the decoder of a tokenizer with `▁` marks, with or without bytes for what it does not know."""
    scheme = "always" if prefix else "never"
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": True}
    if not fallback:
        return metaspace
    return {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]}


def _unigram(processor: Any, pieces: list[tuple[str, float]], fallback: bool) -> dict[str, Any]:
    return {
        "type": "Unigram",
        "unk_id": processor.unk_id(),
        "vocab": [list(piece) for piece in pieces],
        "byte_fallback": fallback,
    }


def _bpe(processor: Any, pieces: list[tuple[str, float]], fallback: bool) -> dict[str, Any]:
    plain = [
        piece
        for i, piece in enumerate(pieces)
        if not (processor.IsControl(i) or processor.IsUnknown(i) or processor.IsByte(i))
    ]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": pieces[processor.unk_id()][0],
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": fallback,
        "ignore_merges": False,
        "vocab": {piece: index for index, (piece, _) in enumerate(pieces)},
        "merges": merges_of(plain),
    }


def merges_of(pieces: list[tuple[str, float]]) -> list[list[str]]:
    """Make the merge table: a piece with a higher score is merged earlier, whatever two pieces it is made of.

    Args:
        pieces: (piece, score) of those that merges may make or use, in the order of their ids.

    Returns:
        Pairs, the first to merge first.
    """
    ids = {piece: index for index, (piece, _) in enumerate(pieces)}
    merges = []
    for piece, score in pieces:
        for cut in range(1, len(piece)):
            left, right = ids.get(piece[:cut]), ids.get(piece[cut:])
            if left is not None and right is not None:
                merges.append((-score, left, right))
    return [[pieces[left][0], pieces[right][0]] for _, left, right in sorted(merges)]
