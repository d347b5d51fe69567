"""Word alignment of parallel text, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.transplant.trans_tokenization import token_links, words_of
from vocab.transplant.translate import align_words, read_parallel
from vocab.view import Vocabulary


def test_token_links():
    # One old token for two new ones; two for one; three for two: thirds of the word under halves of it.
    assert token_links([7], [1, 2]) == [(1, 7, 1.0), (2, 7, 1.0)]
    assert token_links([7, 8], [1]) == [(1, 7, 0.5), (1, 8, 0.5)]
    found = {(new, old): weight for new, old, weight in token_links([7, 8, 9], [1, 2])}
    assert found == {
        (1, 7): pytest.approx(1 / 6 + 1 / 3), (1, 8): pytest.approx(1 / 6 + 1 / 6), (1, 9): pytest.approx(1 / 6),
        (2, 7): pytest.approx(1 / 6), (2, 8): pytest.approx(1 / 6 + 1 / 6), (2, 9): pytest.approx(1 / 6 + 1 / 3),
    }  # fmt: skip


def test_words_are_joined_from_tokens():
    view = Vocabulary.of(metaspace(["▁a", "b", "▁", ".", "▁ab"]))
    sentences, words = words_of(view, ["ab ab.", "b."])
    spelled = [[tuple(view.forms[i] for i in words[w]) for w in sentence] for sentence in sentences]
    assert spelled == [[("▁ab",), ("▁ab",), (".",)], [("▁",), ("b",), (".",)]]


def test_alignment_by_hand():
    """One round of Model 1 on two sentences: every link of a sentence is as likely as the others."""
    source, target = [np.array([0, 1]), np.array([0])], [np.array([0, 1]), np.array([0])]
    left, right, counts = align_words(source, target, rounds=1, tension=0)
    found = {(int(s), int(t)): c for s, t, c in zip(left, right, counts, strict=True)}
    # A target word comes from none with .08, else from each of m words with .92 / m, all words as likely.
    half, whole = 0.46, 0.92
    assert found == {
        (0, 0): pytest.approx(half + whole), (0, 1): pytest.approx(half),
        (1, 0): pytest.approx(half), (1, 1): pytest.approx(half),
    }  # fmt: skip
    # A second round: t(0|0) = 1.38 / 1.84 = .75, t(1|0) = .25, t(.|1) = .5; none: (.16, .08) / .24.
    _, _, counts = align_words(source, target, rounds=2, tension=0)
    first = 0.46 * np.array([0.75, 0.5]) / (0.46 * 1.25 + 0.08 * 2 / 3)
    second = 0.46 * np.array([0.25, 0.5]) / (0.46 * 0.75 + 0.08 / 3)
    alone = 0.92 * 0.75 / (0.92 * 0.75 + 0.08 * 2 / 3)
    assert counts == pytest.approx([first[0] + alone, second[0], first[1], second[1]])


def test_alignment_finds_translations():
    draw = np.random.default_rng(0)
    source = [draw.choice(12, 5, replace=False) for _ in range(200)]
    target = [11 - s[::-1] for s in source]  # word for word, in the other order
    left, right, counts = align_words(source, target, rounds=7, tension=0)
    best = {int(s): int(right[left == s][counts[left == s].argmax()]) for s in range(12)}
    assert best == {s: 11 - s for s in range(12)}


def test_alignment_prefers_like_places():
    source, target = [np.array([0, 1])], [np.array([0, 1])]
    _, _, counts = align_words(source, target, rounds=7, tension=4)
    assert counts[0] > 0.8 > counts[1], "nothing but the place tells these words apart"


def test_parallel_text(tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("one\n\nthree\n", encoding="utf-8")
    b.write_text("daya\nbiyu\nuku\n", encoding="utf-8")
    assert read_parallel((a, b)) == [("one", "daya"), ("three", "uku")]
    assert read_parallel([("one", "daya"), ("two", " ")]) == [("one", "daya")]
    b.write_text("daya\nbiyu\nuku\nhudu\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"b.txt:4: parallel texts have not as many lines: .*a.txt ends first"):
        read_parallel((a, b))
    with pytest.raises(InputError, match=r"the parallel text is empty"):
        read_parallel(([" "], ["daya"]))
    with pytest.raises(InputError, match=r"this is no parallel text; found .*a.txt"):
        read_parallel(a)
    with pytest.raises(InputError, match="no such text file"):
        read_parallel((a, tmp_path / "none.txt"))
