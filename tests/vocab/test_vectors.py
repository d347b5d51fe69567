"""Evidence about tokens, worked out by hand where it can be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.vectors import cache, counts
from vocab.vectors.characters import character_vectors
from vocab.vectors.counts import count_pairs, encode, ppmi, randomised_svd
from vocab.vectors.evidence import Evidence
from vocab.view import Vocabulary

TOKENIZER = metaspace(["▁a", "▁b", "▁c", "▁ab", "▁abc", "▁xbc"])
A, B, C, AB, ABC, XBC = range(5, 11)
LINES = ["a b c", "a b", "b"]


def test_encode():
    ids, starts = encode(Vocabulary.of(TOKENIZER), [*LINES, "", "a <mask> q"])
    assert ids.tolist() == [A, B, C, A, B, B, A, *ids[7:].tolist()]
    assert 4 not in ids and 3 not in ids, "specials and the unknown token are no evidence"
    assert starts[:4].tolist() == [0, 3, 5, 6]


def test_pairs_by_hand():
    ids, starts = encode(Vocabulary.of(TOKENIZER), LINES)
    found = count_pairs(ids, starts, len(TOKENIZER), np.array([A, B])).toarray()
    expected = np.zeros((len(TOKENIZER), 4))
    # To the left of b stands a, twice at distance 1; of c, b at distance 1 and a at distance 2 (weight 4/5).
    expected[B, 0], expected[C, 1], expected[C, 0] = 2, 1, 0.8
    # To the right of a stands b, twice; c is no context. No pair crosses a line.
    expected[A, 3] = 2
    assert found == pytest.approx(expected)


def test_distance_is_weighed_and_ends_at_five():
    ids, starts = np.array([7, 0, 1, 2, 3, 4, 5], np.int32), np.array([0, 7])
    found = count_pairs(ids, starts, 8, np.array([7])).toarray()
    assert found[:, 0] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0])
    assert not found[:, 1].any()


def test_pairs_in_parts_are_the_pairs_of_the_whole(monkeypatch):
    draw = np.random.default_rng(0)
    ids, starts = draw.integers(0, 20, 500).astype(np.int32), np.unique([0, *draw.integers(0, 500, 60), 500])
    whole = count_pairs(ids, starts, 20, np.arange(10)).toarray()
    monkeypatch.setattr(counts, "_POSITIONS", 40)
    assert count_pairs(ids, starts, 20, np.arange(10)).toarray() == pytest.approx(whole)


def test_ppmi_by_hand():
    # Rows 3 and 1, columns 3 and 1; smoothed column shares s = 3 ** .75 / (3 ** .75 + 1) = .695 and .305.
    found = ppmi(csr_matrix(np.array([[3, 0], [0, 1]], np.float32))).toarray()
    share = 3**0.75 / (3**0.75 + 1)
    assert found == pytest.approx(np.array([[np.log(1 / share), 0], [0, np.log(1 / (1 - share))]]))
    # 2 / (3 * .5) = 1.33 stays, 1 / (3 * .5) = .67 is negative and goes.
    assert ppmi(csr_matrix(np.array([[2, 1], [1, 2]], np.float32))).toarray() == pytest.approx(
        np.diag([np.log(4 / 3)] * 2)
    )


def test_randomised_svd_is_the_svd_of_a_low_rank_matrix():
    draw = np.random.default_rng(0)
    matrix = draw.standard_normal((60, 7)) @ draw.standard_normal((7, 40))
    made = randomised_svd(csr_matrix(matrix.astype(np.float32)), rank=7)
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    expected = u[:, :7] * np.sqrt(s[:7])
    assert made @ made.T == pytest.approx(expected @ expected.T, abs=1e-2)
    assert made.shape == (60, 7)


def test_randomised_svd_of_nothing():
    assert randomised_svd(csr_matrix((5, 4), dtype=np.float32)).shape == (5, 0)


def test_characters_by_hand():
    made = character_vectors(Vocabulary.of(metaspace(["▁ab", "▁ac", "b"]))).toarray()
    # Strings <▁ab>, <▁ac>, <b>. Shared by two: "<▁", "▁a", "<▁a" (first two), "b>" (first and last); V = 3, so all
    # weigh log(3 / 2), and rows have 4, 3 and 1 of them.
    assert made.shape == (8, 4)
    assert not made[:5].any(), "specials have no spelling"
    assert np.sort(made[5]) == pytest.approx([0.5] * 4)
    assert made[5] @ made[6] == pytest.approx(3 * 0.5 / np.sqrt(3))
    assert made[5] @ made[7] == pytest.approx(0.5)
    assert made[6] @ made[7] == 0


def test_characters_see_the_word_mark():
    made = character_vectors(Vocabulary.of(metaspace(["▁bac", "bac", "▁bad", "x"])))
    similar = (made @ made.T).toarray()
    assert similar[5, 7] > similar[6, 7]


def test_similarity_is_the_sum_of_the_cosines():
    draw = np.random.default_rng(0)
    dense = draw.standard_normal((9, 4))
    sparse = random_array((9, 6), density=0.5, rng=draw).tocsr()
    length = np.sqrt(np.asarray(sparse.multiply(sparse).sum(axis=1)).ravel())
    sparse = csr_matrix(sparse.multiply(1 / np.maximum(length, 1e-9)[:, None]), dtype=np.float32)
    evidence = Evidence(Evidence.of(dense, 9).dense, sparse)
    near = evidence.against(np.array([1, 5, 7]))
    for rows in (np.array([0, 2]), np.array([3, 4, 8]), np.array([6])):
        cosine = (dense[rows] @ dense[[1, 5, 7]].T) / np.outer(
            np.linalg.norm(dense[rows], axis=1), np.linalg.norm(dense[[1, 5, 7]], axis=1)
        )
        assert near(rows) == pytest.approx(cosine + (sparse[rows] @ sparse[[1, 5, 7]].T).toarray(), abs=1e-5)
    assert np.asarray(evidence).shape == evidence.shape == (9, 10)


def test_similarity_where_some_tokens_have_no_dense_vector():
    draw = np.random.default_rng(1)
    dense = draw.standard_normal((80, 4)).astype(np.float32)
    dense[draw.random(80) < 0.5] = 0
    columns = random_array((80, 30), density=0.03, rng=draw, dtype=np.float32).toarray()
    columns[:, 3] = 1  # that all have, others few
    sparse = csr_matrix(columns)
    evidence = Evidence(dense, sparse)
    everything = dense @ dense.T + (sparse @ sparse.T).toarray()
    for ids in (np.arange(80), np.flatnonzero(dense.any(axis=1)), np.flatnonzero(~dense.any(axis=1))):
        order = evidence.seen_first(ids)
        assert np.array_equal(np.sort(order), np.arange(len(ids)))
        assert np.all(np.diff(dense[ids[order]].any(axis=1).astype(int)) <= 0)
        for anchors in (ids, ids[order]):
            near = evidence.against(anchors)
            for rows in (np.arange(80), np.arange(80)[evidence.seen_first(np.arange(80))]):
                assert near(rows) == pytest.approx(everything[np.ix_(rows, anchors)], abs=1e-5)


@pytest.mark.parametrize("kind", ["counts+characters", "counts", "characters", "fasttext", "skipgram"])
def test_every_kind(kind, tmp_path):
    options = {"min_count": 1, "dim": 8, "buckets": 1000} if kind in ("fasttext", "skipgram") else {}
    found = vocab.token_vectors(TOKENIZER, LINES * 5, kind, cache=tmp_path, **options)
    assert found.shape[0] == len(TOKENIZER) and found.kind == kind
    assert found.frequency[[A, B, C, AB]].tolist() == [10, 15, 5, 0]
    seen = [A, B, C] if kind in ("counts", "fasttext", "skipgram") else [A, B, C, AB, ABC, XBC]
    assert np.flatnonzero(found.known).tolist() == seen
    again = vocab.token_vectors(TOKENIZER, LINES * 5, kind, cache=tmp_path, **options)
    assert np.array_equal(np.asarray(found), np.asarray(again))


def test_vectors_by_another_tokenizer():
    """a and ab are tokens of the language's tokenizer; its ▁abcd is none of the extended one."""
    language = metaspace(["▁ab", "▁abcd", "▁a"])
    lines = ["a ab", "ab a ab abcd"]
    own = vocab.token_vectors(language, lines)
    found = vocab.token_vectors(TOKENIZER, lines, via=language)
    assert np.flatnonzero(found.known).tolist() == [A, AB]
    assert np.array_equal(found.dense[[AB, A]], own.dense[[5, 7]])
    assert np.array_equal(found.sparse[[AB, A]].toarray(), own.sparse[[5, 7]].toarray())
    assert found.frequency[[A, B, AB]].tolist() == [2, 0, 3]


def test_fasttext_s_two_models():
    """Both are trained on the same lines from the same seed: what differs is the model."""
    lines = ["a b c ab", "b abc a", "c b a xbc"] * 200
    options = {"min_count": 1, "dim": 8, "buckets": 1000, "cache": False}
    one, two = (vocab.token_vectors(TOKENIZER, lines, kind, **options).dense for kind in ("fasttext", "skipgram"))
    assert (one.any(axis=1) == two.any(axis=1)).all() and not np.allclose(one, two, atol=0.01)
    assert np.allclose(np.linalg.norm(two[two.any(axis=1)], axis=1), 1)


def test_fasttext_leaves_rare_tokens_without_a_vector():
    found = vocab.token_vectors(TOKENIZER, LINES * 5, "fasttext", cache=False, buckets=1000)
    assert np.flatnonzero(found.known).tolist() == [A, B], "c is seen five times, less than minCount 10"
    none = vocab.token_vectors(TOKENIZER, LINES, "fasttext", cache=False)
    assert not none.known.any()


def test_vectors_are_kept_by_content(tmp_path, monkeypatch):
    made = []
    original = counts.count_vectors
    monkeypatch.setattr(counts, "count_vectors", lambda *a, **k: made.append(1) or original(*a, **k))

    def ask(lines, tokenizer=TOKENIZER, **options):
        return vocab.token_vectors(tokenizer, lines, "counts", cache=tmp_path, **options)

    first = ask(LINES)
    (tmp_path / "text.txt").write_text("\n".join(LINES), encoding="utf-8")
    assert np.array_equal(ask(tmp_path / "text.txt").dense, first.dense)
    assert len(made) == 1, "the same text from another place is the same text"
    for lines, options in ((LINES[:2], {}), (["a b c a b", "b"], {}), (LINES, {"seed": 1}), (LINES, {"rank": 2})):
        ask(lines, **options)
    ask(LINES, metaspace(["▁a", "▁b", "▁c", "▁ab", "▁abc", "▁xbd"]))
    assert len(made) == 6
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:40])
    assert np.array_equal(ask(LINES).dense, first.dense)
    assert len(made) == 7, "a damaged file is made anew"


def test_a_store_that_cannot_be_written_is_no_reason_to_stop(tmp_path):
    (tmp_path / "file").write_text("")
    cache.keep(tmp_path / "file" / "x", "name", np.zeros((2, 2)))
    assert cache.find(tmp_path / "file" / "x", "name") is None


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="unknown kind of token vectors 'glove'"):
        vocab.token_vectors(TOKENIZER, LINES, "glove")
    with pytest.raises(InputError, match="counts vectors need text"):
        vocab.token_vectors(TOKENIZER, None, "counts")
    (tmp_path / "latin.txt").write_bytes(b"a b\nb \xe9 c\n")
    with pytest.raises(InputError, match=r"latin.txt:2: .*not UTF-8.*0xe9"):
        vocab.token_vectors(TOKENIZER, tmp_path / "latin.txt")
    assert vocab.token_vectors(TOKENIZER, kind="characters").frequency is None
