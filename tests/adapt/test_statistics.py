"""Intervals, paired comparisons and the counts they are made of, against hand-worked numbers and the libraries."""

import time

import numpy as np
import pytest
from sklearn.metrics import f1_score

from adapt.evaluate import metrics
from adapt.evaluate import statistics as s

GOLD = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG", "I-ORG"], ["O", "O"]]
FOUND = [["B-PER", "I-PER", "O", "O"], ["O", "B-ORG", "O"], ["B-LOC", "O"]]


def test_spans_are_those_of_strict_iob2():
    assert s.spans(["B-PER", "I-PER", "I-LOC", "B-LOC", "B-LOC"]) == {(0, 2, "PER"), (3, 4, "LOC"), (4, 5, "LOC")}
    assert s.spans(["I-PER", "O", "I-PER"]) == set()
    assert s.spans([]) == set()


def test_span_f1_by_hand():
    parts = s.span_parts(GOLD, FOUND)
    assert parts.tolist() == [[1, 1, 2], [0, 1, 1], [0, 1, 0]]
    # 1 right of 3 predicted and 3 gold: precision = recall = F1 = 1/3
    assert s.span_f1(parts.sum(0)) == pytest.approx(1 / 3)
    assert s.span_f1(np.array([0, 0, 0])) == 0


def test_spans_agree_with_seqeval_on_random_tags():
    rng = np.random.default_rng(0)
    tags = np.array(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
    for _ in range(20):
        gold = [tags[rng.integers(0, 5, n)].tolist() for n in rng.integers(1, 9, 12)]
        found = [tags[rng.integers(0, 5, len(row))].tolist() for row in gold]
        assert s.span_f1(s.span_parts(gold, found).sum(0)) == pytest.approx(
            metrics.compute("spans", found, gold)["span_f1"]
        )


def test_metrics_by_hand():
    assert metrics.compute("spans", FOUND, GOLD)["span_f1"] == pytest.approx(1 / 3)
    assert metrics.compute("spans", [["O"]], [["O"]])["span_f1"] == 0
    assert metrics.compute("tags", [["A", "B"], ["A"]], [["A", "A"], ["A"]])["accuracy"] == pytest.approx(2 / 3)
    found = metrics.compute("classes", ["p", "p", "n", "n"], ["p", "n", "n", "n"])
    # p: precision 1/2, recall 1, F1 2/3; n: precision 1, recall 2/3, F1 4/5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["weighted_f1"] == pytest.approx((2 / 3 + 3 * 4 / 5) / 4)
    assert found["accuracy"] == pytest.approx(3 / 4)


def test_class_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    labels = ["a", "b", "c"]
    gold, found = (np.array(labels)[rng.integers(0, 3, 200)] for _ in range(2))
    sums = s.class_parts(gold.tolist(), found.tolist(), labels).sum(0)
    assert s.macro_f1(sums) == pytest.approx(f1_score(gold, found, average="macro"))
    assert s.weighted_f1(sums) == pytest.approx(f1_score(gold, found, average="weighted"))


def test_interval_of_a_share_is_about_the_normal_one():
    rng = np.random.default_rng(2)
    right = (rng.random(400) < 0.7).astype(int)
    found = s.interval(s.bootstrap(np.stack([right, np.ones(400, int)], 1)[None], s.ratio))
    half = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert found.mean == pytest.approx(right.mean())
    assert found.low == pytest.approx(right.mean() - half, abs=0.01)
    assert found.high == pytest.approx(right.mean() + half, abs=0.01)
    assert found.seeds == 1


def test_seeds_widen_the_interval_by_their_spread():
    """Seeds that differ on every item alike: the spread of their mean is s / sqrt(n), as worked out by hand."""
    rates = np.array([0.60, 0.70, 0.80])
    parts = np.stack([np.stack([np.full(5000, rate), np.ones(5000)], 1) for rate in rates])
    values = s._over_seeds(s.bootstrap(parts, s.ratio), np.random.default_rng(0))
    assert values.std() == pytest.approx(rates.std(ddof=1) / np.sqrt(3), rel=0.05)


def test_verdicts():
    rng = np.random.default_rng(3)
    ones = np.ones(600, int)
    weak = (rng.random(600) < 0.6).astype(int)
    strong = np.maximum(weak, (rng.random(600) < 0.4).astype(int))
    a, b = (s.bootstrap(np.stack([x, ones], 1)[None], s.ratio) for x in (strong, weak))
    assert s.compare(a, b).verdict == s.AHEAD
    assert s.compare(b, a).verdict == s.BEHIND
    assert s.compare(a, b, better="lower").verdict == s.BEHIND
    same = s.compare(a, a)
    assert same.verdict == s.SAME
    assert same.difference == 0
    assert same.p == 1
    one_more = weak.copy()
    one_more[np.flatnonzero(weak == 0)[0]] = 1
    c = s.bootstrap(np.stack([one_more, ones], 1)[None], s.ratio)
    assert s.compare(c, b).verdict == s.SAME  # one sentence of 600 is noise


def test_pairing_sees_what_two_intervals_hide():
    """Twelve items better, all else equal: the intervals overlap, that of the paired difference leaves out 0."""
    rng = np.random.default_rng(4)
    weak = (rng.random(500) < 0.5).astype(int)
    better = weak.copy()
    better[np.flatnonzero(weak == 0)[:12]] = 1
    a, b = (s.bootstrap(np.stack([x, np.ones(500, int)], 1)[None], s.ratio) for x in (better, weak))
    assert s.interval(a).low < s.interval(b).high
    assert s.compare(a, b).verdict == s.AHEAD


def test_same_seed_same_numbers_and_unequal_resamples_are_refused():
    parts = np.random.default_rng(5).integers(0, 3, (2, 50, 2))
    assert np.array_equal(s.bootstrap(parts, s.ratio).draws, s.bootstrap(parts, s.ratio).draws)
    with pytest.raises(ValueError, match="2000 does not match 10"):
        s.compare(s.bootstrap(parts, s.ratio), s.bootstrap(parts, s.ratio, resamples=10))
    with pytest.raises(ValueError, match="no test item"):
        s.bootstrap(np.zeros((1, 0, 2)), s.ratio)


def test_a_task_takes_less_than_a_second():
    parts = np.random.default_rng(6).integers(0, 3, (3, 2000, 9))
    start = time.process_time()
    first, second = s.bootstrap(parts, s.macro_f1), s.bootstrap(parts[:, ::-1], s.macro_f1)
    s.compare(first, second)
    assert time.process_time() - start < 2  # two systems and their comparison
