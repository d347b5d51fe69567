"""Each method on six tokens, worked out by hand, and the laws that every registered method keeps."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lexigraft import InputError
from tests.conftest import ROOT
from tests.tiny_tokenizers import metaspace, wordpiece
from tests.vocab.six_tokens import BC, CD, E_, NEW, OLD, UNK, B, D, E, six_tokens
from vocab.matrix import fingerprint
from vocab.mixture import Mixture
from vocab.transplant import chain
from vocab.transplant.method import METHODS, Problem
from vocab.vectors.evidence import Evidence
from vocab.view import Vocabulary


@pytest.fixture
def six() -> Problem:
    return six_tokens([[0, 0], [2, 0], [4, 3], [0, 0], [0, 1], [0, 5]])


def made(problem: Problem, method: str | None, **options) -> Mixture:
    links = chain.parse(method)
    return chain.run(problem, links, chain.options_of(links, options, default=method is None))


def test_copy(six):
    mixture = METHODS["copy"].rows(six, METHODS["copy"].options())
    assert mixture.filled.tolist() == [False, True, False, False, True, False]
    assert mixture.apply(E)[[B, D]].tolist() == [[6, 8], [0, 2]]


def test_mean(six):
    rows = made(six, "mean").apply(E)
    assert rows[UNK].tolist() == [0, 0]
    # The mean of all six old rows: (12 / 6, 14 / 6).
    assert rows[1:] == pytest.approx(np.tile([2, 14 / 6], (5, 1)))


def test_random(six):
    mixture = made(six, "random")
    draw = np.random.default_rng([3, 0]).standard_normal((5, 2))
    # Deviations from the mean (2, 7/3): squares sum to 26 and 154/3; with ddof 1 they are divided by 5.
    deviation = np.sqrt([26 / 5, (84 - 6 * (7 / 3) ** 2) / 5])
    assert mixture.apply(E)[1:] == pytest.approx(np.array([2, 7 / 3]) + draw * deviation, rel=1e-5)
    assert mixture.methods() == {"special": 1, "random": 5}


@pytest.mark.parametrize(
    ("method", "options", "divisor", "drawn"),
    [
        ("wechsel", {}, 6, [B, BC, E_, D, CD]),
        ("wechsel", {"random": {"ddof": 1}}, 5, [B, BC, E_, D, CD]),
        ("ofa", {}, 6, [BC, E_, CD]),
        ("focus", {}, 5, [BC, E_, CD]),
        ("random", {}, 5, [B, BC, E_, D, CD]),
    ],
)
def test_fallback_rows_are_drawn_as_published(six, method, options, divisor, drawn):
    """WECHSEL and OFA divide by n in the deviation of rows without a vector, FOCUS by n - 1."""
    six.vectors, six.source_vectors = np.zeros((6, 2)), np.zeros((6, 2))
    normal = np.random.default_rng([3, 0]).standard_normal((len(drawn), 2))
    expected = np.array([2, 7 / 3]) + normal * np.sqrt(np.array([26, 84 - 6 * (7 / 3) ** 2]) / divisor)
    assert made(six, method, **options).apply(E)[drawn] == pytest.approx(expected, rel=1e-5)


def test_random_gives_each_matrix_rows_of_its_own(six):
    output = 10 + E[::-1]
    mixture = made(replace(six, matrices={"input": E, "output": output}), "random")
    assert set(mixture.explicit) == {fingerprint(E), fingerprint(output)}
    assert mixture.apply(output)[1:].mean() > 8


def test_subwords(six):
    mixture = made(six, "subwords")
    rows = mixture.apply(E)
    assert rows[[B, D]].tolist() == [[6, 8], [0, 2]]
    assert rows[BC] == pytest.approx([3.5, 4])  # ▁b, c
    assert rows[E_] == pytest.approx([2, 0])  # ▁, and an e that the old tokenizer does not know
    assert rows[CD] == pytest.approx([1, 2 / 3])  # ▁, c, d
    assert mixture.explain("▁bc") == [("▁b", 0.5), ("c", 0.5)]


def test_focus(six):
    mixture = METHODS["focus"].rows(six, METHODS["focus"].options())
    rows = mixture.apply(E)
    assert rows[[B, D]].tolist() == [[6, 8], [0, 2]]
    # ▁bc: cosines .8 to ▁b and .6 to d; threshold (1.4 - 1) / 2 = .2; weights .6 and .4.
    assert rows[BC] == pytest.approx([3.6, 5.6])
    # ▁cd: cosines 0 and 1; the whole weight goes to d.
    assert rows[CD] == pytest.approx([0, 2])
    assert not mixture.filled[E_], "a token without a vector is left to the fallback"
    assert mixture.explain("▁bc") == [("▁b", pytest.approx(0.6)), ("d", pytest.approx(0.4))]


def test_focus_as_published_falls_back_on_random(six):
    assert made(six, "focus").methods() == {"special": 1, "copy": 2, "focus": 2, "random": 1}


def test_default_chain(six):
    mixture = made(six, None)
    assert mixture.methods() == {"special": 1, "copy": 2, "focus": 2, "subwords": 1}
    rows = mixture.apply(E)
    # Copied rows have lengths 10 and 2, the median is 6.
    assert rows[BC] == pytest.approx(np.array([3.6, 5.6]) * 6 / np.hypot(3.6, 5.6))
    assert rows[CD] == pytest.approx([0, 6])
    assert rows[E_] == pytest.approx([2, 0])


def test_focus_norm_can_be_set(six):
    assert made(six, "focus", focus={"restore_norm": True}).rescale.sum() == 2
    assert made(six, None, focus={"restore_norm": False}).rescale.sum() == 0


def test_focus_without_overlap_says_so_and_falls_back():
    problem = Problem(
        Vocabulary.of(metaspace(["<unk>", "▁a", "x"], ["<unk>"])),
        Vocabulary.of(metaspace(["<unk>", "▁e", "f"], ["<unk>"])),
        {"input": E[:3]},
        np.ones((3, 2)),
    )
    assert made(problem, "focus -> mean").methods() == {"special": 1, "mean": 2}
    assert "focus needs shared tokens" in problem.notes[0]


def test_blend(six):
    mixture = made(six, "0.75 focus + 0.25 subwords -> mean")
    rows = mixture.apply(E)
    # ▁bc: .6 ▁b + .4 d by focus, half ▁b and half c by subwords. ▁e: focus knows nothing of it.
    assert rows[BC] == pytest.approx(0.75 * np.array([3.6, 5.6]) + 0.25 * np.array([3.5, 4]))
    assert rows[E_] == pytest.approx([2, 0])
    assert rows[[B, D]].tolist() == [[6, 8], [0, 2]]
    name = "0.75 focus + 0.25 subwords"
    assert mixture.methods() == {"special": 1, "copy": 2, "subwords": 1, name: 2}
    assert mixture.explain("▁bc") == [("▁b", pytest.approx(0.575)), ("d", pytest.approx(0.3)), ("c", 0.125)]
    # Best similarity .8 and one of two pieces: .75 * .8 + .25 * .5.
    assert mixture.evidence[BC] == pytest.approx(0.725)
    assert METHODS[name].needs == {"vectors"} and METHODS[name].copies_overlap
    assert METHODS["0.75*focus+.25 * subwords"].name == name


def test_blend_takes_the_methods_options_and_stands_alone(six):
    mixture = made(six, "focus + kriging", focus={"restore_norm": True})
    assert mixture.rescale[[BC, CD]].all()
    assert mixture.methods() == {"special": 1, "copy": 2, "1 focus + 1 kriging": 2, "mean": 1}
    alone = [made(six, m, **{m: {"restore_norm": False}}).apply(E) for m in ("focus", "kriging")]
    both = made(six, "focus + kriging", kriging={"restore_norm": False}).apply(E)
    assert both[[BC, CD]] == pytest.approx((alone[0] + alone[1])[[BC, CD]] / 2)


def test_nothing_shared():
    """Methods that need no shared tokens work without; those that do leave the rows to their fallback."""
    problem = Problem(
        Vocabulary.of(metaspace(["<unk>", "▁a", "x"], ["<unk>"])),
        Vocabulary.of(metaspace(["<unk>", "▁e", "f"], ["<unk>"])),
        {"input": E[:3]},
        np.array([[0, 0], [1, 2], [2, 1]]),
        np.array([[0, 0], [2, 1], [1, 2]]),
        extra={"dictionary": [("a", "e")], "helper": np.ones((3, 2)), "parallel": [("a x", "e f")] * 3},
    )
    assert made(problem, "wechsel -> mean").methods() == {"special": 1, "wechsel": 2}
    problem.vectors = np.array([[0, 0], [1, 2], [2, 1]])
    assert made(problem, "dictionary -> mean").methods() == {"special": 1, "dictionary": 1, "mean": 1}
    assert made(problem, "trans-tokenization -> mean").methods() == {"special": 1, "trans-tokenization": 2}
    assert made(problem, "tokenadapt -> mean").methods() == {"special": 1, "tokenadapt": 2}
    for method in ("focus", "clp", "omp", "kriging"):
        problem.notes.clear()
        assert made(problem, f"{method} -> mean").methods() == {"special": 1, "mean": 2}
        assert f"{method} needs shared tokens" in problem.notes[0]


# Laws, for every registered method.

LAWFUL = [*METHODS.names, "0.7 focus + 0.3 subwords", "focus + kriging", "wechsel + random"]
VOCABULARY = ["▁", "▁a", "▁b", "c", "d", "▁ba", "cd", "▁dab", "1", "."]


def law_problem(old: list[str], new: list[str]) -> Problem:
    source, target = Vocabulary.of(metaspace(old)), Vocabulary.of(metaspace(new))
    draw = np.random.default_rng(0)
    matrices = {role: draw.standard_normal((len(source), 4)).astype(np.float32) for role in ("input", "output")}
    vectors, source_vectors = draw.standard_normal((len(target), 5)), draw.standard_normal((len(source), 5))
    extra = {
        "texts": ["ba dab cd", "a b. cd 1", "dabba cdc"],
        "dictionary": [("ba", "dab"), ("a", "b")],
        "parallel": [("ba dab", "dabba cdc"), ("a b. cd", "b ba. 1"), ("ba", "dabba")],
        "helper": draw.standard_normal((len(target), 6)),
    }
    return Problem(source, target, matrices, vectors, source_vectors, 7, extra)


def sample() -> Problem:
    return law_problem(VOCABULARY, ["▁", "▁b", "▁dabba", "cdc", "d", "▁ba", "cd", "▁x", "1", "▁.", "bab"])


@pytest.mark.parametrize("method", LAWFUL)
def test_law_finite_and_full(method):
    problem = sample()
    mixture = made(problem, method)
    assert mixture.filled.all()
    for matrix in problem.matrices.values():
        assert np.isfinite(mixture.apply(matrix)).all()
    assert np.isfinite(mixture.apply_bias(np.arange(len(problem.source), dtype=np.float32))).all()


@pytest.mark.parametrize("method", [m for m in LAWFUL if METHODS[m].convex])
def test_law_convex(method):
    problem = sample()
    mixture = METHODS[method].rows(problem, METHODS[method].options())
    own = mixture.filled.copy()
    own[mixture.explicit_rows] = False
    assert own.any()
    weights = mixture.weights[own]
    assert (weights.data >= 0).all()
    assert np.asarray(weights.sum(axis=1)).ravel() == pytest.approx(np.ones(own.sum()), abs=1e-5)


@pytest.mark.parametrize("method", [m for m in LAWFUL if METHODS[m].copies_overlap])
def test_law_identical_vocabularies_give_the_identity(method):
    problem = law_problem(VOCABULARY, VOCABULARY)
    mixture = made(problem, method)
    for matrix in problem.matrices.values():
        assert np.array_equal(mixture.apply(matrix), matrix)


@pytest.mark.parametrize("method", LAWFUL)
def test_law_specials_map_to_specials(method):
    problem = sample()
    problem.target = Vocabulary.of(wordpiece(["b", "ba", "dab", "##cd", "d", "x", "1", "."]))
    problem.vectors = problem.vectors[[0] * len(problem.target)]
    problem.extra["helper"] = problem.extra["helper"][[0] * len(problem.target)]
    mixture = made(problem, method)
    old = {role: problem.source.forms[index] for role, index in problem.source.roles.items()}
    for role, index in problem.target.roles.items():
        assert mixture.explain(index) == [(old[role], 1.0)]


@pytest.mark.parametrize("method", LAWFUL)
def test_law_same_seed_same_bytes(method, tmp_path):
    files = [made(sample(), method).save(tmp_path / f"{n}.safetensors").read_bytes() for n in range(2)]
    assert files[0] == files[1]


@pytest.mark.parametrize("method", LAWFUL)
def test_law_tensors_and_arrays_give_the_same_rows(method):
    arrays, tensors = sample(), sample()
    tensors.matrices = {role: torch.from_numpy(matrix) for role, matrix in tensors.matrices.items()}
    one, two = made(arrays, method), made(tensors, method)
    for role, matrix in arrays.matrices.items():
        # Sums are made in another order (vocab.matrix.product): equal but for float32's rounding.
        assert two.apply(tensors.matrices[role]).numpy() == pytest.approx(one.apply(matrix), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("method", LAWFUL)
def test_law_only_wanted_rows_are_filled(method):
    problem = sample()
    problem.wanted = np.arange(len(problem.target)) % 2 == 0
    mixture = METHODS[method].rows(problem, METHODS[method].options())
    assert not mixture.filled[~problem.wanted].any()


@pytest.mark.parametrize("method", LAWFUL)
def test_every_method_says_what_it_is(method):
    spec = METHODS[method]
    assert spec.summary and spec.when and spec.when_not and spec.evidence and len(spec.paper) > 8
    assert all(link in METHODS for link in spec.fallback)


@pytest.mark.parametrize("method", METHODS.names)
def test_every_method_has_golden_numbers(method):
    """What has no numbers worked out by hand is no method that users are offered."""
    from tests.vocab import test_transplant_golden as golden

    assert f"test_{method.replace('-', '_')}" in {*globals(), *vars(golden)}


def test_every_method_ran_on_real_text():
    """The page of methods holds what each gave on four languages, and is as benchmarks/methods.py writes it."""
    methods = importlib.import_module("benchmarks.methods")
    figures = json.loads((ROOT / "docs" / "transplant.json").read_text(encoding="utf-8"))
    languages = ["hau", "yor", "kin", "swa"]
    for language in languages:
        for name in (methods.UNTOUCHED, *METHODS.names):
            assert 0 < figures[language][name]["bits"] < 20, f"{name} was not run on {language}"
    assert (ROOT / "docs" / "transplant.md").read_text(encoding="utf-8") == methods.page(figures, languages)


# Pieces that methods share.


def test_focus_extension(six):
    """The new vocabulary is the old one and ▁bc; the language's tokenizer knows ▁b, d and ▁bc, but not ▁a."""
    language = Vocabulary.of(metaspace(["<unk>", "d", "▁bc", "▁b"], ["<unk>"]))
    extended = Vocabulary.of(metaspace([*OLD, "▁bc"], ["<unk>"]))
    own = Evidence.of(np.array([[0, 0], [0, 1], [4, 3], [2, 0]], np.float32), 4)
    own.frequency = np.array([0, 5, 6, 7])
    vectors = own.onto(language, extended)
    assert vectors.known.tolist() == [False, False, True, False, True, False, True]
    assert vectors.frequency.tolist() == [0, 0, 7, 0, 5, 0, 6]
    mixture = made(replace(six, target=extended, vectors=vectors), "focus")
    assert mixture.methods() == {"special": 1, "copy": 5, "focus": 1}
    # As in test_focus: .6 of ▁b and .4 of d, whatever ▁a may be like.
    assert mixture.explain("▁bc") == [("▁b", pytest.approx(0.6)), ("d", pytest.approx(0.4))]


def test_special_without_counterpart_takes_the_mean(six):
    six.target = Vocabulary.of(metaspace([*NEW[:5], "<mask>"], ["<unk>", "<mask>"]))
    mixture = made(six, None)
    assert mixture.method_of("<mask>") == "mean"
    assert not six.notes


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("fokus", "did you mean 'focus'"),
        ("focus -> -> mean", "a link of the chain is empty"),
        ("mean -> mean", "stands twice"),
        ("0.5 mean + 0.5 mean", "stands twice in the blend"),
        ("0.5 fokus + 0.5 mean -> copy", "did you mean 'focus'"),
        ("-1 focus + mean", "not a weight above 0 and a method; found '-1 focus'"),
        ("focus +", "not a weight above 0 and a method; found ''"),
        ("auto -> mean", "auto chooses among whole chains"),
        (["focus"], "a method is a name or a chain of names"),
    ],
)
def test_bad_chains(method, message):
    with pytest.raises(InputError, match=message):
        chain.parse(method)


def test_bad_options():
    with pytest.raises(InputError, match="did you mean 'restore_norm'"):
        chain.options_of(("focus",), {"focus": {"restore_nrom": True}}, default=False)
    with pytest.raises(InputError, match="unknown method 'fcous'"):
        chain.options_of(("focus",), {"fcous": {}}, default=False)
    with pytest.raises(InputError, match="options are a mapping; found 5"):
        chain.options_of(("focus",), 5, default=False)
    blend = ("0.5 focus + 0.5 ofa", "mean")
    assert chain.options_of(blend, {"ofa": {"rank": 3}}, default=False, strict=True)
    with pytest.raises(InputError, match="options of what is not asked for; found auto, omp; expected 0.5 focus"):
        chain.options_of(blend, {"omp": {"k": 3}, "auto": {}}, default=False, strict=True)


def test_needs_are_checked(six):
    six.vectors = None
    with pytest.raises(InputError, match="focus needs vectors"):
        made(six, "focus")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((5, 2)), "found 5 vectors; expected 6"),
        (np.ones(6), "must be a matrix"),
        (np.full((6, 2), np.nan), "NaN or inf; found row 0"),
        ({"a": [1, 2]}, "a matrix of numbers: .*; found dict; expected an array"),
        ([[1, 2], [3]], "a matrix of numbers: .*; found list"),
        (np.full((6, 2), {}), "a matrix of numbers: .*; found ndarray"),
        (np.ones((6, 2), complex), "a matrix of numbers: .*complex"),
        (torch.ones(5, 2, dtype=torch.bfloat16), "found 5 vectors; expected 6"),
    ],
)
def test_bad_vectors(six, vectors, message):
    six.vectors = vectors
    with pytest.raises(InputError, match=message):
        made(six, "focus")
