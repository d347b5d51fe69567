"""Which tokens are hidden and what stands in their place; drawn for a whole optimiser step at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from adapt.pretrain.data import Blocks, Symbols


def choose(blocks: Blocks, symbols: Symbols, rate: float, unit: str, generator: np.random.Generator) -> np.ndarray:
    """Choose the tokens that are predicted.

    Args:
        blocks: a step's blocks, (rows, length).
        symbols: special tokens, never chosen.
        rate: chance of a unit to be chosen, so the expected share of tokens too.
        unit: `word`, `token` or `word-l2r` (see MlmOptions).
        generator: the step's generator.

    Returns:
        (rows, length) bool; at least one token is chosen wherever there is one to choose.
    """
    free = blocks.attention & ~symbols.special[blocks.ids]
    if not free.any():
        return free
    if unit == "token":
        chosen = free & (generator.random(free.shape) < rate)
        return chosen if chosen.any() else _one(free, generator)
    # Every special token ends a word, so that a word never runs over the border of a line or a row.
    word = np.cumsum((blocks.starts | ~free | np.roll(~free, 1, axis=1)).ravel()).reshape(free.shape) - 1
    draw = generator.random(int(word.max()) + 1)
    chosen = free & (draw < rate)[word]
    if unit == "word-l2r":
        chosen &= _from_piece(word, draw / rate, generator)
    return chosen if chosen.any() else _one(free, generator)


def _from_piece(word: np.ndarray, draw: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Say True from a random piece of each word on (half of the words: from the first).

    The words that are chosen have draws spread evenly over [0, 1): those below 0.5 stay whole.
    """
    flat = word.ravel()
    first = np.searchsorted(flat, np.arange(len(draw)))
    length = np.diff(np.append(first, len(flat)))
    begin = np.where(draw < 0.5, 0, (generator.random(len(draw)) * length).astype(np.int64))
    return (np.arange(len(flat)) - first[flat] >= begin[flat]).reshape(word.shape)


def _one(free: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One token among the free ones, for steps so short that chance chose none."""
    chosen = np.zeros_like(free)
    at = np.flatnonzero(free)
    chosen.ravel()[at[generator.integers(len(at))]] = True
    return chosen


def corrupt(
    ids: np.ndarray, chosen: np.ndarray, symbols: Symbols, masked: float, random: float, generator: np.random.Generator
) -> np.ndarray:
    """Put mask tokens and random tokens in place of the chosen ones.

    Args:
        ids: (rows, length) int64.
        chosen: (rows, length) bool.
        symbols: the mask token, and the tokens that may stand in (`ordinary`).
        masked: share replaced by the mask token.
        random: share replaced by a random ordinary token.
        generator: the step's generator.

    Returns:
        A copy of ids, altered at chosen positions only.
    """
    inputs = ids.copy()
    mask = symbols.pad if symbols.mask is None else symbols.mask
    count = int(chosen.sum())
    fate = generator.random(count)
    other = symbols.ordinary[generator.integers(len(symbols.ordinary), size=count)]
    inputs[chosen] = np.where(fate < masked, mask, np.where(fate < masked + random, other, ids[chosen]))
    return inputs
