"""`lexigraft transplant ...` as somebody types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from typer.testing import CliRunner

import adapt
from adapt.cli import app
from adapt.tuning.adapters import attach, load_tuned, parameters, save_tuned, shapes
from lexigraft import InputError
from tests.conftest import write_config
from tests.tiny_tokenizers import metaspace
from vocab import factorised
from vocab.mixture import Mixture
from vocab.tokenizer.load import load_tokenizer, wrap
from vocab.transplant.load import load_model

LINES = ["mata kuda wato tree", "walks talked the house of mata", "kuda watoing house mata", "tree wato kuda"] * 5


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Run a command in an empty folder with a text and a tokenizer in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "text.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    metaspace(["▁mata", "▁kuda", "▁wato", "▁tree", "▁house", "s", "▁", *"abcdefhiklmnortuw"]).save_pretrained("new")

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, ["transplant", *map(str, arguments)])
        if isinstance(done.exception, InputError):
            raise done.exception
        assert done.exit_code == code, done.output + repr(done.exception)
        return done.output

    return run


def test_run_apply_explain(call, tiny_source):
    said = call("run", tiny_source, "new", "--text", "text.txt", "--output", "made")
    assert "Before any training" in said and "copy + random" in said and "wrote made" in said
    assert type(load_model("made")).__name__ == "BertForMaskedLM" and len(load_tokenizer("made")) == 29
    with pytest.raises(InputError, match="this folder is there already"):
        call("run", tiny_source, "new", "--output", "made")
    said = call("explain", "made", "▁mata", "--top", "2")
    assert "mixed by focus from" in said and len(said.splitlines()) == 4
    said = call("apply", "made", tiny_source, "--output", "again", "--no-score", "--device", "cpu")
    assert "Before any training" not in said and "Computed on: cpu (torch)" in said
    one, two = (load_model(folder).get_input_embeddings().weight for folder in ("made", "again"))
    assert one.equal(two)
    with pytest.raises(InputError, match="--heldout is text to score on"):
        call("apply", "made", tiny_source, "--output", "third", "--no-score", "--heldout", "text.txt")


def test_a_folder_is_whole_or_not_there(call, tiny_source, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"text\.txt: no folder can be made here"):
        call("run", tiny_source, "new", "--output", "text.txt/made")

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Mixture, "save", stopped)
    before = sorted(tmp_path.iterdir())
    call("run", tiny_source, "new", "--method", "subwords", "--no-score", "--output", "made", code=130)
    assert sorted(tmp_path.iterdir()) == before
    monkeypatch.undo()


def test_a_narrow_embedding_and_back(call, tiny_source):
    """At the rank that ofa was asked for, the smaller model says what the plain one does."""
    vectors = [f"{word} {n % 3 - 1} {n % 5 - 2} 1" for n, word in enumerate(sorted(set(" ".join(LINES).split())))]
    Path("words.vec").write_text("\n".join(vectors) + "\n", encoding="utf-8")
    words = ("--vectors", "words.vec", "--source-vectors", "words.vec")
    call(
        "run", tiny_source, "new", "--method", "ofa", *words, "--option", "ofa.rank=5", "--no-score", "--output", "made"
    )
    said = call("factorise", "made", "--rank", 5, "--output", "narrow")
    assert f"{load_model('made').num_parameters():,} parameters became " in said
    call("factorise", "narrow", "--output", "back")
    one, two, three = load_model("made"), factorised.load("narrow"), load_model("back")
    assert two.get_input_embeddings().coordinates.weight.shape == (29, 5)
    ids = torch.arange(29)[None]
    for model in (two, three):
        assert torch.allclose(model(ids).logits, one(ids).logits, atol=1e-5)
    assert len(load_tokenizer("narrow")) == len(load_tokenizer("back")) == 29
    with pytest.raises(InputError, match="no rank for these embeddings; found 33; expected 1 to 32"):
        call("factorise", "made", "--rank", 33, "--output", "more")
    with pytest.raises(InputError, match="no factorised model here"):
        call("factorise", "made", "--output", "more")


def test_options_of_methods(call, tiny_source):
    options = ("--option", "focus.restore_norm=true", "--option", "focus.match=fuzzy")
    call("run", tiny_source, "new", "--text", "text.txt", "--method", "focus", "--vectors", "counts", *options,
         "--no-score", "--output", "made")  # fmt: skip
    assert Mixture.load("made").rescale.any()
    for option, message in (
        ("focus.restore_nrom=true", "did you mean 'restore_norm'"),
        ("focus=5", "an option names no method; found 'focus'"),
        ("focus.match=", "options of focus: "),
        ("focus.match", "expected key=value"),
    ):
        with pytest.raises(InputError, match=message):
            call("run", tiny_source, "new", "--method", "focus", "--option", option, "--output", "bad")


def test_auto_says_how_long_it_takes(call, tiny_source):
    Path("long.txt").write_text("\n".join(LINES * 200) + "\n", encoding="utf-8")
    said = call("run", tiny_source, "new", "--text", "long.txt", "--method", "auto", "--no-score", "--output", "made")
    assert re.search(r"trying \d methods for \d+ steps each: some \d+ s", said) and "Why this method" in said
    assert json.loads(Path("made/transplant.json").read_text(encoding="utf-8"))["auto"]["by"] == "trial"


def test_a_run_tries_methods(tmp_path, tiny_source, language):
    learning = {"layers": 1, "steps": 4, "batch_tokens": 64, "sequence_length": 16, "heldout_tokens": 300}
    config = write_config(tmp_path / "auto.yaml", tiny_source, language, arms=["adapted"], pretrain__steps=2,
                          transplant={"method": "auto", "device": "cpu", "options": {"auto": learning}},
                          evaluate__tasks={})  # fmt: skip
    run = adapt.run(config)
    report = json.loads((run.folder / "transplant" / "model" / "transplant.json").read_text(encoding="utf-8"))
    events = (run.folder / "events.jsonl").read_text(encoding="utf-8")
    assert report["device"] == "cpu (torch)" and '"device": "cpu (torch)"' in events
    chosen = report["auto"]
    assert chosen["by"] == "trial" and chosen["trial"]["steps"] == 4 and "forecast" not in chosen
    assert "for 4 steps each: some" in events
    with pytest.raises(InputError, match="transplant.options.auto.layer.*unknown key 'layer', did you mean 'layers'"):
        adapt.run(config, overrides={"transplant.options.auto.layer": 2})


def test_a_run_blends_and_edits(tmp_path, tiny_source, language):
    (tmp_path / "edits.yaml").write_text("▁: {▁k: 0.75, ▁b: 0.25}\n", encoding="utf-8")
    given = {"method": "0.7 focus + 0.3 subwords -> mean", "vectors": "counts", "edits": str(tmp_path / "edits.yaml"),
             "options": {"focus": {"restore_norm": True}}}  # fmt: skip
    config = write_config(tmp_path / "blend.yaml", tiny_source, language, arms=["adapted"], pretrain__steps=2,
                          transplant=given, evaluate__tasks={})  # fmt: skip
    mixture = Mixture.load(adapt.run(config).folder / "transplant" / "model")
    assert mixture.methods()["0.7 focus + 0.3 subwords"] > 0 and mixture.rescale.any()
    assert mixture.explain("▁") == [("▁k", 0.75), ("▁b", 0.25)]
    assert mixture.method_of("▁") == "edit" and mixture.edits == {"▁": {"▁k": 0.75, "▁b": 0.25}}


def test_adapters_of_the_body_go_along(call, tiny_source):
    """The vocabulary turned about: the model with its adapters then says the same of the same tokens."""
    model = load_model(tiny_source)
    for name, coupling in (("language", 2), ("task", None)):
        attach(model, name, 4, coupling)
        with torch.no_grad():
            for parameter in parameters(model, name).values():
                parameter.normal_(0, 0.3)
    save_tuned(model, Path("source"))
    old = load_tokenizer(tiny_source)
    old.save_pretrained("source")
    order = np.random.default_rng(0).permutation(len(old))
    state = json.loads(old.backend_tokenizer.to_str())
    place = {int(index): new for new, index in enumerate(order)}
    state["model"]["vocab"] = {token: place[index] for token, index in state["model"]["vocab"].items()}
    for token in state["added_tokens"]:
        token["id"] = place[token["id"]]
    wrap(Tokenizer.from_str(json.dumps(state)), **old.special_tokens_map).save_pretrained("turned")
    said = call("run", "source", "turned", "--method", "copy", "--output", "made")
    assert "adapters go along as they are (language, task)" in said
    ids = torch.arange(10, 22)[None]
    with torch.no_grad():
        expected, plain = (load(Path("source"))(input_ids=ids).logits[..., order] for load in (load_tuned, load_model))
        found = load_tuned("made")(input_ids=torch.tensor([[place[int(i)] for i in ids[0]]])).logits
    assert torch.allclose(found, expected, atol=1e-5) and not torch.allclose(found, plain, atol=1e-2)
    assert shapes(load_tuned("made")) == shapes(model)


def test_check(call, tiny_source):
    call("run", tiny_source, "new", "--method", "mean", "--output", "made")
    said = call("check", "made", code=1)
    assert "rows without evidence: rows made by mean" in said and "\n  put a method before it" in said
    found = [json.loads(line) for line in call("check", "made", "--json", code=1).splitlines()]
    assert "duplicate rows" in {finding["name"] for finding in found} and all(finding["advice"] for finding in found)


def test_forecast(call, tiny_source):
    tokens = [t for t in load_tokenizer(tiny_source).get_vocab() if t.isalpha()]
    metaspace([*(f"▁{t}" for t in tokens), "▁mata", *"abcdefghiklmnorstuwy"]).save_pretrained("close")
    said = call(
        "forecast",
        tiny_source,
        "close",
        "--method",
        "default",
        "--method",
        "mean",
        "--share",
        "0.5",
        "--output",
        "t.csv",
    )
    assert "hidden tokens a draw, 3 draws" in said and "default" in said
    table = open("t.csv", encoding="utf-8").read().splitlines()
    assert table[0].startswith("method,cosine,cosine_low") and len(table) == 3
