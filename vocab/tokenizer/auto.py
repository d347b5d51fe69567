"""Choose the size of a vocabulary: the smallest past which held-out text gains little."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import Algorithm, Task, TooFewPieces, TooManyPieces, tokenizer_of
from vocab.tokenizer.tally import letters as letters_in

_SIZES = tuple(1000 * 2**n for n in range(9))
_ENOUGH = 100


@dataclass(frozen=True)
class Point:
    """What one size came to.

    Attributes:
        size: pieces, specials included.
        fertility: pieces a word of held-out text.
        bits: description length: bits a character of held-out text, each piece coded by its frequency in the training
            text, and the letters of the vocabulary, spread over the characters of the training text.
    """

    size: int
    fertility: float
    bits: float


def choose(
    chosen: Algorithm,
    task: Task,
    held: Mapping[str, int],
    held_words: int,
    gain: float,
    told: Callable[[dict[str, Any]], None],
    *,
    sizes: Sequence[int] = _SIZES,
) -> tuple[int, list[Point]]:
    """Learn vocabularies of 1,000, 2,000, 4,000 ... pieces until doubling gains too little in both measures.

    Args:
        chosen: the algorithm.
        task: what to learn from, without the held-out text.
        held: parts of the held-out text -> how often.
        held_words: how many words that text has.
        gain: share of pieces a word, or of bits a character, that a doubling must save.
        told: called with the facts of each size.
        sizes: what is tried, the smallest first.

    Returns:
        The size, and the curve: all sizes that were tried. Where the text cannot give the next size, the largest that
        it can give is the last.

    Raises:
        InputError: the held-out text is too short to measure on.
    """
    if held_words < _ENOUGH:
        raise InputError(
            "there is too little text to choose a size by",
            found=f"{held_words} words in one line of twenty",
            expected=f"{_ENOUGH} of them, or a vocab_size",
        )
    curve: list[Point] = []
    for size in sizes:
        last = False
        try:
            model = chosen.learn(replace(task, vocab_size=size))
        except TooFewPieces:
            continue
        except TooManyPieces as error:
            size, last = error.most, True
            if curve and size < 1.1 * curve[-1].size:
                break
            model = chosen.learn(replace(task, vocab_size=size))
        curve.append(_measured(chosen, model, task, size, held, held_words))
        told({"stage": "choosing", "size": size, "fertility": curve[-1].fertility, "bits": curve[-1].bits})
        if last or (len(curve) > 1 and _gain(*curve[-2:]) < gain):
            break
    if not curve:
        raise InputError("specials and letters alone are more than the largest size tried", found=sizes[-1])
    enough = next((a.size for a, b in pairwise(curve) if _gain(a, b) < gain), curve[-1].size)
    return enough, curve


def _gain(a: Point, b: Point) -> float:
    """Return the larger of the two savings, brought to a doubling where the last step was shorter."""
    step = math.log2(b.size / a.size)
    return max(1 - (b.fertility / a.fertility) ** (1 / step), 1 - (b.bits / a.bits) ** (1 / step))


def _measured(
    chosen: Algorithm, model: dict[str, Any], task: Task, size: int, held: Mapping[str, int], words: int
) -> Point:
    backend = tokenizer_of(model, chosen.cutters(task, model) if chosen.cutters is not None else ())

    def cut(part: str) -> list[int]:
        return [token.id for piece, _ in backend.pre_tokenizer.pre_tokenize_str(part) for token in search(piece)]

    search = backend.model.tokenize
    seen: Counter[int] = Counter()
    for part, count in task.counts.items():
        for index in cut(part):
            seen[index] += count
    total = seen.total() + size
    pieces, code = 0, 0.0
    for part, count in held.items():
        for index in cut(part):
            pieces += count
            code -= count * math.log2((seen[index] + 1) / total)
    letters = letters_in(task.counts)
    characters = letters.total()
    entropy = -sum(n / characters * math.log2(n / characters) for n in letters.values())
    names = [entry[0] for entry in model["vocab"]] if isinstance(model["vocab"], list) else list(model["vocab"])
    spelled = sum(len(name) + 1 for name in names) * entropy
    length = sum(len(part) * count for part, count in held.items())
    return Point(size, pieces / words, code / length + spelled / characters)
