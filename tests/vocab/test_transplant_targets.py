"""One call for every target: a new tokenizer, an extended one, a trimmed one, the source's own; and bad tokenizers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.tokenizer.load import load_tokenizer, wrap
from vocab.transplant.load import load_model

LINES = ["mata kuda wato tree", "walks talked the house of mata", "kuda watoing house mata", "tree wato kuda"] * 5


def rows(model):
    return model.get_input_embeddings().weight.detach()


def same_scores(one, first, two, second, text):
    """The same text gives the same hidden states under both."""
    with torch.no_grad():
        a, b = (
            m(**t(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-1]
            for m, t in ((one, first), (two, second))
        )
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def test_the_sources_own_tokenizer_changes_nothing(tiny_source, tmp_path):
    graft = vocab.transplant(tiny_source, tiny_source, texts=LINES)
    assert graft.report["rows"]["by_method"].keys() == {"special", "copy"}
    loaded, model = load_model(graft.save(tmp_path / "made")), load_model(tiny_source)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_an_extended_tokenizer(tiny_source, tmp_path):
    from vocab.tokenizer.extend import extend

    old = load_tokenizer(tiny_source)
    new = extend(tiny_source, ["gidanmu gidanku gidansu"] * 20, 3).tokenizer
    graft = vocab.transplant(tiny_source, new, texts=LINES)
    assert torch.equal(rows(graft.model)[: len(old)], rows(load_model(tiny_source))), "what it had keeps id and row"
    added = [graft.mixture.method_of(i) for i in range(len(old), len(new))]
    assert added and not {"special", "copy", "random"} & set(added)
    assert same_scores(load_model(tiny_source), old, graft.model, graft.tokenizer, "the house of walks")


def test_a_trimmed_tokenizer(tiny_source, tmp_path):
    from vocab.tokenizer.trim import trim

    old = load_tokenizer(tiny_source)
    new = trim(tiny_source, LINES).tokenizer
    graft = vocab.transplant(tiny_source, new)
    assert len(new) < len(old) and graft.report["rows"]["copied"] == len(new)
    assert same_scores(load_model(tiny_source), old, graft.model, graft.tokenizer, "walks talked the house")
    loaded = load_model(graft.save(tmp_path / "made"))
    assert same_scores(loaded, load_tokenizer(tmp_path / "made"), graft.model, graft.tokenizer, "kuda mata")


def test_no_shared_token_at_all(tiny_source):
    target = metaspace(["▁мата", "▁куда", "м", "а"])
    graft = vocab.transplant(tiny_source, target, texts=["мата куда"] * 5)
    assert graft.report["overlap"]["tokens"] == 0 and graft.report["rows"]["by_method"]["special"] == 5
    assert any("needs shared tokens" in note and "fall back" in note for note in graft.report["notes"])
    assert rows(graft.model).isfinite().all() and "Shared with the source: 0 tokens" in graft.markdown
    graft = vocab.transplant(tiny_source, target, method="dictionary", dictionary=[("tree", "мата"), ("house", "куда")])
    assert graft.explain("▁мата") == [("▁tree", 1.0)]
    vectors, old = np.eye(9)[:, 5:], np.eye(len(vocab.Vocabulary.of(str(tiny_source))), 4, -50)
    graft = vocab.transplant(tiny_source, target, method="wechsel -> mean", vectors=vectors, source_vectors=old)
    assert graft.report["rows"]["by_method"]["wechsel"] > 0


def with_json(tokenizer, change):
    """The same tokenizer after a change of its JSON."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    change(state)
    return wrap(Tokenizer.from_str(json.dumps(state)))


def test_gaps_in_the_ids_of_the_target(tiny_source, tmp_path):
    tokenizer = load_tokenizer(tiny_source)

    used = tokenizer.tokenize("tree mata")

    def drop(state):
        words = state["model"]["vocab"]
        for token in [t for t in words if t.startswith("##") and t not in used][:5]:
            del words[token]

    target = with_json(tokenizer, drop)
    view = vocab.Vocabulary.of(target)
    gaps = np.flatnonzero(view.kind == vocab.view.Kind.GAP)
    assert len(gaps) == 5
    graft = vocab.transplant(tiny_source, target, texts=LINES)
    loaded = load_model(graft.save(tmp_path / "made"))
    assert len(rows(loaded)) == len(view) and rows(loaded).isfinite().all()
    assert same_scores(load_model(tiny_source), tokenizer, loaded, target, "tree mata")
    assert vocab.transplant(tmp_path / "made", tiny_source).report["rows"]["total"] == len(tokenizer), (
        "gaps in the source"
    )


def test_two_tokens_with_one_id_are_refused(tiny_source, tmp_path):
    def double(state):
        words = state["model"]["vocab"]
        words["[extra]"] = words["tree"]

    with pytest.raises(InputError, match=r"two tokens of .* share the id .*; found '\[extra\]' and 'tree'"):
        vocab.transplant(tiny_source, with_json(load_tokenizer(tiny_source), double))
    state = json.loads(load_tokenizer(tiny_source).backend_tokenizer.to_str())
    double(state)
    folder = shutil.copytree(tiny_source, tmp_path / "source")
    (folder / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="share the id"):
        vocab.transplant(folder, metaspace(["a"]))


def test_more_than_one_unknown_token(tiny_source):
    """The role decides: the source's goes to what the target uses as such; the other is a special of its own."""
    backend = metaspace(["<unk>", "▁mata", "[UNK]", "m", "a"], ["<unk>", "[UNK]"]).backend_tokenizer
    target = wrap(backend, unk_token="<unk>")
    graft = vocab.transplant(tiny_source, target, method="subwords")
    old = load_tokenizer(tiny_source)
    assert graft.explain("<unk>") == [("[UNK]", 1.0)]
    assert torch.equal(rows(graft.model)[0], rows(load_model(tiny_source))[old.unk_token_id])
    assert rows(graft.model).isfinite().all() and graft.mixture.method_of("[UNK]") in {"special", "mean"}


def test_an_added_token_that_repeats_a_piece(tiny_source, tmp_path):
    target = metaspace(["▁mata", "▁kuda", *"mataku"[:1], "▁"])
    size = len(target)
    target.add_tokens([AddedToken("▁mata", normalized=False), AddedToken("kuda", normalized=False)])
    graft = vocab.transplant(tiny_source, target, texts=LINES)
    assert len(rows(graft.model)) == len(target) == size + 1, "▁mata keeps its id, kuda is new"
    loaded = load_tokenizer(graft.save(tmp_path / "made"))
    assert loaded.get_vocab() == target.get_vocab()
    assert len(rows(load_model(tmp_path / "made"))) == len(loaded)


def test_an_added_token_of_the_source_that_repeats_a_piece(tiny_source, tmp_path):
    folder = shutil.copytree(tiny_source, tmp_path / "source")
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(["tree"])
    tokenizer.save_pretrained(folder)
    graft = vocab.transplant(folder, metaspace(["▁tree", "t", "r", "e"]), method="subwords")
    assert graft.explain("▁tree") == [("tree", 1.0)], "an added token stands anywhere, so it has no word mark"
    assert torch.equal(rows(graft.model)[5], rows(load_model(folder))[tokenizer.convert_tokens_to_ids("tree")])
