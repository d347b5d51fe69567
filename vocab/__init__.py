"""A package of Lexigraft. Tokenizers, token vectors and vocabulary transplants; knows nothing of languages or runs.

Light on import: torch, transformers and fasttext are loaded when a function first needs them. The public names are
`train_tokenizer`, `compare`, `transplant`, `token_vectors`, `Vocabulary` and `Mixture`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocab.compare import compare as compare
    from vocab.mixture import Mixture as Mixture
    from vocab.tokenizer import train_tokenizer as train_tokenizer
    from vocab.transplant import transplant as transplant
    from vocab.vectors import token_vectors as token_vectors
    from vocab.view import Vocabulary as Vocabulary

__all__ = ["Mixture", "Vocabulary", "compare", "token_vectors", "train_tokenizer", "transplant"]

_HOME = {
    "Mixture": "vocab.mixture",
    "Vocabulary": "vocab.view",
    "token_vectors": "vocab.vectors",
    "train_tokenizer": "vocab.tokenizer",
}
_VERBS = frozenset({"compare", "transplant"})


class _Verb(ModuleType):
    """A subpackage that is called like the function of the same name in it: `vocab.transplant(...)`."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **keywords)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(getattr(self, self.__name__.rpartition(".")[2]))


class _Package(ModuleType):
    """`vocab` itself: the import system binds subpackages to it, and those that are verbs are made callable then.

    `vocab.transplant` is a function to users and a package to Python. Binding the function over the package would
    break `import vocab.transplant.method as m`, so the package stays, and can be called.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _VERBS and type(value) is ModuleType:
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _VERBS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted(__all__)
