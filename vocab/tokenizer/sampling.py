"""BPE-dropout: words are cut in many ways in training, in one way in evaluation (Provilkov et al. 2020).

The rate is saved in `tokenizer_config.json`. What `tokenizer.json` says stays without dropout, so that whoever loads
the tokenizer evaluates with it; training switches it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lexigraft import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_NAME = "bpe_dropout"


def remember(tokenizer: PreTrainedTokenizerFast, rate: float) -> None:
    """Give a tokenizer the share of merges that training leaves out; it survives save and load.

    Raises:
        InputError: its pieces are not made by merges.
    """
    kind = type(tokenizer.backend_tokenizer.model).__name__
    if kind != "BPE":
        raise InputError("there are no merges to leave out", found=kind, expected="an algorithm that merges, as bpe")
    tokenizer.init_kwargs[_NAME] = rate


def rate_of(tokenizer: PreTrainedTokenizerFast) -> float:
    """Return the share of merges that training leaves out; 0 where none was asked for."""
    return float(tokenizer.init_kwargs.get(_NAME, 0.0))


@contextmanager
def dropout(tokenizer: PreTrainedTokenizerFast) -> Iterator[None]:
    """Cut with the tokenizer's own dropout inside this block, for training. What is drawn cannot be seeded."""
    model = tokenizer.backend_tokenizer.model
    rate = rate_of(tokenizer)
    if rate:
        model.dropout = rate
    try:
        yield
    finally:
        if rate:
            model.dropout = None
