"""The whole call: sources, targets, evidence, report, files, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.transplant.load import load_model

LINES = ["mata kuda wato tree", "walks talked the house of mata", "kuda watoing house mata", "tree wato kuda"] * 5
PIECES = [
    "▁mata",
    "▁kuda",
    "▁wato",
    "▁tree",
    "▁house",
    "▁walk",
    "▁talk",
    "s",
    "ed",
    "ing",
    "▁",
    "▁zzz",
    *"abcdefghiklmnoprstuwz",
]


@pytest.fixture(scope="module")
def target():
    return metaspace(list(dict.fromkeys(PIECES)))


def test_default_chain_from_a_folder(tiny_source, target, tmp_path):
    seen = []
    graft = vocab.transplant(tiny_source, target, texts=LINES, progress=lambda *a: seen.append(a))
    rows = graft.report["rows"]
    assert rows["total"] == len(target) == sum(rows["by_method"].values())
    assert rows["by_method"]["special"] == 5
    assert "random" not in rows["by_method"]
    assert rows["mixed"] == rows["by_method"]["focus"] > 0
    assert graft.report["evidence"] == "counts+characters"
    assert 0 < graft.report["overlap"]["share_of_text"] <= 1
    norms = graft.report["norms"]["input"]
    assert norms["new_rows"] == pytest.approx(norms["copied_rows"], rel=0.05)
    assert [(done, facts["step"]) for done, _, facts in seen] == list(
        enumerate(["loading", "evidence", "mixing", "bias", "scoring", "applying", "reporting"])
    )
    assert graft.explain("▁tree") == [("▁tree", 1.0)]
    assert sum(weight for _, weight in graft.explain("▁mata", 1000)) == pytest.approx(1, abs=1e-5)
    assert len(graft.report["worst"]) <= 10

    folder = graft.save(tmp_path / "made")
    loaded = load_model(folder)
    assert torch.equal(loaded.get_input_embeddings().weight, graft.model.get_input_embeddings().weight)
    assert vocab.Vocabulary.of(str(folder)).fingerprint == vocab.Vocabulary.of(target).fingerprint
    again = vocab.Mixture.load(folder, source=vocab.Vocabulary.of(str(tiny_source)), target=vocab.Vocabulary.of(target))
    assert again.explain("▁mata") == graft.explain("▁mata")
    assert json.loads((folder / "transplant.json").read_text(encoding="utf-8")) == graft.report
    text = (folder / "transplant.md").read_text(encoding="utf-8")
    assert "| focus |" in text and "Shared with the source" in text


def test_a_mixture_applies_to_a_fine_tuned_variant(tiny_source, target, tmp_path):
    graft = vocab.transplant(tiny_source, target, texts=LINES)
    model = load_model(tiny_source)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(3)
    rows = graft.mixture.apply(model.get_input_embeddings().weight)
    assert torch.allclose(rows, 3 * graft.model.get_input_embeddings().weight, atol=1e-5)


def test_a_model_given_is_not_changed(tiny_source, target):
    model = load_model(tiny_source)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graft = vocab.transplant(model, target, method="subwords")
    assert graft.model is not model
    assert model.config.vocab_size == len(before["bert.embeddings.word_embeddings.weight"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    other = vocab.transplant(model, target, method="subwords", source_tokenizer=str(tiny_source))
    assert torch.equal(other.model.get_input_embeddings().weight, graft.model.get_input_embeddings().weight)


def test_same_seed_same_bytes(tiny_source, target, tmp_path):
    files = []
    for name in ("one", "two"):
        folder = vocab.transplant(tiny_source, target, texts=LINES, seed=4).save(tmp_path / name)
        files.append(
            [(folder / f).read_bytes() for f in ("model.safetensors", "mixture.safetensors", "tokenizer.json")]
        )
    assert files[0] == files[1]


@pytest.mark.parametrize("seed", [-1, "one", 0.5])
def test_what_is_no_seed(tiny_source, target, seed):
    with pytest.raises(InputError, match="a seed is a whole number from 0"):
        vocab.transplant(tiny_source, target, method="random", seed=seed)


def test_seed_changes_what_is_drawn(tiny_source, target):
    one, two = (vocab.transplant(tiny_source, target, method="random", seed=s).model for s in (0, 1))
    assert not torch.equal(one.get_input_embeddings().weight, two.get_input_embeddings().weight)


def test_a_seed_of_numpy(tiny_source, target, tmp_path):
    one, two = (vocab.transplant(tiny_source, target, method="random", seed=s) for s in (1, np.int64(1)))
    assert one.mixture.explicit.keys() == two.mixture.explicit.keys()
    assert json.loads((two.save(tmp_path / "made") / "transplant.json").read_text(encoding="utf-8"))["seed"] == 1


def test_what_nothing_looks_at_is_named(tiny_source, target):
    given = {"dictionary": [("tree", "kuda")], "vectors": np.ones((len(target), 2), np.float32)}
    notes = vocab.transplant(tiny_source, target, method="subwords", **given, score=False).report["notes"]
    assert [note.split(" was given, and nothing in subwords -> mean")[0] for note in notes] == ["vectors", "dictionary"]
    old = np.ones((len(vocab.Vocabulary.of(str(tiny_source))), 2), np.float32)
    notes = vocab.transplant(tiny_source, target, method="wechsel", **given, source_vectors=old, score=False).report[
        "notes"
    ]
    assert not any("was given" in note for note in notes) and any("aligned by 1 dictionary pairs" in n for n in notes)


def test_a_part_that_the_checkpoint_lacks_is_the_same_every_time(tiny_source, tmp_path):
    shutil.copytree(tiny_source, tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    state = torch.random.get_rng_state()
    one, two = load_model(tmp_path / "base"), load_model(tmp_path / "base")
    assert type(one).__name__ == "BertModel"
    assert torch.equal(one.pooler.dense.weight, two.pooler.dense.weight)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_bare_focus_makes_fasttext_vectors(tiny_source, target, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXIGRAFT_CACHE", str(tmp_path))
    graft = vocab.transplant(tiny_source, target, method="focus", texts=LINES)
    assert graft.report["evidence"] == "fasttext"
    assert graft.report["rows"]["by_method"]["random"] == 1, "▁zzz, which the text never shows"
    assert list((tmp_path / "vectors").glob("*.safetensors"))
    assert not graft.mixture.rescale.any()


def test_vectors_as_array_and_as_kind(tiny_source, target):
    array = np.random.default_rng(0).standard_normal((len(target), 6))
    graft = vocab.transplant(tiny_source, target, method="focus -> mean", vectors=array)
    assert graft.report["evidence"] == "vectors" and graft.report["rows"]["by_method"]["focus"] > 0
    graft = vocab.transplant(tiny_source, target, method="focus -> mean", vectors="characters")
    assert graft.report["evidence"] == "characters"
    with pytest.raises(InputError, match="unknown kind of token vectors 'word2vec'"):
        vocab.transplant(tiny_source, target, vectors="word2vec")


def test_without_text_characters_are_the_evidence_and_it_is_said(tiny_source, target):
    graft = vocab.transplant(tiny_source, target)
    assert graft.report["evidence"] == "characters"
    assert "no text was given" in graft.report["notes"][0]
    with pytest.raises(InputError, match="focus needs vectors, or text"):
        vocab.transplant(tiny_source, target, method="focus")


def test_one_shot_iterator_is_refused(tiny_source, target):
    with pytest.raises(InputError, match="one-shot iterator"):
        vocab.transplant(tiny_source, target, texts=iter(LINES))


def test_empty_text_is_refused(tiny_source, target, tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(InputError, match="the text is empty"):
        vocab.transplant(tiny_source, target, texts=tmp_path / "empty.txt")


def test_identical_vocabulary_changes_nothing(tiny_source):
    model = load_model(tiny_source)
    graft = vocab.transplant(tiny_source, tiny_source, texts=LINES)
    for name, value in model.state_dict().items():
        assert torch.equal(graft.model.state_dict()[name], value), name


def test_folder_without_weights(tiny_source, target, tmp_path):
    shutil.copytree(tiny_source, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no weights; found .*config.json.*; expected model.safetensors"):
        vocab.transplant(tmp_path / "m", target)
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="a pickle can run code"):
        vocab.transplant(tmp_path / "m", target)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda m: (m / "config.json").unlink(), "holds no model"),
        (lambda m: (m / "config.json").write_text("{"), "no JSON"),
        (lambda m: shutil.rmtree(m), "no such folder"),
        (lambda m: (m / "model.safetensors").write_bytes(b"abc"), "no model could be loaded"),
    ],
)
def test_damaged_source(tiny_source, tmp_path, prepare, message):
    shutil.copytree(tiny_source, tmp_path / "m")
    prepare(tmp_path / "m")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "m")


def test_code_that_comes_with_a_model_is_not_run(tiny_source, tmp_path):
    shutil.copytree(tiny_source, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    changed = {**config, "architectures": ["OddModel"]}
    (tmp_path / "m" / "config.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match="found OddModel"):
        load_model(tmp_path / "m")


def test_tokenizer_larger_than_the_embeddings(tiny_source, target):
    big = metaspace([f"▁w{n}" for n in range(300)])
    with pytest.raises(InputError, match="found 305 tokens and [0-9]+ rows"):
        vocab.transplant(tiny_source, target, source_tokenizer=big)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_source_rows_that_are_not_finite(tiny_source, target, value):
    model = load_model(tiny_source)
    with torch.no_grad():
        model.get_input_embeddings().weight[17, 3] = value
    with pytest.raises(InputError, match="NaN or inf; found row 17"):
        vocab.transplant(model, target)


def test_what_is_no_model(target):
    with pytest.raises(InputError, match="this is no model; found int"):
        vocab.transplant(3, target)


def test_rows_written_by_hand(tiny_source, target, tmp_path):
    """From YAML, kept in the graft's mixture, and put on another checkpoint with it."""
    from vocab.transplant.reuse import apply_mixture

    token = next(t for t in vocab.Vocabulary.of(target).forms if len(t) > 3 and t.startswith("▁"))
    (tmp_path / "edits.yaml").write_text(f"{token}: {{▁water: 0.5, ▁tree: 0.5}}\n", encoding="utf-8")
    graft = vocab.transplant(tiny_source, target, method="subwords", edits=tmp_path / "edits.yaml", score=False)
    assert graft.explain(token) == [("▁tree", 0.5), ("▁water", 0.5)]
    assert graft.report["rows"]["by_method"]["edit"] == 1
    other = vocab.transplant(tiny_source, target, method="mean", score=False)
    again = apply_mixture(other.mixture.edit(graft.mixture.edits), tiny_source, target, score=False)
    row = graft.mixture.row_of(token)
    weights = [g.model.get_input_embeddings().weight[row] for g in (graft, again)]
    assert torch.equal(*weights)
    with pytest.raises(InputError, match="no such file of edits"):
        vocab.transplant("nowhere", target, edits=tmp_path / "none.yaml")
