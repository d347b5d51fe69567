"""Rows of text to try a model on: drawn lines behind each other, and what is asked of the model in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vocab.transplant.setting import Setting

LINES = 16  # lines drawn for each row: enough for short ones


@dataclass(frozen=True)
class Batch:
    """Rows without padding, and what is asked of the model.

    Attributes:
        ids: int64 (rows, length), what it reads.
        flat: int64 (asked,), places in the flattened rows where it is asked.
        labels: int64 (asked,), the tokens it is asked for.
    """

    ids: NDArray[np.int64]
    flat: NDArray[np.int64]
    labels: NDArray[np.int64]


def cut_rows(setting: Setting, lines: list[str], length: int) -> NDArray[np.int64]:
    """Lay lines behind each other, each with its end token, and cut them into rows with the begin token in front.

    Args:
        setting: whose new tokenizer.
        lines: the text.
        length: tokens of a row.

    Returns:
        int64 (rows, length); what is left of the last row is dropped.
    """
    from vocab.windows import ends_of

    begin, end = ends_of(setting.tokenizer)
    ended = [np.append(ids, end) for ids in setting.new.encode(lines)]
    tokens = np.concatenate([np.zeros(0), *ended]).astype(np.int64)
    width = length - len(begin)
    count = len(tokens) // width
    cut = tokens[: count * width].reshape(count, width)
    return np.concatenate([np.repeat(np.array([begin], np.int64), count, axis=0), cut], axis=1)


def longest(setting: Setting, length: int) -> int:
    """Tokens that a row can have: as asked, or as many as the model has positions for."""
    config: Any = setting.carrier.model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or length + 2
    return min(length, positions - 2)  # RoBERTa and its kin count positions from 2


def asker(setting: Setting, causal: bool, rate: float, draw: np.random.Generator) -> Any:
    """Return what makes a `Batch` of rows: a decoder is asked for every token, a masked model for hidden words.

    Args:
        setting: whose new tokenizer.
        causal: whether the model is a decoder.
        rate: share of words hidden from a masked model, all pieces of a word together.
        draw: draws the words.

    Raises:
        InputError: a masked model, and no mask token.
    """
    return _ask_all if causal else _Hide(setting, rate, draw)


def _ask_all(ids: NDArray[np.int64]) -> Batch:
    """Ask a decoder for every token but a row's first."""
    places = np.arange(ids.size).reshape(ids.shape)[:, :-1].ravel()
    return Batch(ids, places, ids[:, 1:].ravel())


class _Hide:
    """Hides words from a masked model."""

    def __init__(self, setting: Setting, rate: float, draw: np.random.Generator) -> None:
        from vocab.view import Kind

        if setting.tokenizer.mask_token_id is None:
            raise InputError("training a masked model needs a mask token", found="a tokenizer without one")
        self.mask, self.rate, self.draw = setting.tokenizer.mask_token_id, rate, draw
        self.free, self.start = setting.new.kind <= Kind.BYTE, setting.new.word_start

    def __call__(self, ids: NDArray[np.int64]) -> Batch:
        free = self.free[ids].ravel()
        word = np.cumsum(self.start[ids].ravel() | ~free)
        hidden = free & (self.draw.random(int(word.max()) + 1) < self.rate)[word]
        shown = np.where(hidden.reshape(ids.shape), self.mask, ids)
        flat = np.flatnonzero(hidden)
        return Batch(shown, flat, ids.ravel()[flat])
