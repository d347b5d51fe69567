"""`lexigraft transplant ...` as somebody types it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from adapt.cli import app
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.tokenizer.load import load_tokenizer
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
    said = call("apply", "made", tiny_source, "--output", "again", "--no-score")
    assert "Before any training" not in said
    one, two = (load_model(folder).get_input_embeddings().weight for folder in ("made", "again"))
    assert one.equal(two)
    with pytest.raises(InputError, match="--heldout is text to score on"):
        call("apply", "made", tiny_source, "--output", "third", "--no-score", "--heldout", "text.txt")


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
