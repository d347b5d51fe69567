"""Find what is wrong with a tokenizer, say why it matters, and mend what can be mended without changing an id."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.compare.pieces import encode_words
from vocab.tokenizer.algorithm import BYTES
from vocab.tokenizer.convert import before_model
from vocab.tokenizer.like import remade
from vocab.tokenizer.load import load_tokenizer
from vocab.tokenizer.roles import parts_of, state_of
from vocab.tokenizer.sentencepiece_model import mended, with_bytes_apart
from vocab.tokenizer.texts import Lines
from vocab.view import SPACE, Kind, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_CUTTING = ("normalizer", "pre_tokenizer")
_NEEDED = ("cls", "sep", "pad", "unk", "mask")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        name: what it is called.
        message: what is wrong, and what comes of it.
        count: how many tokens or letters it concerns; 1 for a setting.
        examples: some of them.
        mendable: `repair` mends it.
    """

    name: str
    message: str
    count: int = 1
    examples: list[str] = field(default_factory=list)
    mendable: bool = False


def check(source: Any, texts: Any = None) -> list[Finding]:
    """Look a tokenizer over.

    Args:
        source: what `load_tokenizer` takes.
        texts: text of the language it is meant for, to look for letters it cannot write.

    Returns:
        What was found; nothing where all is well.
    """
    tokenizer = load_tokenizer(source)
    view = Vocabulary.of(tokenizer)
    raw = _outline(tokenizer.backend_tokenizer)
    looks: list[Callable[[Vocabulary, dict[str, Any]], Finding | None]] = [
        _specials,
        _bounded,
        _bytes,
        _written_bytes,
        _accents,
        _marks,
        _unreachable,
        _spaces,
        _partial,
    ]
    found = [look(view, raw) for look in looks]
    if texts is not None:
        found.append(_letters(view, texts))
    return [finding for finding in found if finding is not None]


def _outline(backend: Any) -> dict[str, Any]:
    """Return what a tokenizer.json says, but for the vocabulary, which may be large."""
    from tokenizers import models

    # The Unigram model does not say whether it falls back on bytes but by doing it.
    model = backend.model
    fallback = {"byte_fallback": model.byte_fallback} if isinstance(model, models.BPE) else {}
    if isinstance(model, models.Unigram):
        spelled = {index for byte in BYTES if (index := backend.token_to_id(byte)) is not None}
        tried = [token.id for token in model.tokenize("\U000e0001")] if spelled else []
        fallback = {"byte_fallback": bool(spelled & set(tried))}
    return {
        **{name: state_of(getattr(backend, name)) for name in _CUTTING},
        "truncation": backend.truncation,
        "padding": backend.padding,
        "model": {"type": type(model).__name__, **fallback},
    }


def repair(source: Any) -> PreTrainedTokenizerFast:
    """Mend what `check` calls mendable. Ids stay what they are.

    Args:
        source: what `load_tokenizer` takes.

    Returns:
        The mended tokenizer.
    """
    tokenizer = load_tokenizer(source)
    raw = json.loads(tokenizer.backend_tokenizer.to_str())
    raw["truncation"] = raw["padding"] = None
    if raw["normalizer"] is not None:
        raw["normalizer"] = {"type": "Sequence", "normalizers": mended(parts_of(raw["normalizer"]))}
    if "byte_fallback" in raw["model"]:
        raw["model"]["byte_fallback"] = _spelled(tokenizer.backend_tokenizer) == len(BYTES)
    if _takes_text_for_bytes(tokenizer.backend_tokenizer):
        raw["pre_tokenizer"] = with_bytes_apart(raw["pre_tokenizer"])
    return remade(tokenizer, raw)


def _spelled(backend: Any) -> int:
    return sum(backend.token_to_id(byte) is not None for byte in BYTES)


def _specials(view: Vocabulary, _: dict[str, Any]) -> Finding | None:
    missing = [
        role for role in _NEEDED if role not in view.roles and not (role == "unk" and view.family == "byte-level")
    ]
    if not missing:
        return None
    message = "no token plays these roles: masked-language-model training needs mask and pad, encoders cls and sep"
    return Finding("missing specials", message, len(missing), missing)


def _bounded(_: Vocabulary, raw: dict[str, Any]) -> Finding | None:
    what = [name for name in ("truncation", "padding") if raw[name] is not None]
    if not what:
        return None
    message = "the file itself cuts or fills up every text, whatever the caller asks for: text is lost in silence"
    return Finding("truncation in the file", message, len(what), what, mendable=True)


def _bytes(view: Vocabulary, raw: dict[str, Any]) -> Finding | None:
    if "byte_fallback" not in raw["model"] or view.family == "byte-level":
        return None
    flag, number = bool(raw["model"]["byte_fallback"]), _spelled(view.backend)
    if flag == (number == len(BYTES)):
        return None
    message = f"byte_fallback is {flag}, and {number} of 256 byte pieces are there: unknown letters " + (
        "are lost though bytes could spell them" if not flag else "cannot be spelled"
    )
    return Finding("byte fallback", message, mendable=True)


def _written_bytes(view: Vocabulary, _: dict[str, Any]) -> Finding | None:
    if not _takes_text_for_bytes(view.backend):
        return None
    message = "a text that holds <0x41>, written out, is taken for that byte, and comes back as A"
    return Finding("bytes written out", message, mendable=True)


def _takes_text_for_bytes(backend: Any) -> bool:
    piece = backend.token_to_id("<0x41>")
    return piece is not None and piece in backend.encode("a<0x41>", add_special_tokens=False).ids


def _accents(view: Vocabulary, raw: dict[str, Any]) -> Finding | None:
    """Composed and decomposed text must come out alike: a letter with two accents, one of them in the same letter."""
    letter = "e\u0323\u0301"
    composed, decomposed = (
        unicodedata.normalize("NFC", view.normalise(unicodedata.normalize(form, letter))) for form in ("NFC", "NFD")
    )
    if composed == decomposed:
        return None
    rules = any(part["type"] == "Precompiled" for part in parts_of(raw["normalizer"]))
    message = f"decomposed text is cut differently: {letter} becomes {decomposed} instead of {composed}"
    return Finding("decomposed accents", message, mendable=rules)


def _marks(view: Vocabulary, _: dict[str, Any]) -> Finding | None:
    if view.family != "metaspace" or SPACE in before_model(view, "a a"):
        return None
    never = [view.tokens[index] for index in np.flatnonzero(view.word_start).tolist()]
    if not never:
        return None
    message = f"these pieces begin with {SPACE}, which neither normaliser nor pre-tokeniser writes: they never occur"
    return Finding("no word marks", message, len(never), never[:20])


def _unreachable(view: Vocabulary, raw: dict[str, Any]) -> Finding | None:
    never = [index for index in _not_its_own_cut(view, raw) if not _spans_words(view, index)]
    if not never:
        return None
    message = (
        "these pieces are not what their own text is cut into: the normaliser or pre-tokeniser changes it, or other "
        "pieces always win; their rows are dead weight"
    )
    return Finding("unreachable pieces", message, len(never), [view.tokens[index] for index in never[:20]])


def _spaces(view: Vocabulary, raw: dict[str, Any]) -> Finding | None:
    never = [index for index in _not_its_own_cut(view, raw) if _spans_words(view, index)]
    if not never:
        return None
    message = (
        "these pieces hold a space, and the pre-tokeniser cuts every text at spaces before pieces are looked for: they "
        "can never occur. Without that cut other text would be cut differently, too: learn the tokenizer again"
    )
    return Finding("pieces with spaces", message, len(never), [view.tokens[index] for index in never[:20]])


def _spans_words(view: Vocabulary, index: int) -> bool:
    return b" " in view.text[index].strip()


def _not_its_own_cut(view: Vocabulary, raw: dict[str, Any]) -> list[int]:
    """List pieces that their own text is not cut into, neither behind a space nor, for pieces inside words, within one.

    All pieces are cut in two batches; what these do not settle is cut again piece by piece.
    """
    pieces, texts = [], []
    for index in np.flatnonzero(view.kind == Kind.PIECE).tolist():
        try:
            text = view.text[index].decode("utf-8")
        except UnicodeDecodeError:
            continue
        if text:
            pieces.append(index)
            texts.append(text)
    if view.family == "wordpiece":
        from tokenizers import models

        # The longest piece wins, so a piece is reached wherever its text comes through the pre-tokeniser whole.
        table = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        whole = _like(raw, models.WordLevel(table | {"": len(table)}, unk_token=""))
        found = [encoding.ids for encoding in whole.encode_batch_fast(texts, add_special_tokens=False)]
        doubtful = [i for i, text, ids in zip(pieces, texts, found, strict=True) if ids != [table[text]]]
    else:
        inside = _like(_without_word_marks(raw), view.backend.model)
        doubtful = []
        for start, backend, mark in ((True, view.backend, " " * (view.family == "byte-level")), (False, inside, "")):
            chosen = [place for place, index in enumerate(pieces) if bool(view.word_start[index]) == start]
            found = [
                encoding.ids
                for encoding in backend.encode_batch_fast([mark + texts[p] for p in chosen], add_special_tokens=False)
            ]
            doubtful += [pieces[place] for place, ids in zip(chosen, found, strict=True) if pieces[place] not in ids]
    return [index for index in sorted(doubtful) if not _reached(view, index)]


def _reached(view: Vocabulary, index: int) -> bool:
    text, token = view.text[index].decode("utf-8"), view.tokens[index]
    starts = (True, False) if view.family == "wordpiece" and view.word_start[index] else (view.word_start[index],)
    if any(index in view.pieces_of(text, bool(start)) for start in starts):
        return True
    # A sign may belong to a word only where it stands between letters (`ga-` in `aga-da`).
    model = view.backend.model
    wins = view.family == "wordpiece" or [found.id for found in model.tokenize(token)] == [index]
    return wins and any(_kept_between_letters(view, text, token, bool(start)) for start in starts)


def _kept_between_letters(view: Vocabulary, text: str, token: str, start: bool) -> bool:
    word = view.normalise(f"{text}a" if start else f"a{text}a")
    cutter = view.backend.pre_tokenizer
    parts = [word] if cutter is None else [part for part, _ in cutter.pre_tokenize_str(word)]
    return len(parts) == 1 and parts[0].endswith(token.lstrip(f"#Ġ{SPACE}") + "a")


def _like(raw: dict[str, Any], model: Any) -> Any:
    """Make a tokenizer with this normaliser and pre-tokeniser, and another model."""
    from tokenizers import Tokenizer

    parts = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    shell = Tokenizer.from_str(json.dumps(parts | {name: raw[name] or None for name in _CUTTING}))
    shell.model = model
    return shell


def _without_word_marks(part: Any) -> Any:
    """Change a tokenizer.json so that a text is taken for the inside of a word."""
    if isinstance(part, list):
        return [_without_word_marks(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    if part.get("type") == "Prepend":
        return {"type": "Sequence", "normalizers": []}
    full = {key: inner if key in ("vocab", "merges") else _without_word_marks(inner) for key, inner in part.items()}
    return full | {
        key: value for key, value in (("prepend_scheme", "never"), ("add_prefix_space", False)) if key in full
    }


def _partial(view: Vocabulary, _: dict[str, Any]) -> Finding | None:
    cut = [
        view.forms[index]
        for index in np.flatnonzero(view.kind == Kind.PIECE).tolist()
        if view.family == "byte-level" and "\ufffd" in view.text[index].decode("utf-8", "replace")
    ]
    if not cut:
        return None
    message = "these pieces begin or end inside a character: a model that writes them may write broken text"
    return Finding("pieces cut inside a character", message, len(cut), cut[:20])


def _letters(view: Vocabulary, texts: Any) -> Finding | None:
    counts: Counter[str] = Counter()
    for line in Lines(texts):
        counts.update(line)
    letters = [letter for letter in counts if not letter.isspace() and letter != SPACE]
    unknown = view.roles.get("unk", -1)
    lost = {
        letter: counts[letter]
        for letter, ids in zip(letters, encode_words(view, letters), strict=True)
        if unknown in ids.tolist() and unknown in view.pieces_of(letter, False) and view.family != "byte-level"
    }
    if not lost:
        return None
    most = sorted(lost, key=lambda letter: (-lost[letter], letter))
    message = f"{sum(lost.values())} characters of the text are letters or signs that no piece spells"
    return Finding("unknown letters", message, len(lost), [f"{letter} ({lost[letter]})" for letter in most[:20]])
