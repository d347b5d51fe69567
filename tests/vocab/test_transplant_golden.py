"""The methods beyond the first five, worked out by hand on six tokens (see test_transplant_methods)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from tests.vocab.six_tokens import BC, CD, E_, UNK, B, D, E, six_tokens
from vocab.transplant.dictionary import pairs_of
from vocab.transplant.method import METHODS, Problem
from vocab.transplant.multivariate import covariance
from vocab.transplant.nearest import softmax_of_nearest
from vocab.transplant.reinit import script_of
from vocab.vectors.align import align, procrustes
from vocab.view import Vocabulary


@pytest.fixture
def six() -> Problem:
    return six_tokens(
        [[0, 0], [0, 3], [2, 0], [0, 0], [0, 1], [0, 5]], [[0, 0], [1, 0], [0, 1], [1, 1], [0, 0], [0, 0]]
    )


def rows_of(problem: Problem, method: str, **options):
    return METHODS[method].rows(problem, METHODS[method].options(**options))


def test_covariance():
    mean, spread = covariance(E, np.arange(6))
    assert mean == pytest.approx([2, 7 / 3])
    # Squares: 50 - 6 * 4 = 26 and 84 - 6 * 49 / 9 = 154 / 3; products: 60 - 6 * 2 * 7 / 3 = 32; divided by 5.
    assert spread == pytest.approx(np.array([[5.2, 6.4], [6.4, 154 / 15]]))


def test_multivariate(six):
    target = Vocabulary.of(metaspace(["<unk>", *(f"▁x{n}" for n in range(4000))], ["<unk>"]))
    rows = rows_of(replace(six, target=target), "multivariate").apply(E).astype(np.float64)
    assert rows.mean(axis=0) == pytest.approx([2, 7 / 3], abs=1e-3)
    assert np.cov(rows.T) * 1e5 == pytest.approx(np.array([[5.2, 6.4], [6.4, 154 / 15]]), rel=0.1)


def test_wechsel(six):
    mixture = rows_of(six, "wechsel")
    # ▁bc: cosines 1 to ▁a, 0 to ▁b, .7071 to c; softmax of ten times these.
    power = np.exp(10 * (np.array([1, 0, np.sqrt(0.5)]) - 1))
    assert mixture.apply(E)[BC] == pytest.approx(power @ E[[1, 2, 3]] / power.sum(), rel=1e-5)
    # Shared tokens are made anew: ▁b is mostly, not only, the old ▁b.
    assert mixture.explain("▁b")[0] == ("▁b", pytest.approx(1 / (1 + np.exp(-10) + np.exp(10 * (np.sqrt(0.5) - 1)))))
    assert not mixture.filled[[UNK, E_]].any()
    # Two nearest only: 1 and .7071.
    pair = np.exp(10 * (np.sqrt(0.5) - 1))
    found = rows_of(six, "wechsel", neighbours=2).explain("▁bc")
    assert found == [("▁a", pytest.approx(1 / (1 + pair))), ("c", pytest.approx(pair / (1 + pair)))]


def test_nearest_takes_the_first_of_equals():
    source = np.array([[0, 1], [1, 0], [1, 0], [1, 0]], np.float32)
    for _ in range(3):
        _, weights, best = softmax_of_nearest(np.array([[2, 0]]), source, (1, 4), np.array([0]), 2, 0.1)
        assert weights.indices.tolist() == [1, 2] and weights.data.tolist() == [0.5, 0.5] and best.tolist() == [1]


def test_nearest_wants_one_space():
    with pytest.raises(InputError, match="one space; found 2 and 3 dimensions"):
        softmax_of_nearest(np.ones((1, 2)), np.ones((4, 3)), (1, 4), np.array([0]), 2, 0.1)


def test_procrustes_undoes_a_rotation():
    draw = np.random.default_rng(0)
    source = draw.standard_normal((20, 4))
    rotation = np.linalg.qr(draw.standard_normal((4, 4)))[0]
    assert procrustes(source, source @ rotation) == pytest.approx(rotation)


def test_wechsel_aligns_by_a_dictionary(six):
    # The source's space is the target's turned by a quarter: (x, y) -> (-y, x).
    turned = six.source_vectors @ np.array([[0, 1], [-1, 0]], np.float32)
    pairs = [("a", "bc"), ("B", "b"), ("none", "such")]
    made = rows_of(replace(six, source_vectors=turned, extra={"dictionary": pairs}), "wechsel")
    assert made.apply(E) == pytest.approx(rows_of(six, "wechsel").apply(E), rel=1e-4)
    assert six.notes == ["vectors aligned by 2 dictionary pairs"]
    with pytest.raises(InputError, match="no pair of the dictionary"):
        align(turned, six.vectors, six.source, six.target, [("none", "such")])


def test_ofa(six):
    mixture = rows_of(six, "ofa")
    assert mixture.apply(E)[[B, D]].tolist() == [[6, 8], [0, 2]]
    power = np.exp(10 * (np.array([1, 0, np.sqrt(0.5)]) - 1))
    assert mixture.apply(E)[BC] == pytest.approx(power @ E[[1, 2, 3]] / power.sum(), rel=1e-5)
    assert not mixture.filled[E_]


def test_dictionary(six):
    six.extra = {"dictionary": [("a", "bc"), ("bc", "e"), ("xyz", "b"), ("a", "b")]}
    mixture = rows_of(six, "dictionary")
    rows = mixture.apply(E)
    assert rows[BC].tolist() == [3, 4]  # a is a source token
    assert rows[E_] == pytest.approx([3.5, 4])  # bc is not: its pieces are ▁b and c
    assert rows[B].tolist() == [3, 4]  # a translation that is a token comes before the identical string
    assert rows[D].tolist() == [0, 2]  # no translation: the identical string
    assert not mixture.filled[CD]


def test_dictionary_files(tmp_path):
    file = tmp_path / "d.tsv"
    file.write_text("\ufeffhouse\tgida\t0.9\n\nwater\truwa\n", encoding="utf-8")
    assert pairs_of(file) == [("house", "gida"), ("water", "ruwa")]
    file.write_text("house\tgida\nwater\t\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"d.tsv:2: a dictionary pair needs two sides"):
        pairs_of(file)
    with pytest.raises(InputError, match="no such dictionary"):
        pairs_of(tmp_path / "none.tsv")


def test_reinit(six):
    mixture = rows_of(six, "reinit")
    rows = mixture.apply(E)
    assert rows[[B, D]].tolist() == [[6, 8], [0, 2]]
    # Word-initial Latin tokens are ▁a (3, 4) and ▁b (6, 8): mean (4.5, 6), deviations 3 / sqrt 2 and 4 / sqrt 2.
    draw = np.random.default_rng([3, 0]).standard_normal((3, 2))
    assert rows[[BC, E_, CD]] == pytest.approx(np.array([4.5, 6]) + draw * np.array([3, 4]) / np.sqrt(2), rel=1e-5)
    # Without regard to the place: c and d count too, means 2.5 and 3.5.
    anywhere = rows_of(six, "reinit", position=False).apply(E)
    spread = np.std([[3, 4], [6, 8], [1, 0], [0, 2]], axis=0, ddof=1)
    assert anywhere[[BC, E_, CD]] == pytest.approx(np.array([2.5, 3.5]) + draw * spread, rel=1e-5)


def test_scripts():
    assert [script_of(t) for t in ("▁gida", "мир", "▁ሰላም", "7,", "aбв")] == [
        "LATIN", "CYRILLIC", "ETHIOPIC", "none", "CYRILLIC",
    ]  # fmt: skip


def test_align():
    source = Vocabulary.of(metaspace(["<unk>", "▁a", "▁bc", "c", "d", "▁"], ["<unk>"]))
    target = Vocabulary.of(metaspace(["<unk>", "▁a", "▁b", "cd", "▁xx", "d"], ["<unk>"]))
    problem = Problem(source, target, {"input": E}, extra={"texts": ["bcd bcd", "acd"]})
    mixture = rows_of(problem, "align")
    # cd lies over ▁bc (a part of it) and d, twice, and once over c and d.
    bcd, cd = (E[2] + E[4]) / 2, (E[3] + E[4]) / 2
    assert mixture.apply(E)[3] == pytest.approx((2 * bcd + cd) / 3)
    # ▁b lies over ▁bc; ▁xx was never seen.
    assert mixture.apply(E)[2].tolist() == [6, 8]
    assert mixture.filled.tolist() == [False, True, True, True, False, True]


def test_merge():
    parts = {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "bb": 5}
    merges = [("a", "b"), ("ab", "c"), ("b", "b")]
    target = Vocabulary.of(Tokenizer(models.BPE(parts, merges)))
    source = Vocabulary.of(Tokenizer(models.BPE({"c": 0, "x": 1, "a": 2, "b": 3, "y": 4, "bb": 5}, [("b", "b")])))
    mixture = rows_of(Problem(source, target, {}), "merge")
    # abc = mean(mean(a, b), c).
    assert mixture.explain("abc") == [("c", 0.5), ("a", 0.25), ("b", 0.25)]
    assert mixture.explain("ab") == [("a", 0.5), ("b", 0.5)]
    assert mixture.explain("bb") == [("bb", 1.0)], "a token that the source has is its row"


def test_merge_without_merges_fills_the_overlap_only(six):
    assert rows_of(six, "merge").filled.tolist() == [False, True, False, False, True, False]


def test_kriging(six):
    six.vectors = np.array([[0, 0], [2, 0], [4, 3], [0, 0], [0, 1], [0, 5]], np.float32)
    mixture = rows_of(six, "kriging", restore_norm=False)
    rows = mixture.apply(E)
    # Anchors ▁b and d, whose vectors are square: K + 1 = 2 on the diagonal. ▁bc has cosines .8 and .6, so weights .4
    # and .3 on the differences (3, 3) and (-3, -3) from the anchors' mean (3, 5).
    assert rows[BC] == pytest.approx([3.3, 5.3])
    assert rows[CD] == pytest.approx([1.5, 3.5])
    assert rows[[B, D]].tolist() == [[6, 8], [0, 2]]
    # 1 - variance = .4 * .8 + .3 * .6 and .5 * 1.
    assert mixture.evidence[[BC, CD]] == pytest.approx([0.5, 0.5])
    assert mixture.explain("▁bc") == [("▁b", pytest.approx(0.4)), ("d", pytest.approx(0.3))]
    assert not mixture.filled[E_]
    assert np.linalg.norm(rows_of(six, "kriging").apply(E)[[BC, CD]], axis=1) == pytest.approx([6, 6])
