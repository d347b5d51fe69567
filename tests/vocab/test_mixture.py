"""Mixture: how rows are made, chained, explained and kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from lexigraft import InputError
from vocab.matrix import fingerprint
from vocab.mixture import Mixture, Side
from vocab.mixture_join import blend

SOURCE = Side("s" * 64, ("<unk>", "▁a", "▁b", "c"))
TARGET = Side("t" * 64, ("<unk>", "▁b", "▁bc", "▁x", "▁y"))
E = np.array([[0, 0], [3, 4], [6, 8], [1, 0]], np.float32)


def part(name: str, rows: list[int], weights: list[list[float]], **more) -> Mixture:
    return Mixture.build(SOURCE, TARGET, name, np.array(rows), csr_matrix(np.array(weights, np.float32)), **more)


def whole(rescale: bool = False) -> Mixture:
    """Row 0 special; 1 copied; 2 half ▁b, half c; 3 the mean; 4 a quarter ▁a and three quarters of the mean."""
    special = part("special", [0], [[1, 0, 0, 0]], copied=True)
    copied = part("copy", [1], [[0, 0, 1, 0]], copied=True)
    mixed = part("subwords", [2], [[0, 0, 0.5, 0.5]], rescale=rescale)
    basis = csr_matrix(np.full((1, 4), 0.25, np.float32))
    mean = part("mean", [3, 4], [[0, 0, 0, 0, 1], [0, 0.25, 0, 0, 0.75]], basis=basis, basis_names=("mean",))
    return special.then(copied).then(mixed).then(mean)


# mean of E = (2.5, 3); 0.25 * (3, 4) + 0.75 * (2.5, 3) = (2.625, 3.25)
EXPECTED = np.array([[0, 0], [6, 8], [3.5, 4], [2.5, 3], [2.625, 3.25]], np.float32)


def test_rows_by_hand():
    assert whole().apply(E) == pytest.approx(EXPECTED)
    assert whole().methods() == {"special": 1, "copy": 1, "subwords": 1, "mean": 2}


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_blocks_change_nothing(block):
    assert np.array_equal(whole(True).apply(E, block=block), whole(True).apply(E))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_any_dtype(dtype):
    made = whole().apply(torch.tensor(E, dtype=dtype))
    assert made.dtype == dtype
    assert made.float().numpy() == pytest.approx(EXPECTED, rel=0.01)
    assert torch.equal(made[1], torch.tensor([6, 8], dtype=dtype))


def test_rows_past_the_vocabulary_are_not_looked_at():
    padded = np.concatenate([E, np.full((3, 2), np.nan, np.float32)])
    assert whole().apply(padded) == pytest.approx(EXPECTED)


def test_norm_is_that_of_this_matrix_s_copied_rows_without_specials():
    # The one copied row has length 10, or 20 in a matrix twice as large; (3.5, 4) has length sqrt(28.25).
    for scale in (1, 2):
        made = whole(True).apply(scale * E)
        assert made[2] == pytest.approx(np.array([3.5, 4]) / np.sqrt(28.25) * 10 * scale)
        assert np.array_equal(np.delete(made, 2, 0), np.delete(whole().apply(scale * E), 2, 0))


def test_bias_is_mixed_and_never_rescaled():
    bias = np.array([1, 2, 4, 8], np.float32)
    assert whole(True).apply_bias(bias) == pytest.approx([1, 4, 6, 3.75, 0.25 * 2 + 0.75 * 3.75])
    made = whole(True).apply_bias(torch.tensor(bias, dtype=torch.bfloat16))
    assert made.shape == (5,) and made.dtype == torch.bfloat16


def test_explicit_rows_belong_to_one_matrix():
    values = {fingerprint(E): np.array([[9, 9], [7, 7]], np.float32)}
    drawn = Mixture.build(SOURCE, TARGET, "random", np.array([2, 4]), explicit=values)
    mixture = part("copy", [1], [[0, 0, 1, 0]], copied=True).then(drawn).then(whole())
    assert mixture.apply(E)[[1, 2, 3, 4]] == pytest.approx(np.array([[6, 8], [9, 9], [2.5, 3], [7, 7]]))
    assert mixture.apply(torch.tensor(E))[2].tolist() == mixture.apply(E.astype(np.float64))[2].tolist() == [9, 9]
    # The mean of the bias, (1 + 2 + 4 + 9) / 4 = 4, for the explicit rows.
    assert mixture.apply_bias(np.array([1, 2, 4, 9], np.float32))[[2, 4]].tolist() == [4, 4]
    with pytest.raises(InputError, match="computed from one matrix"):
        mixture.apply(E + 1)


def test_explicit_rows_join_in_a_chain():
    def drawn(row: int, value: float) -> Mixture:
        values = {fingerprint(E): np.full((1, 2), value, np.float32)}
        return Mixture.build(SOURCE, TARGET, f"d{row}", np.array([row]), explicit=values)

    joined = drawn(4, 4.0).then(drawn(2, 2.0)).then(drawn(4, 9.0))
    assert joined.explicit_rows.tolist() == [2, 4]
    assert joined.apply(E)[[2, 4], 0].tolist() == [2, 4]
    other = Mixture.build(SOURCE, TARGET, "d", np.array([0]), explicit={"f" * 64: np.zeros((1, 2), np.float32)})
    with pytest.raises(InputError, match="different matrices"):
        joined.then(other)


def test_then_keeps_what_is_filled():
    first = part("copy", [1], [[0, 0, 1, 0]], copied=True)
    second = part("subwords", [1, 2], [[1, 0, 0, 0], [0, 0, 0.5, 0.5]])
    joined = first.then(second)
    assert [joined.method_of(row) for row in range(5)] == ["", "copy", "subwords", "", ""]
    assert joined.apply(E)[1].tolist() == [6, 8]
    assert joined.copied.tolist() == [False, True, False, False, False]


def test_basis_rows_of_one_name_are_joined():
    basis = csr_matrix(np.full((1, 4), 0.25, np.float32))
    one = part("mean", [3], [[0, 0, 0, 0, 1]], basis=basis, basis_names=("mean",))
    two = part("blend", [4], [[0, 0.5, 0, 0, 0.5]], basis=basis, basis_names=("mean",))
    joined = one.then(two)
    assert joined.basis_names == ("mean",) and joined.weights.shape == (5, 5)
    assert joined.apply(E)[[3, 4]] == pytest.approx(np.array([[2.5, 3], [2.75, 3.5]]))


def test_explain():
    assert whole().explain("▁bc") == [("▁b", 0.5), ("c", 0.5)]
    assert whole().explain(4) == [("mean", 0.75), ("▁a", 0.25)]
    assert whole().explain(4, 1) == [("mean", 0.75)]
    with pytest.raises(InputError, match="did you mean '▁bc'"):
        whole().explain("▁bcd")
    with pytest.raises(InputError, match="no such row"):
        whole().explain(5)


def test_save_and_load(tmp_path):
    values = {fingerprint(E): np.array([[9, 9]], np.float32)}
    mixture = Mixture.build(SOURCE, TARGET, "random", np.array([3]), explicit=values).then(whole(True))
    file = mixture.save(tmp_path)
    assert file.name == "mixture.safetensors"
    loaded = Mixture.load(tmp_path)
    assert np.array_equal(loaded.apply(E), mixture.apply(E))
    assert loaded.explain("▁bc") == mixture.explain("▁bc")
    assert loaded.methods() == mixture.methods() and loaded.source == SOURCE and loaded.target == TARGET
    again = loaded.save(tmp_path / "again.safetensors")
    assert again.read_bytes() == file.read_bytes()


def test_another_vocabulary_is_refused():
    with pytest.raises(InputError, match="another source vocabulary; found fingerprint xxxxxxxxxxxx; expected ssss"):
        whole().check_sides("x" * 64, "t" * 64)
    other = Mixture.empty(SOURCE, Side("u" * 64, TARGET.tokens))
    with pytest.raises(InputError, match="another target vocabulary"):
        whole().then(other)


def test_what_is_no_mixture_is_refused(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(InputError, match="no mixture here"):
        Mixture.load(tmp_path)
    (tmp_path / "mixture.safetensors").write_bytes(b"\x80\x04junk that is no safetensors")
    with pytest.raises(InputError, match="not a readable mixture"):
        Mixture.load(tmp_path)
    save_file({"a": np.zeros(2)}, tmp_path / "mixture.safetensors")
    with pytest.raises(InputError, match="not a mixture of this version"):
        Mixture.load(tmp_path)
    half = whole().save(tmp_path)
    half.write_bytes(half.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a readable mixture"):
        Mixture.load(tmp_path)


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="fewer rows than the source vocabulary; found 3 rows; expected 4"):
        whole().apply(E[:3])


def test_edit_by_hand(tmp_path):
    values = {fingerprint(E): np.array([[9, 9]], np.float32)}
    drawn = Mixture.build(SOURCE, TARGET, "random", np.array([4]), explicit=values)
    before = whole(True).edit({"▁x": {"▁a": 0.5}})
    mixture = drawn.then(before).edit({"▁bc": {"▁b": 0.5, "▁a": -1, "c": 2}, "▁y": {"c": 1}})
    rows = mixture.apply(E)
    # 0.5 (6, 8) - (3, 4) + 2 (1, 0), as written: no norm is restored.
    assert rows[2] == pytest.approx([2, 0])
    assert rows[3] == pytest.approx([1.5, 2])
    assert rows[4] == pytest.approx([1, 0]), "a drawn row gives way too"
    assert np.array_equal(rows[:2], before.apply(E)[:2])
    assert not len(mixture.explicit_rows) and mixture.apply(2 * E)[4] == pytest.approx([2, 0])
    assert mixture.methods() == {"special": 1, "copy": 1, "edit": 3}
    assert mixture.explain("▁bc") == [("c", 2), ("▁a", -1), ("▁b", 0.5)]
    assert mixture.evidence[[2, 3, 4]].tolist() == [1, 1, 1]
    loaded = Mixture.load(mixture.save(tmp_path))
    assert loaded.edits == mixture.edits
    assert set(loaded.edits) == {"▁x", "▁bc", "▁y"}, "what was written by hand before stays known"
    again = drawn.then(whole(True)).edit(loaded.edits)
    assert np.array_equal(again.apply(E), rows), "edits can be replayed on another mixture of the same vocabularies"


def test_edits_from_yaml(tmp_path):
    file = tmp_path / "edits.yaml"
    file.write_text("▁bc: {▁b: 1e0}\n▁x:\n  ▁a: 2.5e-1\n  c: 0.75\n", encoding="utf-8")  # 1e0 is text to YAML
    rows = whole().edit(file).apply(E)
    assert rows[2].tolist() == [6, 8] and rows[3] == pytest.approx([1.5, 1])
    for text, message in (
        ("▁bcc: {▁b: 1.0}", "no token '▁bcc'; did you mean '▁bc'"),
        ("▁bc: {▁bb: 1.0}", "names '▁bb', which is no source token; did you mean '▁b'"),
        ("▁bc: {▁b: .nan}", "edits.yaml: the edit of '▁bc' has something else than finite weights"),
        ("▁bc: {▁b: yes}", "found '▁b': True"),
        ("▁bc: ▁b", "names no old tokens"),
        ("▁bc: {▁b: 1}\n▁x: {▁a: 1}\n▁bc: {c: 1}", r"edits.yaml:3: a token stands twice; found ▁bc"),
        ("▁bc: {▁b: 1,\n  ▁b: 2}", r"edits.yaml:2: a token stands twice; found ▁b"),
        ("7: {▁b: 1}", "a token of an edit is no text: .*found 7; expected it between quotes"),
        ("▁bc: {no: 1}", "found False; expected it between quotes"),
        ("- 1", "edits are a mapping; found list"),
        ("{", "this is no YAML"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            whole().edit(file)
    with pytest.raises(InputError, match="no such file of edits"):
        whole().edit(tmp_path / "none.yaml")


def test_blend_by_hand():
    copied = part("copy", [1], [[0, 0, 1, 0]], copied=True)
    one = copied.then(part("one", [2, 3], [[0, 1, 0, 0], [0, 1, 0, 0]], evidence=np.array([0.5, 0.25])))
    basis = csr_matrix(np.full((1, 4), 0.25, np.float32))
    two = copied.then(part("two", [2, 4], [[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]], basis=basis, basis_names=("mean",)))
    mixture = blend([(3, one), (1, two)], "3 one + 1 two", {})
    rows = mixture.apply(E)
    assert rows[1].tolist() == [6, 8] and mixture.copied.tolist() == [False, True, False, False, False]
    assert rows[2] == pytest.approx([0.75 * 3 + 0.25 * 1, 0.75 * 4])
    assert rows[3].tolist() == [3, 4], "a row that one of them fills is that one's"
    assert rows[4] == pytest.approx([2.5, 3])
    assert mixture.methods() == {"": 1, "copy": 1, "one": 1, "two": 1, "3 one + 1 two": 1}
    assert mixture.evidence[[2, 3]] == pytest.approx([0.5, 0.25]) and np.isnan(mixture.evidence[4])
    assert mixture.explain(2) == [("▁a", 0.75), ("c", 0.25)]


def test_blend_of_explicit_rows():
    """A drawn row and a mixed one: the average is a row of that matrix, the bias the mean bias."""
    drawn = Mixture.build(SOURCE, TARGET, "random", np.array([2]), explicit={fingerprint(E): np.full((1, 2), 9.0)})
    mixed = part("one", [2, 3], [[0, 1, 0, 0], [0, 1, 0, 0]])
    mixture = blend([(0.5, mixed), (0.5, drawn)], "both", {"input": E})
    assert mixture.apply(E)[[2, 3]].tolist() == [[6, 6.5], [3, 4]]
    assert mixture.explain(2) == [("▁a", 0.5)]
    same = blend([(0.5, mixed), (0.5, drawn)], "both", {"input": torch.tensor(E)})
    assert torch.equal(same.apply(torch.tensor(E)), torch.tensor(mixture.apply(E)))
    with pytest.raises(InputError, match="computed from one matrix"):
        mixture.apply(E + 1)


def test_rank_brings_rows_into_the_leading_directions(tmp_path):
    draw = np.random.default_rng(0)
    matrix = draw.standard_normal((4, 3)).astype(np.float32)
    mixture = whole()
    full = mixture.apply(matrix)
    mixture.rank = 2
    rows = Mixture.load(mixture.save(tmp_path)).apply(matrix)
    v = np.linalg.svd(matrix.astype(float), full_matrices=False)[2][:2]
    assert rows == pytest.approx(full @ v.T @ v, abs=1e-5)
    assert np.linalg.matrix_rank(rows, tol=1e-4) == 2
