"""Words one by one: which a tokenizer cuts worst, and which another cuts better or worse, by how often they occur."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.compare.metric import Measured
from vocab.compare.text import Text

_AROUND = 40


@dataclass(frozen=True)
class Case:
    """A word, as a tokenizer cuts it.

    Attributes:
        word: the word, without the punctuation around it.
        frequency: how often the text has it.
        pieces: its pieces.
        context: where it occurs first, with some text around it.
    """

    word: str
    frequency: int
    pieces: tuple[str, ...]
    context: str


@dataclass(frozen=True)
class Change:
    """A word that two tokenizers cut into different numbers of pieces.

    Attributes:
        word: the word, without the punctuation around it.
        frequency: how often the text has it.
        before: its pieces in the first tokenizer.
        after: its pieces in the second.
        context: where it occurs first, with some text around it.
    """

    word: str
    frequency: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    context: str

    @property
    def saved(self) -> int:
        """Tokens that the second saves on the whole text; negative where it needs more."""
        return self.frequency * (len(self.before) - len(self.after))


@dataclass(frozen=True)
class Changes:
    """What became better and what worse between two tokenizers.

    Attributes:
        fixed: words in fewer pieces, those first that save most tokens.
        broken: words in more pieces, those first that cost most.
        counts: `fixed`, `broken` and `same`: (different words, occurrences).
        saved: tokens that all fixed words save.
        lost: tokens that all broken words cost.
    """

    fixed: list[Change]
    broken: list[Change]
    counts: dict[str, tuple[int, int]]
    saved: int
    lost: int

    @cached_property
    def frame(self) -> Any:
        """The listed words as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "kind": kind,
                    "word": one.word,
                    "frequency": one.frequency,
                    "before": " ".join(one.before),
                    "after": " ".join(one.after),
                    "saved": one.saved,
                    "context": one.context,
                }
                for kind, changes in (("fixed", self.fixed), ("broken", self.broken))
                for one in changes
            ]
        )


def frequencies(text: Text) -> tuple[np.ndarray, np.ndarray]:
    """Count words without the punctuation around them.

    Args:
        text: the counted text.

    Returns:
        Places in `text.words`, and how often each occurs, both int64.
    """
    core, frequency = text.core, text.frequency
    counts = np.bincount(core[core >= 0], weights=frequency[core >= 0], minlength=len(core)).astype(np.int64)
    places = np.flatnonzero(counts)
    return places, counts[places]


def clinic(measured: Measured, count: int = 200, *, skip: Iterable[str] = ()) -> list[Case]:
    """List the frequent words that are cut worst: most pieces beyond the first, over the whole text.

    Args:
        measured: of the tokenizer, as `vocab.compare.measure` returns it.
        count: how many words.
        skip: words that have been looked at.

    Returns:
        The words, the most expensive first; numbers and words in one piece are not among them.
    """
    places, frequency = frequencies(measured.text)
    cost = frequency * (measured.words.lengths[places] - 1)
    words, known = measured.text.words, set(skip)
    chosen: list[int] = []
    for n in np.lexsort((places, -cost)).tolist():
        if len(chosen) == count or cost[n] <= 0:
            break
        word = words[places[n]]
        if word not in known and not any(letter.isdigit() for letter in word):
            chosen.append(n)
    contexts = contexts_of(measured.text, [words[places[n]] for n in chosen])
    return [
        Case(words[places[n]], int(frequency[n]), spelled(measured, int(places[n])), contexts[words[places[n]]])
        for n in chosen
    ]


def fixed_and_broken(before: Measured, after: Measured, count: int = 50) -> Changes:
    """Say which words a second tokenizer cuts into fewer pieces, and which into more.

    Args:
        before: of the first tokenizer, as `vocab.compare.measure` returns it.
        after: of the second, on the same text.
        count: how many words to list of each kind.

    Returns:
        The words, with how much they save or cost.

    Raises:
        InputError: the two were not measured together.
    """
    if before.text is not after.text:
        raise InputError("these were measured on two texts", expected="one call of vocab.compare.measure")
    words = before.text.words
    places, frequency = frequencies(before.text)
    saved = (before.words.lengths[places] - after.words.lengths[places]) * frequency
    order = np.lexsort((places, -np.abs(saved)))
    chosen = {sign: order[sign * saved[order] > 0][:count].tolist() for sign in (1, -1)}
    contexts = contexts_of(before.text, [words[places[n]] for sign in (1, -1) for n in chosen[sign]])

    def change(n: int) -> Change:
        place = int(places[n])
        word = words[place]
        return Change(word, int(frequency[n]), spelled(before, place), spelled(after, place), contexts[word])

    kinds = {"fixed": saved > 0, "broken": saved < 0, "same": saved == 0}
    return Changes(
        fixed=[change(n) for n in chosen[1]],
        broken=[change(n) for n in chosen[-1]],
        counts={name: (int(kind.sum()), int(frequency[kind].sum())) for name, kind in kinds.items()},
        saved=int(saved[saved > 0].sum()),
        lost=-int(saved[saved < 0].sum()),
    )


def spelled(measured: Measured, place: int) -> tuple[str, ...]:
    """Return the pieces of one of the text's words, in canonical form."""
    return tuple(measured.view.forms[index] for index in measured.words[place].tolist())


def contexts_of(text: Text, words: Iterable[str]) -> dict[str, str]:
    """Find where words occur first, with some text around each; "" for what is not found.

    Args:
        text: the counted text; it is gone through until all are found.
        words: words without the punctuation around them.
    """
    found = dict.fromkeys(words, "")
    number = {word: place for place, word in enumerate(text.words)}
    wanted = [number[word] for word in found if word in number]
    written = {text.words[place]: text.words[text.core[place]] for place in np.flatnonzero(np.isin(text.core, wanted))}
    for _, lines in text.again():
        if not written:
            break
        for line in lines:
            for word in [word for word in line.split() if word in written]:
                bare = written[word]
                if not found[bare]:
                    start = line.index(word)
                    left, right = max(0, start - _AROUND), start + len(word) + _AROUND
                    found[bare] = "…" * (left > 0) + line[left:right].strip() + "…" * (right < len(line))
        written = {word: bare for word, bare in written.items() if not found[bare]}
    return found
