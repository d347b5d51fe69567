"""Convert tokenizers between `tokenizer.json`, SentencePiece `.model` and tiktoken, and say what cannot be kept."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import BYTES
from vocab.tokenizer.load import load_tokenizer, wrap
from vocab.tokenizer.roles import parts_of
from vocab.tokenizer.sentencepiece_model import BYTES_APART, SPACE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from vocab.view import Vocabulary

# What tiktoken's `cl100k_base` cuts text with; a .tiktoken file does not say its own pattern.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPACES = re.compile(rf"(?:\\A|\\s|[ {SPACE}+]|\{{\d+,\d*\}})+")
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_KINDS = {"Unigram": 1, "BPE": 2}


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        file: the file.
        lost: what the new form cannot hold, one sentence each.
        facts: with `texts`: `lines`, and `lines_different` (lines whose ids are others in the new form).
    """

    file: Path
    lost: list[str]
    facts: dict[str, int] = field(default_factory=dict)


def convert(source: Any, output: str | Path, *, texts: Any = None) -> Converted:
    """Write a tokenizer in another form.

    Args:
        source: what `load_tokenizer` takes: a tokenizer.json, a SentencePiece `.model` (unigram, bpe), a `.tiktoken`
            file, a folder, a hub id or a tokenizer.
        output: the file to write; its ending says the form: `.json`, `.model` or `.tiktoken`.
        texts: text to hold the two against each other on. The new form is read back by Lexigraft; what it does to
            text in the software it is meant for is what the form says.

    Returns:
        What was written, and what was lost.

    Raises:
        InputError: an ending that is no form, a file that is there, or a kind of tokenizer that the form cannot hold.
    """
    file = Path(output)
    writers = {".json": _to_json, ".model": _to_sentencepiece, ".tiktoken": _to_tiktoken}
    if file.suffix not in writers:
        raise InputError("no form of tokenizers ends so", file=file, expected=", ".join(writers))
    if file.exists():
        raise InputError("this file is there already", file=file, expected="another name")
    old = load_tokenizer(source)
    content, lost = writers[file.suffix](old, json.loads(old.backend_tokenizer.to_str()))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return Converted(file, lost, {} if texts is None else _held_against(old, file, texts))


def _held_against(old: PreTrainedTokenizerFast, file: Path, texts: Any) -> dict[str, int]:
    from vocab.tokenizer.pieces import Pieces
    from vocab.tokenizer.texts import Lines
    from vocab.view import Vocabulary

    was, now = (Pieces.of(Vocabulary.of(tokenizer), Lines(texts)) for tokenizer in (old, file))
    return {"lines": len(was), "lines_different": len(was.unlike(now))}


def _to_json(old: PreTrainedTokenizerFast, raw: dict[str, Any]) -> tuple[bytes, list[str]]:
    raw["truncation"] = raw["padding"] = None
    lost = ["model_max_length, the roles of special tokens: tokenizer_config.json beside it holds them"]
    return json.dumps(raw, ensure_ascii=False, indent=1).encode(), lost


def from_tiktoken(
    file: str | Path, *, pattern: str = PATTERN, specials: Mapping[str, int] | None = None
) -> PreTrainedTokenizerFast:
    """Read a tiktoken vocabulary: lines of a token in base64 and its rank, which is its id.

    Args:
        file: the .tiktoken file.
        pattern: how text is cut before merging; the file does not say. None given: `cl100k_base`'s.
        specials: special tokens and their ids; the file does not say them either.

    Returns:
        A tokenizer with the same ids.

    Raises:
        InputError: a line that is none of this, or single bytes that are missing.
    """
    from tokenizers import Tokenizer

    from vocab.view import byte_alphabet

    ranks: dict[bytes, int] = {}
    for number, line in enumerate(Path(file).read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise InputError(
                "this is no line of a tiktoken vocabulary", file=file, line=number, found=repr(line[:40]),
                expected="a token in base64, a space, its rank",
            ) from None  # fmt: skip
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise InputError("the vocabulary lacks single bytes", file=file, found=f"{len(missing)} of 256 missing")
    letters = {byte: letter for letter, byte in byte_alphabet().items()}

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    pairs = (merged_last(token, ranks) for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1)
    merges = [[spelled(left), spelled(right)] for left, right in pairs if right]
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    vocabulary = {spelled(token): rank for token, rank in ranks.items()} | dict(specials or {})
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    state = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{"id": index, "content": text, **flags} for text, index in (specials or {}).items()],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "decoder": level,
        # A part that is a token as it stands is taken whole, as tiktoken does.
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": True},
    }  # fmt: skip
    return wrap(Tokenizer.from_str(json.dumps(state)))


def merged_last(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """Say which two tokens a token is merged from: merge its bytes by rank until two are left.

    Args:
        token: at least two bytes.
        ranks: token -> rank; lower is merged earlier.

    Returns:
        The two; the second is empty where merging ends in more than two parts, so that no merge makes the token.
    """
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        ranked = [
            (ranks.get(a + b, len(ranks) + len(token)), n)
            for n, (a, b) in enumerate(zip(parts, parts[1:], strict=False))
        ]
        rank, place = min(ranked)
        if rank >= ranks[token]:
            return token, b""
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]


def _to_tiktoken(old: PreTrainedTokenizerFast, raw: dict[str, Any]) -> tuple[bytes, list[str]]:
    from vocab.view import Vocabulary, byte_alphabet

    model = raw["model"]
    if Vocabulary.of(old).family != "byte-level" or model["type"] != "BPE":
        raise InputError("tiktoken holds byte-level BPE only", found=f"{model['type']}, {Vocabulary.of(old).family}")
    alphabet = byte_alphabet()
    added = {token["content"] for token in raw["added_tokens"]}
    ranks = {
        bytes(alphabet[letter] for letter in token): index
        for token, index in model["vocab"].items()
        if token not in added and all(letter in alphabet for letter in token)
    }
    results = [model["vocab"][left + right] for left, right in model["merges"]]
    if results != sorted(results):
        raise InputError(
            "tiktoken merges in the order of ids, and here merges go in another order",
            found=f"merge {next(n for n, (a, b) in enumerate(zip(results, results[1:], strict=False), 2) if b < a)}",
            expected="ids that follow the merges",
        )
    made = set(results)
    kept = {token: rank for token, rank in ranks.items() if len(token) == 1 or rank in made}
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in sorted(kept.items(), key=lambda x: x[1])]
    pre = raw["pre_tokenizer"] or {}
    lost = ["the pattern that cuts text before merging: give it to tiktoken.Encoding as pat_str: " + _pattern(pre)]
    if names := ", ".join(f"{token['content']}={token['id']}" for token in raw["added_tokens"]):
        lost.append(f"special tokens: give them to tiktoken.Encoding as special_tokens: {names}")
    lost += _parts_lost(raw, ("normalizer", "post_processor"))
    if len(kept) < len(ranks):
        lost.append(f"{len(ranks) - len(kept)} pieces that no merge makes")
    return "".join(lines).encode(), lost


def _pattern(pre: dict[str, Any]) -> str:
    """Say what cuts text, as one pattern where it can be: tiktoken takes no second one for what the first leaves."""
    found = [part["pattern"]["Regex"] for part in parts_of(pre) if "Regex" in (part.get("pattern") or {})]
    if len(found) == 2 and found[0] == " ?[^ ]+" and found[1].startswith(" ?(?:"):
        signs = found[1].removeprefix(" ?")
        return rf" ?{signs}| ?(?:(?!{signs})[^ ])+| +"
    return " and then, which tiktoken cannot, ".join(found) or "GPT-2's"


def _parts_lost(raw: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Name the parts of a tokenizer.json that have no place in the new form."""
    lost = []
    for name in names:
        state = raw[name]
        if state:
            lost.append(f"the {name.replace('_', '-')} ({', '.join(part['type'] for part in parts_of(state))})")
    return lost


def _to_sentencepiece(old: PreTrainedTokenizerFast, raw: dict[str, Any]) -> tuple[bytes, list[str]]:
    from vocab.view import Vocabulary

    view, model = Vocabulary.of(old), raw["model"]
    if view.family != "metaspace" or model["type"] not in _KINDS:
        raise InputError(
            "a SentencePiece model holds Unigram or BPE with word marks only", found=f"{model['type']}, {view.family}"
        )
    unk = view.roles.get("unk")
    if unk is None:
        raise InputError("a SentencePiece model needs an unknown token", found="a tokenizer without one")
    if model["type"] == "Unigram":
        scores = {index: score for index, (_, score) in enumerate(model["vocab"])}
    else:
        made: dict[int, int] = {}
        for rank, (left, right) in enumerate(model["merges"]):
            made.setdefault(model["vocab"][left + right], rank)
        scores = {index: -float(made.get(index, len(model["merges"]))) for index in model["vocab"].values()}
    added = {token["id"]: token for token in raw["added_tokens"]}
    pieces = b"".join(
        _message(1, _text(1, token or f"<unused{index}>") + _real(2, scores.get(index, 0.0))
                 + _number(3, _type(index, token, unk, added)))
        for index, token in enumerate(view.tokens)
    )  # fmt: skip
    roles = {"unk": 40, "bos": 41, "eos": 42, "pad": 43}
    names = {"unk": 45, "bos": 46, "eos": 47, "pad": 48}
    trainer = _number(3, _KINDS[model["type"]]) + _number(4, len(view))
    trainer += _number(35, int(bool(model.get("byte_fallback"))))
    for role, place in roles.items():
        index = view.roles.get(role, -1)
        trainer += _number(place, index) + (_text(names[role], view.tokens[index]) if index >= 0 else b"")
    rules = [part for part in parts_of(raw["normalizer"]) if part["type"] == "Precompiled"]
    charsmap = base64.b64decode(rules[0]["precompiled_charsmap"]) if rules else b""
    # What a space becomes is written in normalisers and pre-tokenisers alike: look at what comes of it.
    spaced = before_model(view, "a  a")
    prefix, one_space = spaced.startswith(SPACE), SPACE * 2 not in spaced
    normaliser = _text(1, "identity" if not rules else "kept") + (_message(2, charsmap) if rules else b"")
    normaliser += _number(3, int(prefix)) + _number(4, int(one_space)) + _number(5, 1)
    return pieces + _message(2, trainer) + _message(3, normaliser), _lost_to_sentencepiece(raw, view.roles)


def before_model(view: Vocabulary, text: str) -> str:
    """Return a text as the model gets to see it."""
    normal, cutter = view.normalise(text), view.backend.pre_tokenizer
    return normal if cutter is None else "".join(part for part, _ in cutter.pre_tokenize_str(normal))


def _lost_to_sentencepiece(raw: Mapping[str, Any], roles: Mapping[str, int]) -> list[str]:
    kept = ("Precompiled", "Strip", "Prepend")
    changes = [part for part in parts_of(raw["normalizer"]) if part["type"] not in kept and not _of_spaces(part)]
    other = Counter(part["type"] for part in changes)
    named = ", ".join(f"{kind} ({number} rules)" if number > 1 else kind for kind, number in other.items())
    lost = [f"the normaliser's {named}: give SentencePiece text that went through it"] if other else []
    together = [part for part in parts_of(raw["decoder"]) if part["type"] == "Replace" and not _of_spaces(part)]
    if together:
        lost.append(f"the decoder's Replace ({len(together)} rules): what SentencePiece decodes must go through it")
    cuts = [part["type"] for part in parts_of(raw["pre_tokenizer"]) if part != BYTES_APART]
    if beyond := [cut for cut in cuts if cut not in ("Metaspace", "WhitespaceSplit")]:
        lost.append(f"the pre-tokeniser's {', '.join(beyond)}: pieces decide alone where words are cut")
    lost += _parts_lost(raw, ("post_processor",))
    if others := sorted(set(roles) - {"unk", "bos", "eos", "pad"}):
        lost.append(f"the roles {', '.join(others)}: their tokens are control pieces")
    return lost


def _of_spaces(part: Mapping[str, Any]) -> bool:
    """Whether a rule of a normaliser or decoder replaces spaces by spaces or word marks, or the other way round."""
    if part["type"] != "Replace":
        return False
    pattern = part["pattern"].get("String") or part["pattern"].get("Regex", "")
    return bool(_SPACES.fullmatch(pattern)) and not part["content"].strip(f" {SPACE}")


def _type(index: int, token: str, unk: int, added: Mapping[int, Mapping[str, Any]]) -> int:
    if index == unk:
        return _UNKNOWN
    if index in added:
        return _CONTROL if added[index]["special"] else _USER
    if not token:
        return _UNUSED
    return _BYTE if token in BYTES else _NORMAL


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers take ten bytes, as protobuf writes them
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(place: int, value: int) -> bytes:
    return _varint(place << 3) + _varint(value)


def _real(place: int, value: float) -> bytes:
    return _varint(place << 3 | 5) + struct.pack("<f", value)


def _message(place: int, content: bytes) -> bytes:
    return _varint(place << 3 | 2) + _varint(len(content)) + content


def _text(place: int, content: str) -> bytes:
    return _message(place, content.encode())
