"""Build, load, extend and trim tokenizers; one file per algorithm family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocab.tokenizer.load import load_tokenizer as load_tokenizer
    from vocab.tokenizer.train import train_tokenizer as train_tokenizer

_HOME = {"load_tokenizer": "vocab.tokenizer.load", "train_tokenizer": "vocab.tokenizer.train"}
__all__ = ["load_tokenizer", "train_tokenizer"]


def __getattr__(name: str) -> Any:
    """Import a verb when it is first asked for: `vocab.view` needs this package before the verbs can be imported."""
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
