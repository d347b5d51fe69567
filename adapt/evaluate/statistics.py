"""How sure a score is: intervals over seeds and test sentences, paired comparisons, a verdict in three words.

A score is a function of sums over test items (sentences, held-out lines): correct tags and tags, true positives and
spans, bits and characters. So each system is kept as an array of shape (seeds, items, k) of what each item adds, a
bootstrap is one matrix product, and 2,000 resamples of 5,000 sentences take a fraction of a second.

Source: Efron & Tibshirani 1993, ch. 13 (percentile intervals); Koehn 2004, "Statistical significance tests for machine
translation evaluation" (paired bootstrap); Berg-Kirkpatrick et al. 2012 on what such a test can say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Array = np.ndarray
Metric = Callable[[Array], Array]

AHEAD, BEHIND, SAME = "ahead", "behind", "not distinguishable"
RESAMPLES = 2000


@dataclass(frozen=True)
class Draws:
    """Scores of one system: as measured, and on every resampled test set.

    Attributes:
        point: shape (seeds,), the scores as measured.
        draws: shape (seeds, resamples); column r is the same resampled test set for every system.
    """

    point: Array
    draws: Array


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval, in the metric's unit."""

    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """System a against system b on the same test items.

    Attributes:
        difference: a - b, mean over seeds.
        low: lower end of the 95 % interval of the difference.
        high: upper end.
        p: two-sided bootstrap probability of a difference at least this clear, were there none.
        verdict: `ahead`, `behind` or `not distinguishable`, seen from a.
    """

    difference: float
    low: float
    high: float
    p: float
    verdict: str


@lru_cache(maxsize=2)
def _weights(items: int, resamples: int, seed: int) -> Array:
    """How often each item is in each resampled test set, float32 of shape (resamples, items)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, items, (resamples, items), dtype=np.int32)
    drawn += np.arange(resamples, dtype=np.int32)[:, None] * items
    return np.bincount(drawn.ravel(), minlength=resamples * items).reshape(resamples, items).astype(np.float32)


def bootstrap(parts: Array, metric: Metric, *, resamples: int = RESAMPLES, seed: int = 0) -> Draws:
    """Score one system on resampled test sets.

    Args:
        parts: shape (seeds, items, k), what each item adds to the sums the metric is made of.
        metric: sums of shape (..., k) to scores of shape (...).
        resamples: number of resampled test sets.
        seed: the same seed and number of items give the same test sets, which is what pairs two systems.

    Raises:
        ValueError: there is no item.
    """
    seeds, items, width = parts.shape
    if items == 0:
        raise ValueError("no test item to resample")
    if resamples * items < 2**31:
        weights = _weights(items, resamples, seed)
    else:
        weights = (
            np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), resamples).astype(np.float32)
        )
    flat = parts.transpose(1, 0, 2).reshape(items, seeds * width)
    # Counts are whole numbers below 2**24, exact in float32; bits are not, and float64 costs little there (one seed).
    whole = np.issubdtype(parts.dtype, np.integer) or bool(np.all(flat == np.rint(flat)))
    sums = weights @ flat.astype(np.float32) if whole else weights.astype(np.float64) @ flat
    sums = sums.reshape(resamples, seeds, width).transpose(1, 0, 2)
    return Draws(metric(parts.sum(axis=1, dtype=np.float64)), metric(sums.astype(np.float64)))


def _over_seeds(scores: Draws, rng: np.random.Generator) -> Array:
    """Means over resampled seeds on each resampled test set, shape (resamples,).

    Few seeds resampled plainly give a spread that is too small by (n - 1) / n; deviations are stretched to undo that.
    """
    seeds, resamples = scores.draws.shape
    mean = scores.draws.mean(axis=0)
    if seeds == 1:
        return mean
    picked = rng.integers(0, seeds, (seeds, resamples))
    return mean + (np.take_along_axis(scores.draws, picked, axis=0).mean(axis=0) - mean) * np.sqrt(seeds / (seeds - 1))


def interval(scores: Draws, *, seed: int = 0) -> Estimate:
    """Mean over seeds with a 95 % percentile interval.

    Each of the resamples draws test items with replacement and, independently, as many seeds as there are, with
    replacement; so the interval covers both another test set and another seed. With one seed it covers the test set
    alone.
    """
    values = _over_seeds(scores, np.random.default_rng([seed, 1]))
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(float(scores.point.mean()), float(low), float(high), len(scores.point))


def compare(a: Draws, b: Draws, *, better: str = "higher", seed: int = 0) -> Comparison:
    """Paired bootstrap: both systems on the same resampled test sets, seeds resampled for each on its own.

    Args:
        a: scores of the system the verdict is about.
        b: scores of the other, from `bootstrap` with the same items, resamples and seed.
        better: `higher` or `lower`.
        seed: seed of the draws of seeds.

    Raises:
        ValueError: the two were not resampled alike.
    """
    if a.draws.shape[1] != b.draws.shape[1]:
        raise ValueError(f"number of resamples {a.draws.shape[1]} does not match {b.draws.shape[1]}")
    gap = _over_seeds(a, np.random.default_rng([seed, 2])) - _over_seeds(b, np.random.default_rng([seed, 3]))
    low, high = (float(x) for x in np.percentile(gap, [2.5, 97.5]))
    p = min(1.0, 2 * min(float((gap <= 0).mean()), float((gap >= 0).mean())))
    return Comparison(float(a.point.mean() - b.point.mean()), low, high, p, verdict(low, high, better))


def verdict(low: float, high: float, better: str = "higher") -> str:
    """Read an interval of a difference: `ahead` or `behind` only where it leaves out zero."""
    if low > 0:
        return AHEAD if better == "higher" else BEHIND
    if high < 0:
        return BEHIND if better == "higher" else AHEAD
    return SAME


def ratio(sums: Array) -> Array:
    """First sum over the second (accuracy: correct over all; bits over characters); 0 where the second is 0."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0)


def span_f1(sums: Array) -> Array:
    """Micro F1 from (true positives, predicted spans, gold spans); 0 where there are no spans at all."""
    return ratio(np.stack([2 * sums[..., 0], sums[..., 1] + sums[..., 2]], axis=-1))


def _class_f1(sums: Array) -> tuple[Array, Array]:
    cells = sums.reshape(*sums.shape[:-1], -1, 3)
    return span_f1(cells), cells[..., 2]


def macro_f1(sums: Array) -> Array:
    """Mean of the classes' F1, from (true positives, predicted, gold) of each class in turn."""
    return _class_f1(sums)[0].mean(axis=-1)


def weighted_f1(sums: Array) -> Array:
    """Mean of the classes' F1 weighted by how often each class is in the test set."""
    f1, gold = _class_f1(sums)
    return (f1 * gold).sum(axis=-1) / np.maximum(gold.sum(axis=-1), 1)


def tag_parts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Array:
    """Count (correct, words) of each sentence, shape (sentences, 2)."""
    return np.array(
        [[sum(g == p for g, p in zip(a, b, strict=True)), len(a)] for a, b in zip(gold, predicted, strict=True)]
    )


def spans(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Spans (start, end, type) under strict IOB2: only B- opens one, and only I- of the same type goes on.

    This is what seqeval counts with `mode="strict", scheme=IOB2`; an I- that nothing opened counts as O.
    """
    found, start, kind = set(), -1, ""
    for i, tag in enumerate([*tags, "O"]):
        if start >= 0 and tag != f"I-{kind}":
            found.add((start, i, kind))
            start = -1
        if tag.startswith("B-"):
            start, kind = i, tag[2:]
    return found


def span_parts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Array:
    """Count (true positives, predicted spans, gold spans) of each sentence, shape (sentences, 3)."""
    rows = []
    for a, b in zip(gold, predicted, strict=True):
        g, p = spans(a), spans(b)
        rows.append([len(g & p), len(p), len(g)])
    return np.array(rows)


def class_parts(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> Array:
    """Mark (true positive, predicted, gold) of each item for each of `labels`, shape (items, 3 * labels)."""
    names = np.array(labels)
    g, p = np.array(gold)[:, None] == names, np.array(predicted)[:, None] == names
    return np.stack([g & p, p, g], axis=-1).reshape(len(gold), -1).astype(np.int64)
