"""The `lexigraft` command as somebody types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest
import yaml

from adapt.cli import run_app
from tests.conftest import ROOT, write_config


@pytest.fixture
def here(tmp_path):
    """Run commands with the checkout importable from another folder."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "adapt.cli", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)

    return call


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Run commands in this process, which has imported all that they need: a dozen are no dozen starts of Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process ends as it ever did
    for name in ("TRANSFORMERS_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "error" if name.endswith("VERBOSITY") else "1"))

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = ["lexigraft", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err, pytest.raises(SystemExit) as end:
            run_app()
        return subprocess.CompletedProcess(words, end.value.code or 0, out.getvalue(), err.getvalue())

    return call


def test_init_says_what_it_found_and_writes_a_short_yaml(here, tmp_path, language, tiny_source):
    shutil.copytree(language, tmp_path / "data")
    done = here(
        "init", "mul", "--text", "data/text.txt", "--pos", "data/pos", "--ner", "data/ner",
        "--sentiment", "data/sentiment", "--model", tiny_source, "pretrain.steps=3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "600 lines" in done.stdout and "120" in done.stdout
    settings = yaml.safe_load((tmp_path / "mul.yaml").read_text())
    assert settings["pretrain"]["steps"] == 3
    again = here("init", "mul", "--text", "data/text.txt", "--model", tiny_source)
    assert again.returncode == 2 and "there already" in again.stderr


def test_init_without_overrides_writes_ten_or_so_commented_lines(here, tmp_path, language, tiny_source):
    done = here("init", "mul", "--text", language / "text.txt", "--pos", language / "pos", "--model", tiny_source)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "mul.yaml").read_text()
    assert 8 <= len(text.splitlines()) <= 16 and text.count("#") >= 5
    shown = here("run", "mul.yaml", "--show")
    assert shown.returncode == 0 and yaml.safe_load(shown.stdout)["language"] == "mul"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "none.yaml"], "no such configuration file"),
        (["init", "hau", "--text", "none.txt", "--model", "m"], "none.txt"),
        (["status", "nowhere"], "not a run folder"),
        (["predict", "nowhere", "ner", "x.txt"], "not a run folder"),
        (["predict", "nowhere", "nerr", "x.txt"], "did you mean 'ner'"),
        (["demo", "demo.ful=true"], "demo.full=true"),
    ],
)
def test_mistakes_are_told_in_one_line(inside, arguments, said):
    done = inside(*arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_lists(inside):
    for command, expected in (
        ("methods", "focus"),
        ("tasks", "sentiment"),
        ("tunings", "lora"),
        ("watchers", "early-stop"),
        ("criteria", "bm25"),
        ("metrics", "fertility"),
    ):
        done = inside(command)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        if command == "methods":
            lines = [line.strip() for line in done.stdout.splitlines()]
            assert "formula E_t[t] = E_s[t] for t in O" in lines
            assert "options neighbours=10, temperature=0.1, rank=None" in lines


def test_doctor(here):
    done = here("doctor")
    assert done.returncode == 0, done.stdout
    assert "torch" in done.stdout and "processors" in done.stdout


def test_run_status_predict_export(here, tmp_path, finished_run):
    shown = here("status", finished_run.folder)
    assert shown.returncode == 0 and "finished" in shown.stdout and "pretrain/adapted" in shown.stdout
    text = tmp_path / "new.txt"
    text.write_text("maba kuda wati.\nmaba\n", encoding="utf-8")
    for task in ("pos", "ner"):
        done = here("predict", finished_run.folder, task, text)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0, done.stderr
        assert [len(row["tokens"]) for row in rows] == [4, 1]
        assert all(len(row["tokens"]) == len(row["labels"]) for row in rows)
    done = here("predict", finished_run.folder, "sentiment", text)
    assert {json.loads(line)["label"] for line in done.stdout.splitlines()} <= {"positive", "negative"}
    assert here("export", finished_run.folder, tmp_path / "plain").returncode == 0
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "plain")
    assert model.get_input_embeddings().num_embeddings == len(AutoTokenizer.from_pretrained(tmp_path / "plain"))


def test_batch_goes_on_after_a_failure_and_says_so(here, tmp_path, tiny_source, language):
    good = write_config(tmp_path / "good.yaml", tiny_source, language, arms=["source"], evaluate={"lm_words": 10})
    bad = write_config(tmp_path / "bad.yaml", tmp_path / "no-model", language)
    done = here("batch", bad, good, "seed=1")
    assert done.returncode == 1
    assert "bad.yaml (exit code 2)" in done.stdout and "good.yaml" in done.stdout


def test_tokenizer_commands(here, inside, tmp_path, tiny_source, language):
    text = language / "text.txt"
    trained = here("tokenizer", "train", "--text", text, "--like", tiny_source, "--vocab-size", 150, "--output", "new")
    assert trained.returncode == 0 and "150 pieces" in trained.stdout, trained.stderr
    compared = inside(
        "tokenizer", "compare", f"old={tiny_source}", "new", "--text", text, "--output", "table.csv",
        "--also", "bits_per_byte", "--train", text, "--updates", 2,
    )  # fmt: skip
    assert compared.returncode == 0 and "fertility" in compared.stdout, compared.stderr
    assert compared.stdout.index("bits_per_byte, all tokenizers: about ") < compared.stdout.index("of 6 updates")
    table = (tmp_path / "table.csv").read_text()
    assert "fertility,new," in table and "bits_per_byte,new," in table
    extended = inside("tokenizer", "extend", tiny_source, "--text", text, "--pieces", 20, "--output", "more")
    assert extended.returncode == 0 and "wrote more" in extended.stdout, extended.stderr
    trimmed = inside("tokenizer", "trim", tiny_source, "--text", text, "--output", "less")
    assert trimmed.returncode == 0 and "before: " in trimmed.stdout, trimmed.stderr
    assert inside("tokenizer", "check", "new", "--text", text).returncode == 0
    assert inside("tokenizer", "train", "--text", text, "--output", "new").returncode == 2


def test_words_of_a_tokenizer(inside, tmp_path, tiny_source, language):
    """The clinic's marks become pieces; what changed is listed; the tokenizer is written in another form."""
    text = language / "text.txt"
    made = inside("tokenizer", "clinic", tiny_source, "--text", text, "--output", "marks.tsv", "--count", 5)
    assert made.returncode == 0 and "5 words" in made.stdout, made.stderr
    table = (tmp_path / "marks.tsv").read_text()
    word = table.splitlines()[2].split("\t")[0]
    (tmp_path / "marks.tsv").write_text(table.replace(f"\n{word}\t\t", f"\n{word}\t=\t"))
    more = inside(
        "tokenizer", "extend", tiny_source, "--text", text, "--pieces", 20, "--marks", "marks.tsv", "--output", "more"
    )
    assert more.returncode == 0, more.stderr
    changed = inside("tokenizer", "changes", tiny_source, "more", "--text", text, "--count", 500)
    assert changed.returncode == 0 and f" {word}  " in changed.stdout and f"→ ▁{word} " in changed.stdout
    parallel = f"x={text},{text}"
    compared = inside(
        "tokenizer", "compare", f"old={tiny_source}", "more", "--text", text, "--parallel", parallel, "--slice",
        f"news={text}", "--spellings", "--output", "table.md", "--pictures", "pictures",
    )  # fmt: skip
    assert compared.returncode == 0 and "parity" in compared.stdout, compared.stderr
    assert "### news\n\n| metric |" in (tmp_path / "table.md").read_text()
    assert "no line is with diacritics" in compared.stdout and (tmp_path / "pictures/news/ranks.png").is_file()
    twice = inside("tokenizer", "compare", "more", "--text", text, "--slice", f"a={text}", "--slice", f"a={text}")
    assert twice.returncode == 2 and "two parts of the text have the same name" in twice.stderr
    written = inside("tokenizer", "convert", "more", "more.json", "--text", text)
    assert written.returncode == 0 and "lines different: 0" in written.stdout
    assert inside("tokenizer", "convert", "more", "more.model").returncode == 2


def test_transplant_commands(inside, tmp_path, tiny_source, language, finished_run):
    target = finished_run.folder / "tokenizer"
    done = inside("transplant", "run", tiny_source, target, "--text", language / "text.txt", "--output", "graft")
    assert done.returncode == 0 and "Vocabulary transplant" in done.stdout, done.stderr
    told = inside("transplant", "explain", "graft", "[CLS]")
    assert told.returncode == 0 and "1.0000  [CLS]" in told.stdout, told.stderr
    nearly = inside("transplant", "run", tiny_source, target, "--method", "focus -> subword", "--output", "x")
    assert nearly.returncode == 2 and "subwords" in nearly.stderr
