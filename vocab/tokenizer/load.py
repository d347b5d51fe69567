"""Load a tokenizer from wherever it is, always as a fast tokenizer of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.tokenizer.roles import ROLES, guess_roles

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_EXPECTED = "a folder, a tokenizer.json, a SentencePiece .model, a .tiktoken file, a hub id or a tokenizer"


def load_tokenizer(where: Any) -> PreTrainedTokenizerFast:
    """Load a tokenizer.

    Args:
        where: a folder with `tokenizer.json` or a SentencePiece model, one of these files, a `.tiktoken` file, a
            hub id, a `tokenizers.Tokenizer`, or a fast tokenizer, which is returned as it is. Code that comes with a
            tokenizer is never run.

    Returns:
        The tokenizer, its special tokens set.

    Raises:
        InputError: nothing is there, or it cannot be read.
    """
    from tokenizers import Tokenizer

    if isinstance(where, Tokenizer):
        return wrap(where)
    if not isinstance(where, str | Path):
        if isinstance(getattr(where, "backend_tokenizer", None), Tokenizer):
            given: PreTrainedTokenizerFast = where
            return given
        raise InputError("this is no fast tokenizer", found=type(where).__name__, expected=_EXPECTED)
    path = Path(where)
    if path.is_file():
        return _of_file(path)
    if path.is_dir():
        return _of_folder(path)
    if isinstance(where, Path) or not _may_be_hub_id(where):
        raise InputError("there is no such file or folder", file=str(where), expected=_EXPECTED)
    return _pretrained(where)


def wrap(backend: Tokenizer, **settings: Any) -> PreTrainedTokenizerFast:
    """Give a bare tokenizer the face of transformers.

    Args:
        backend: the tokenizer.
        settings: `cls_token`, ..., `model_max_length`; roles that are not given are guessed from the spelling when
            none is given at all.

    Returns:
        The tokenizer for transformers.
    """
    from transformers import PreTrainedTokenizerFast

    from vocab.view import Vocabulary

    if not any(f"{role}_token" in settings for role in ROLES):
        settings |= {f"{role}_token": text for role, text in guess_roles(backend).items()}
    made = PreTrainedTokenizerFast(tokenizer_object=backend, **{"clean_up_tokenization_spaces": False} | settings)
    if made.backend_tokenizer.get_vocab_size(with_added_tokens=False) < backend.get_vocab_size(with_added_tokens=False):
        Vocabulary.of(backend)  # of two tokens with one id transformers drops one in silence; this names both
    return made


def _may_be_hub_id(where: str) -> bool:
    return 0 < len(where) < 97 and where.count("/") <= 1 and not where.startswith((".", "/", "~")) and "\\" not in where


def _of_file(path: Path) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer

    if path.suffix == ".model":
        from vocab.tokenizer.sentencepiece_model import read_model

        return wrap(read_model(path))
    if path.suffix == ".tiktoken":
        from vocab.tokenizer.convert import from_tiktoken

        return from_tiktoken(path)
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception, with the reason in its text
        backend = _of_older_release(path, str(error))
    return wrap(backend, **_settings_beside(path.parent))


def _of_older_release(path: Path, reason: str) -> Tokenizer:
    """Read a tokenizer.json that lacks what later releases write, with the value that it had by default then."""
    from tokenizers import Tokenizer

    expected = "a tokenizer.json, a SentencePiece .model or a .tiktoken file"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"this is no tokenizer: {reason}", file=path, expected=expected) from None
    if not isinstance(raw, dict) or "model" not in raw:
        raise InputError("this JSON is no tokenizer", file=path, found=reason, expected=expected)
    try:
        return Tokenizer.from_str(json.dumps(_modern(raw)))
    except Exception as error:
        raise InputError(
            f"this tokenizer.json cannot be read: {error}",
            file=path,
            found=f"version {raw.get('version', 'not given')}",
            expected="one written by tokenizers 0.20 or later: load it with the release that wrote it, and save it "
            "again with a later one",
        ) from None


def _modern(part: Any) -> Any:
    """Fill in what older releases did not write, at every depth."""
    if isinstance(part, list):
        return [_modern(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    full = {key: inner if key == "vocab" else _modern(inner) for key, inner in part.items()}
    kind = full.get("type")
    if kind == "Metaspace" and "prepend_scheme" not in full:
        full["prepend_scheme"] = "always" if full.pop("add_prefix_space", True) else "never"
        full.setdefault("replacement", full.get("str_rep", "\u2581"))
    if kind == "ByteLevel":
        full.setdefault("trim_offsets", True)
    if kind == "Digits":
        full.setdefault("individual_digits", False)
    if {"content", "special", "lstrip"} <= full.keys():
        full.setdefault("normalized", not full["special"])
    return full | ({"version": "1.0"} if "added_tokens" in full else {})


def _settings_beside(folder: Path) -> dict[str, Any]:
    """Read special tokens and lengths from the JSON files beside a tokenizer.json."""
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        file = folder / name
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"this is no JSON: {error}", file=file) from None
        for role in ROLES:
            token = found.get(f"{role}_token")
            text = token.get("content") if isinstance(token, dict) else token
            if text:
                settings[f"{role}_token"] = text
        settings |= {k: found[k] for k in ("model_max_length", "truncation_side", "padding_side") if k in found}
    return settings


def _of_folder(path: Path) -> PreTrainedTokenizerFast:
    names = {file.name for file in path.iterdir()}
    models = sorted(name for name in names if name.endswith(".model"))
    if "tokenizer.json" in names or {"vocab.txt", "vocab.json"} & names:
        return _pretrained(path)
    if len(models) == 1:
        from vocab.tokenizer.sentencepiece_model import read_model

        return wrap(read_model(path / models[0]), **_settings_beside(path))
    raise InputError(
        "the folder holds no tokenizer",
        file=path,
        found=", ".join(sorted(names)[:8]) or "an empty folder",
        expected="tokenizer.json, vocab.txt, vocab.json or one SentencePiece .model",
    )


def _pretrained(where: str | Path) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(where), trust_remote_code=False)
    except Exception as error:  # many kinds: no network, no such repository, a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"no tokenizer could be loaded: {reason}", file=str(where), expected=_EXPECTED) from None
    if not isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer):
        raise InputError("this is no fast tokenizer", file=str(where), found=type(tokenizer).__name__)
    loaded: PreTrainedTokenizerFast = tokenizer
    return loaded
