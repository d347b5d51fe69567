"""Which tokens are hidden and what stands in their place; drawn for a whole optimiser step at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from adapt.pretrain.data import Blocks
    from adapt.pretrain.tokens import Symbols

NGRAM = (6 / 11, 3 / 11, 2 / 11)  # chance of one, two and three words: (1/n) / (1 + 1/2 + 1/3)


def choose(blocks: Blocks, symbols: Symbols, rate: float, unit: str, generator: np.random.Generator) -> np.ndarray:
    """Choose the tokens that are predicted.

    Args:
        blocks: a step's blocks, (rows, length).
        symbols: special tokens, never chosen.
        rate: expected share of the tokens that are chosen (`word-l2r` reaches 3/4 at least and stops there).
        unit: `token`, `word`, `ngram` or `word-l2r` (see MlmOptions).
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
    # Every special token ends a word, as every row and document does.
    border = ~free
    border[:, 1:] |= ~free[:, :-1] | (blocks.documents[:, 1:] != blocks.documents[:, :-1])
    border[:, 0] = True
    border = border.ravel()
    unit_of = np.cumsum(blocks.starts.ravel() | border) - 1
    if unit == "ngram":
        unit_of = _join(unit_of, border, generator)
    draw = generator.random(int(unit_of[-1]) + 1)
    if unit == "word-l2r":
        # Of a chosen word of k pieces (3k + 1) / 4 are hidden on average: more words are chosen to make up for it.
        tokens, words = int(free.sum()), len(np.unique(unit_of[free.ravel()]))
        rate = min(1.0, rate * 4 * tokens / (3 * tokens + words))
    chosen = free.ravel() & (draw < rate)[unit_of]
    if unit == "word-l2r":
        chosen &= _from_piece(unit_of, draw / rate, generator)
    chosen = chosen.reshape(free.shape)
    return chosen if chosen.any() else _one(free, generator)


def _join(word: np.ndarray, border: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Cut the words into runs of one to three, a run of n with chance ~ 1/n, none over a border.

    Choosing each run with one chance keeps both the lengths and the share of tokens as they are asked for.

    Args:
        word: (tokens,) number of each token's word.
        border: (tokens,) True where a run must begin.
        generator: the step's generator.

    Returns:
        (tokens,) number of each token's run.
    """
    words = int(word[-1]) + 1
    lengths = 1 + generator.choice(len(NGRAM), size=words, p=NGRAM)
    run = np.repeat(np.arange(words), lengths)[:words][word]
    return np.cumsum(border | np.concatenate(([True], run[1:] != run[:-1]))) - 1


def _from_piece(word: np.ndarray, draw: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Say True from a random piece of each word on (half of the words: from the first).

    The words that are chosen have draws spread evenly over [0, 1): those below 0.5 stay whole.
    """
    first = np.searchsorted(word, np.arange(len(draw)))
    length = np.diff(np.append(first, len(word)))
    begin = np.where(draw < 0.5, 0, (generator.random(len(draw)) * length).astype(np.int64))
    return np.arange(len(word)) - first[word] >= begin[word]


def _one(free: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One token among the free ones, for steps so short that chance chose none."""
    chosen = np.zeros_like(free)
    at = np.flatnonzero(free)
    chosen.ravel()[at[generator.integers(len(at))]] = True
    return chosen


def corrupt(
    ids: np.ndarray, chosen: np.ndarray, symbols: Symbols, masked: float, random: float, generator: np.random.Generator
) -> np.ndarray:
    """Put mask tokens (or similar ones, where the symbols have them) and random tokens in place of the chosen ones.

    Args:
        ids: (rows, length) int64.
        chosen: (rows, length) bool.
        symbols: the mask token, and the tokens that may stand in (`ordinary`).
        masked: share replaced by the mask token, or by one of the similar tokens (a random one where there is none).
        random: share replaced by a random ordinary token.
        generator: the step's generator.

    Returns:
        A copy of ids, altered at chosen positions only.
    """
    inputs, hidden = ids.copy(), ids[chosen]
    fate = generator.random(len(hidden))
    other = symbols.ordinary[generator.integers(len(symbols.ordinary), size=len(hidden))]
    instead: np.ndarray | int = symbols.pad if symbols.mask is None else symbols.mask
    if symbols.similar is not None:
        near = symbols.similar[hidden, generator.integers(symbols.similar.shape[1], size=len(hidden))]
        instead = np.where(near < 0, other, near)
    inputs[chosen] = np.where(fate < masked, instead, np.where(fate < masked + random, other, hidden))
    return inputs
