"""What a tokenizer metric declares, what it is given, and the registry that finds the metrics of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vocab.compare.text import Text
from vocab.registry import Registry
from vocab.tokenizer.pieces import Pieces
from vocab.view import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Gold:
    """Words that people cut, as a tokenizer cuts them.

    Attributes:
        words: float64 (blocks,), words.
        tokens: float64 (blocks,), their tokens, each word alone behind a space.
        split: float64 (blocks,), words of more than one token.
    """

    words: np.ndarray
    tokens: np.ndarray
    split: np.ndarray


@dataclass(frozen=True)
class Boundaries:
    """Boundaries inside words, of pieces and of morphemes, in characters.

    Attributes:
        pieces: float64 (words,), boundaries between pieces.
        morphemes: float64 (words,), boundaries between morphemes.
        both: float64 (words,), places where both are.
    """

    pieces: np.ndarray
    morphemes: np.ndarray
    both: np.ndarray


@dataclass(frozen=True)
class Measured:
    """All that one pass over the text saw of one tokenizer.

    Attributes:
        view: the tokenizer.
        text: the counted text, the same for all tokenizers.
        counts: CSR float64 (blocks, ids of the vocabulary), how often each token occurs in each block.
        words: how each of `text.words` is cut behind a space.
        returned: bool (sampled lines,), decoding gives the line back, white space aside.
        context: tokens of the context that words are fitted into.
        parallel: language -> tokens of the text and of its other side, each float64 (blocks of the pair,).
        gold: words that people cut; None where none were given.
        boundaries: piece and morpheme boundaries; None where no morphemes were given.
        base: what the base tokenizer measured; None for the base itself.
        given: what metrics that are asked for by name need (`train`, `seeds`, `fit`, `progress`).
    """

    view: Vocabulary
    text: Text
    counts: csr_matrix
    words: Pieces
    returned: np.ndarray
    context: int = 512
    parallel: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    gold: Gold | None = None
    boundaries: Boundaries | None = None
    base: Measured | None = None
    given: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def tokens(self) -> np.ndarray:
        """Tokens of each block, float64 (blocks,)."""
        return np.asarray(self.counts.sum(axis=1)).ravel()

    @cached_property
    def frequency(self) -> np.ndarray:
        """How often each token occurs, int64 (ids of the vocabulary,)."""
        return np.asarray(self.counts.sum(axis=0)).ravel().astype(np.int64)

    @cached_property
    def used(self) -> np.ndarray:
        """The different ids that occur, int64, sorted."""
        return np.flatnonzero(self.frequency)

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
        """Count the tokens of a choice in each block.

        Args:
            chosen: bool (ids of the vocabulary,).

        Returns:
            float64 (blocks,).
        """
        return np.asarray(self.counts @ chosen.astype(np.float64))


@dataclass(frozen=True)
class Ratio:
    """A metric that is a sum by another sum.

    Attributes:
        above: float64 (blocks,), or (words,) where words are what is resampled; summed above the stroke.
        below: as many, summed below it.
    """

    above: np.ndarray
    below: np.ndarray


Weights = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Resampled:
    """A metric that is no ratio of sums.

    Attributes:
        value: the metric.
        resample: gives it for texts in which blocks are repeated or left out, (draws,). It is given a function
            (number of blocks, stream=0) -> weights (draws, blocks); other streams are drawn apart. None where such
            texts do not estimate it.
        interval: the 95 % interval, where it comes from elsewhere.
    """

    value: float
    resample: Callable[[Weights], np.ndarray] | None = None
    interval: tuple[float, float] | None = None


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; NaN where the divisor is 0."""
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0)


@dataclass(frozen=True)
class Metric:
    """One number about a tokenizer on a text.

    Attributes:
        name: the column, and what users type.
        summary: the definition, in one line.
        unit: what it is counted in.
        better: which way is better, all else equal.
        paper: where it is defined, or that the summary alone defines it.
        measure: computes it; None where it does not apply.
        asked: it is computed only when asked for by name: it takes long, or depends on the machine.
        seconds: says beforehand how long it takes, where that is long.
    """

    name: str
    summary: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    paper: str
    measure: Callable[[Measured], Ratio | Resampled | None]
    asked: bool = False
    seconds: Callable[[Measured], float] | None = None


METRICS: Registry[Metric] = Registry("vocab.compare", "metric")
