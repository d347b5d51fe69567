"""What a tokenizer metric declares, what it is given, and the registry that finds the metrics of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from vocab.registry import Registry
from vocab.view import Vocabulary


@dataclass(frozen=True)
class Measured:
    """All that one pass over the text saw of one tokenizer.

    Attributes:
        view: the tokenizer.
        ids: int32 (tokens,), all lines after each other.
        starts: int64 (lines + 1,), where each line begins in `ids`; the last is the number of tokens.
        words: int64 (lines,), words between white space.
        characters: int64 (lines,), code points, inner spaces included.
        bytes: int64 (lines,), of the text in UTF-8.
        cores: int64 (lines,), words that have a letter or digit, counted without the punctuation around them.
        cut: int64 (lines,), those of them that are more than one piece.
        returned: bool (sampled lines,), decoding gives the line back, white space aside.
        sampled: int64 (sampled lines,), which lines those are.
        parallel: int64 (pairs, 2), tokens of each line of the parallel text and of its other side; or None.
    """

    view: Vocabulary
    ids: np.ndarray
    starts: np.ndarray
    words: np.ndarray
    characters: np.ndarray
    bytes: np.ndarray
    cores: np.ndarray
    cut: np.ndarray
    returned: np.ndarray
    sampled: np.ndarray
    parallel: np.ndarray | None = None

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of each line, int64 (lines,)."""
        return np.diff(self.starts)

    @cached_property
    def used(self) -> np.ndarray:
        """The different ids that occur, int64, sorted."""
        return np.flatnonzero(np.bincount(self.ids, minlength=len(self.view)))

    def where(self, holds: Callable[[int], bool]) -> np.ndarray:
        """Mark the ids that occur and have a property.

        Args:
            holds: says it of one id.

        Returns:
            bool (ids of the vocabulary,).
        """
        chosen = np.zeros(len(self.view), dtype=bool)
        chosen[[index for index in self.used.tolist() if holds(index)]] = True
        return chosen

    def count(self, chosen: np.ndarray) -> np.ndarray:
        """Count the tokens of a choice in each line.

        Args:
            chosen: bool (ids of the vocabulary,).

        Returns:
            int64 (lines,).
        """
        before = np.concatenate([[0], np.cumsum(chosen[self.ids], dtype=np.int64)])
        return before[self.starts[1:]] - before[self.starts[:-1]]


@dataclass(frozen=True)
class Ratio:
    """A metric that is a sum over lines by another sum over lines.

    Attributes:
        above: (lines,), summed above the stroke.
        below: (lines,), summed below it.
    """

    above: np.ndarray
    below: np.ndarray


@dataclass(frozen=True)
class Resampled:
    """A metric that is no ratio of sums.

    Attributes:
        value: the metric.
        resample: gives it for texts in which blocks of lines are repeated or left out: (first line of each block,
            weights (draws, blocks)) -> (draws,); None where such texts do not estimate it.
    """

    value: float
    resample: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Metric:
    """One number about a tokenizer on a text.

    Attributes:
        name: the column, and what users type.
        summary: the definition, in one line.
        unit: what it is counted in.
        better: which way is better, all else equal.
        paper: where it is defined.
        measure: computes it; None where it does not apply.
    """

    name: str
    summary: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    paper: str
    measure: Callable[[Measured], Ratio | Resampled | None]


METRICS: Registry[Metric] = Registry("vocab.compare", "metric")
