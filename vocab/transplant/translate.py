"""Word alignment of parallel text: which words translate each other, by expectation-maximisation (IBM Model 1 and 2).

The reparametrised Model 2 of Dyer, Chahuneau & Smith (2013), "A Simple, Fast, and Effective Reparameterization of IBM
Model 2", section 2: a word of the target comes from one word of the source or from none (0.08); words in like places
are preferred, exp(-tension |i/m - j/n|); tension 0 is Model 1. Counts are expected counts, soft rather than the one
best link, in the direction source -> target alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.texts import Lines

_NONE = 0.08
_CELLS = 4_000_000


def read_parallel(given: Any) -> list[tuple[str, str]]:
    """Take parallel text as users give it.

    Args:
        given: (source, target): two files, or two lists of lines, that translate each other line by line; or a list of
            (source line, target line) pairs.

    Returns:
        The pairs that have text on both sides.

    Raises:
        InputError: another number of lines on one side (names file and line), or no pair with text.
    """
    sides = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    if len(sides) == 2 and not all(isinstance(side, tuple) for side in sides):
        left, right = (Lines(side, blank=True) for side in sides)
        pairs = []
        ends = object()
        one, two = iter(left), iter(right)
        for number in range(1, 2**62):
            a, b = next(one, ends), next(two, ends)
            if a is ends and b is ends:
                break
            if a is ends or b is ends:
                short, long = (left, right) if a is ends else (right, left)
                raise InputError(
                    f"parallel texts have not as many lines: {short} ends first",
                    file=str(long) if long.files else None, line=number if long.files else None,
                    found=f"{number - 1} lines and more than that", expected="line by line translations",
                )  # fmt: skip
            pairs.append((str(a), str(b)))
    elif sides and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in sides):
        pairs = [(str(a), str(b)) for a, b in sides]
    else:
        raise InputError(
            "this is no parallel text", found=type(given).__name__ if not isinstance(given, str | Path) else given,
            expected="two files (source, target), or pairs of lines",
        )  # fmt: skip
    pairs = [(a, b) for a, b in pairs if a.strip() and b.strip()]
    if not pairs:
        raise InputError("the parallel text is empty", found="no line with text on both sides")
    return pairs


def align_words(
    source: Sequence[np.ndarray], target: Sequence[np.ndarray], *, rounds: int = 7, tension: float = 4.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count how often words translate each other.

    Args:
        source: word ids of each source sentence, int.
        target: word ids of each target sentence, as many sentences.
        rounds: rounds of expectation-maximisation.
        tension: how much like places are preferred; 0: not at all.

    Returns:
        Source word, target word, and expected number of links of each pair that stands in some sentence pair; ordered
        by source, then target.
    """
    wide = 1 + max((int(t.max(initial=-1)) for t in target), default=-1)
    laid = [_run(source[part], target[part], wide, tension) for part in _parts(source, target)]
    keys = np.unique(np.concatenate([np.zeros(0, np.int64), *(np.unique(run[0]) for run in laid)]))
    # Eight bytes a cell stay: the text's size is bounded by them.
    runs = [(np.searchsorted(keys, laid.pop(0)[0]).astype(np.int32), *rest) for rest in [run[1:] for run in laid]]
    owner = keys // max(wide, 1)
    place = np.unique(owner, return_inverse=True)[1]
    # Uniform to begin with: the first round counts by place alone.
    chance, none, counts = np.ones(len(keys)), np.ones(wide), np.zeros(len(keys))
    for _ in range(rounds):
        counts, missed = np.zeros(len(keys)), np.zeros(wide)
        for at, near, words, lengths in runs:
            whose = np.repeat(np.arange(len(words)), lengths)
            weight = (1 - _NONE) * near * chance[at]
            alone = _NONE * none[words]
            total = np.bincount(whose, weight, minlength=len(words)) + alone
            counts += np.bincount(at, weight / total[whose], minlength=len(keys))
            missed += np.bincount(words, alone / total, minlength=wide)
        chance = counts / np.maximum(np.bincount(place, counts), np.finfo(float).tiny)[place]
        none = missed / max(missed.sum(), np.finfo(float).tiny)
    return owner, keys - owner * wide, counts


def _parts(source: Sequence[np.ndarray], target: Sequence[np.ndarray]) -> Iterator[slice]:
    """Cut the sentence pairs into runs of few enough cells."""
    first, cells = 0, 0
    for index, (s, t) in enumerate(zip(source, target, strict=True)):
        cells += len(s) * len(t)
        if cells > _CELLS or index == len(source) - 1:
            yield slice(first, index + 1)
            first, cells = index + 1, 0


def _run(
    source: Sequence[np.ndarray], target: Sequence[np.ndarray], wide: int, tension: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lay out some sentence pairs: a cell is one word of the target beside one of the source.

    Returns:
        Key of each cell and how likely its place is, float32; each target word and how many cells it has.
    """
    keys, near, words, lengths = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], []
    for s, t in zip(source, target, strict=True):
        if not len(s) or not len(t):
            continue
        keys.append((s[None, :] * wide + t[:, None]).ravel())
        distance = np.arange(1, len(s) + 1)[None, :] / len(s) - np.arange(1, len(t) + 1)[:, None] / len(t)
        like = np.exp(-tension * np.abs(distance))
        near.append((like / like.sum(axis=1, keepdims=True)).astype(np.float32).ravel())
        words.append(t)
        lengths.append(np.full(len(t), len(s)))
    return (
        np.concatenate(keys),
        np.concatenate(near),
        np.concatenate(words),
        np.concatenate([np.zeros(0, int), *lengths]),
    )
