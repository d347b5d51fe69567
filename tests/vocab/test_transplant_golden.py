"""The methods beyond the first five, worked out by hand on six tokens (see test_transplant_methods)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from tests.vocab.six_tokens import BC, CD, E_, UNK, B, D, E, six_tokens
from vocab.transplant import chain
from vocab.transplant.dictionary import pairs_of
from vocab.transplant.helper import helper_rows
from vocab.transplant.method import METHODS, Problem
from vocab.transplant.multivariate import covariance
from vocab.transplant.nearest import softmax_of_nearest
from vocab.transplant.omp import pursue
from vocab.transplant.reinit import script_of
from vocab.vectors.align import procrustes, rotation
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
    # Specials are no neighbours, whatever vector they are given: <unk> would be as near as ▁a.
    given = np.array(six.source_vectors)
    given[UNK] = given[1]
    assert rows_of(replace(six, source_vectors=given), "wechsel").explain("▁bc") == mixture.explain("▁bc")
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
    with pytest.raises(InputError, match="no pair of words has vectors on both sides; found 1 pairs"):
        rows_of(replace(six, source_vectors=turned, extra={"dictionary": [("none", "such")]}), "wechsel")


def test_wechsel_aligns_by_identical_strings(six):
    # ▁b and ▁ (an empty string, no word) stand on both sides; one pair turns (1, 0) to ▁b's (0, 1).
    six.source_vectors = np.array([[0, 0], [0, -2], [3, 0], [1, 1], [0, 0], [0, 0]], np.float32)
    mixture = rows_of(replace(six, source_vectors=six.source_vectors), "wechsel", identical=True)
    assert six.notes == ["vectors aligned by 1 identical strings"]
    # After a quarter turn (or a reflection, which one pair cannot tell) ▁b is nearest to ▁b, whatever else is.
    assert mixture.explain("▁b")[0][0] == "▁b"
    assert mixture.evidence[B] == pytest.approx(1)


def test_a_pair_counts_once_for_each_casing():
    vectors = {"One": np.array([1.0, 0]), "one": np.array([0, 1.0]), "two": np.array([1.0, 0])}
    # "one" is found as itself and in small letters, "One" as a title; "two" twice, as "Two" it has no vector: 3 x 2
    # correspondences: (0, 1) -> (1, 0) four times and (1, 0) -> (1, 0) twice. The rotation that fits most is the first.
    turn, used = rotation([("one", "two")], vectors.get, vectors.get)
    assert used == 1
    assert vectors["one"] @ turn == pytest.approx([4 / np.sqrt(20), 0], abs=1) and turn @ turn.T == pytest.approx(
        np.eye(2)
    )
    expected = procrustes(np.array([[0, 1]] * 4 + [[1, 0]] * 2), np.array([[1, 0]] * 6))
    assert turn == pytest.approx(expected)
    alone, _ = rotation([("one", "two")], vectors.get, vectors.get, casings=False)
    assert vectors["one"] @ alone == pytest.approx([1, 0])


def test_ofa(six):
    mixture = rows_of(six, "ofa")
    assert mixture.apply(E)[[B, D]].tolist() == [[6, 8], [0, 2]]
    power = np.exp(10 * (np.array([1, 0, np.sqrt(0.5)]) - 1))
    assert mixture.apply(E)[BC] == pytest.approx(power @ E[[1, 2, 3]] / power.sum(), rel=1e-5)
    assert not mixture.filled[E_]


def test_a_rank_holds_for_all_rows_whoever_fills_them(six):
    links = chain.parse("subwords -> mean -> ofa")
    whole, flat = (
        chain.run(six, links, chain.options_of(links, {"ofa": {"rank": r}}, default=False)) for r in (None, 1)
    )
    assert "ofa" not in flat.methods(), "nothing is left to it"
    assert [np.linalg.matrix_rank(made.apply(E), tol=1e-4) for made in (whole, flat)] == [2, 1]


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
    file.write_bytes(b"house\tgida\nh\xe9ros\tjarumi\n")
    with pytest.raises(InputError, match=r"d.tsv:2: .*not UTF-8.*0xe9"):
        pairs_of(file)
    file.write_text("\n")
    with pytest.raises(InputError, match=r"d.tsv: the dictionary is empty"):
        pairs_of(file)
    with pytest.raises(InputError, match="no such dictionary"):
        pairs_of(tmp_path / "none.tsv")
    assert pairs_of({"house": "gida"}) == [("house", "gida")]
    for given, message in ((5, "this is no dictionary; found int"), (["ab"], r"two sides; found \('ab',\)")):
        with pytest.raises(InputError, match=message):
            pairs_of(given)


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


def test_align_reads_whole_lines():
    """Whatever was asked of the tokenizer since it was first looked at."""
    source, target = metaspace(["<unk>", "▁a", "c", "d"], ["<unk>"]), metaspace(["<unk>", "▁a", "cd"], ["<unk>"])
    problem = Problem(Vocabulary.of(source), Vocabulary.of(target), {}, extra={"texts": ["a a acd"]})
    target("a a", truncation=True, max_length=2)
    assert rows_of(problem, "align").explain("cd") == [("c", 0.5), ("d", 0.5)]


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
    assert "no merges to undo" in six.notes[0]


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


def test_clp(six):
    six.extra = {"helper": np.array([[0, 0], [2, 0], [4, 3], [0, 0], [0, 1], [-1, -1]], np.float32)}
    mixture = rows_of(six, "clp")
    # ▁bc has cosines .8 and .6 with ▁b and d: weights 4/7 and 3/7.
    assert mixture.apply(E)[BC] == pytest.approx(4 / 7 * E[2] + 3 / 7 * E[4])
    assert mixture.explain("▁bc") == [("▁b", pytest.approx(4 / 7)), ("d", pytest.approx(3 / 7))]
    assert mixture.evidence[BC] == pytest.approx(0.8)
    assert mixture.apply(E)[[B, D]].tolist() == [[6, 8], [0, 2]]
    # ▁e has no row there, and ▁cd no positive cosine: nothing to weigh.
    assert not mixture.filled[[E_, CD]].any()
    # As the authors' code does it, negative cosines count: ▁cd's are both -.7071, so a half each.
    kept = rows_of(six, "clp", clip=False)
    assert kept.apply(E)[CD] == pytest.approx((E[2] + E[4]) / 2)


def test_omp(six):
    space = np.array([[0, 0, 0], [2, 0, 0], [6, -4, 0], [0, 0, 0], [0, 1, 0], [0, 1, 1]], np.float32)
    six.extra = {"helper": space}
    mixture = rows_of(six, "omp")
    # ▁bc = 3 (2, 0, 0) - 4 (0, 1, 0): signed weights, any sum.
    assert mixture.explain("▁bc") == [("d", pytest.approx(-4)), ("▁b", pytest.approx(3))]
    assert mixture.apply(E)[BC] == pytest.approx([18, 16])
    # ▁cd can be explained by half: (0, 1, 0) of (0, 1, 1).
    assert mixture.explain("▁cd")[0] == ("d", pytest.approx(1))
    assert mixture.evidence[[BC, CD]] == pytest.approx([1, 0.5])
    assert mixture.apply(E)[[B, D]].tolist() == [[6, 8], [0, 2]] and not mixture.filled[E_]
    # With one atom the larger inner product wins: |6 * 2| against |-4|; its coefficient is 12 / 4.
    assert rows_of(six, "omp", k=1).explain("▁bc") == [("▁b", pytest.approx(3))]


def test_pursuit_is_least_squares_on_what_it_chose():
    draw = np.random.default_rng(0)
    atoms, targets = draw.standard_normal((30, 12)), draw.standard_normal((7, 12))
    indices, values, explained = pursue(targets, atoms, 5)
    for target, chosen, weights, share in zip(targets, indices, values, explained, strict=True):
        residual, picked = target, []
        for _ in range(5):
            score = np.abs(atoms @ residual)
            score[picked] = -1
            picked.append(int(score.argmax()))
            best = np.linalg.lstsq(atoms[picked].T, target, rcond=None)[0]
            residual = target - best @ atoms[picked]
        assert chosen.tolist() == picked and weights == pytest.approx(best)
        assert share == pytest.approx(1 - residual @ residual / (target @ target))


def test_pursuit_stops_where_nothing_is_left():
    atoms = np.array([[1, 0, 0], [2, 0, 0], [0, 1, 0]], np.float32)
    indices, values, explained = pursue(np.array([[3, 0, 0], [1, 2, 5]], np.float32), atoms, 3)
    assert [i.tolist() for i in indices] == [[1], [1, 2]] or [i.tolist() for i in indices] == [[1], [2, 1]]
    assert values[0] == pytest.approx([1.5]) and explained == pytest.approx([1, 5 / 30])


def test_tokenadapt(six):
    six.vectors = np.array([[0, 0], [0, 3], [1, 0], [0, 0], [0, 1], [0, 5]], np.float32)
    six.source_vectors = np.array([[0, 0], [0, 1], [1, 0], [0.6, 0.8], [0, 0], [0, -1]], np.float32)
    mixture = rows_of(six, "tokenadapt")
    # ▁bc: pieces ▁b and c, cosines 1 and .6, one of two characters each.
    meaning = np.exp([1, 0.6]) / np.exp([1, 0.6]).sum()
    local = np.exp((meaning + 0.5) / 2 / 0.3)
    local /= local.sum()
    # Nearest: ▁b 1, c .6, then ▁a and ▁, both 0: the first of them.
    near = np.exp(np.array([1, 0.6, 0]) / 0.3)
    near /= near.sum()
    expected = 0.7 * local @ E[[2, 3]] + 0.3 * near @ E[[2, 3, 1]]
    assert mixture.apply(E)[BC] == pytest.approx(expected, rel=1e-5)
    # ▁cd: pieces ▁ (no character), c and d; d has no vector.
    meaning = np.exp([-1, 0.8]) / np.exp([-1, 0.8]).sum()
    local = np.exp((meaning + [0, 0.5]) / 2 / 0.3)
    near = np.exp(np.array([1, 0.8, 0]) / 0.3)
    expected = 0.7 * local / local.sum() @ E[[5, 3]] + 0.3 * near / near.sum() @ E[[1, 3, 2]]
    assert mixture.apply(E)[CD] == pytest.approx(expected, rel=1e-5)
    assert mixture.apply(E)[[B, D]].tolist() == [[6, 8], [0, 2]] and not mixture.filled[E_]


def test_trans_tokenization(six):
    # One word each: "bc" is ▁b c, "cd" is ▁cd: a link of the words links ▁cd to ▁b and c by a half each.
    six.extra = {"parallel": (["bc", "bc", "b"], ["cd", "cd", ""])}
    mixture = rows_of(six, "trans-tokenization")
    assert mixture.explain("▁cd") == [("▁b", 0.5), ("c", 0.5)]
    assert mixture.apply(E)[CD] == pytest.approx((E[2] + E[3]) / 2)
    # Shared tokens have their own row, by one count; what no link reaches is empty.
    assert mixture.explain("▁b") == [("▁b", 1.0)]
    assert not mixture.filled[[BC, E_]].any()


def test_a_second_model_s_rows(six, tmp_path):
    from transformers import BertConfig, BertModel

    def model(size: int) -> BertModel:
        return BertModel(
            BertConfig(vocab_size=size, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
        )

    tokenizer = metaspace(["<unk>", "▁cd", "▁b", "x"], ["<unk>"])
    small = model(6)  # two rows of padding
    small.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    matrix = small.get_input_embeddings().weight.detach().numpy()
    found = helper_rows(replace(six, extra={"helper": tmp_path}))
    assert np.array_equal(found[[B, CD]], matrix[[2, 1]]) and not found[[BC, E_, D]].any()
    assert np.array_equal(helper_rows(replace(six, extra={"helper": small})), matrix)
    for given, message in (
        (np.ones((5, 2)), r"not the target's tokens; found shape \(5, 2\); expected 6 rows"),
        (np.ones((7, 2)), r"found shape \(7, 2\)"),
        (np.ones(6), r"found shape \(6,\)"),
        (model(5), "not the target's tokens"),
        (np.full((6, 2), np.inf), "NaN or inf"),
    ):
        with pytest.raises(InputError, match=message):
            helper_rows(replace(six, extra={"helper": given}))
    metaspace(["<unk>", "q"], ["<unk>"]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="none of the target's tokens"):
        helper_rows(replace(six, extra={"helper": tmp_path}))


@pytest.mark.parametrize("method", ["clp", "omp"])
def test_no_shared_token_in_the_second_model(six, method):
    space = np.zeros((6, 3), np.float32)
    space[CD] = 1
    problem = replace(six, extra={"helper": space})
    assert rows_of(problem, method).methods() == {"": 4, "copy": 2}
    assert f"{method} needs shared tokens" in problem.notes[0]
