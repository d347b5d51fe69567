"""What a run's YAML says of the tokenizer reaches it; the command line saves what was found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from adapt.cli import app
from adapt.config import RunConfig, Tokenizer, load
from adapt.events import Events
from adapt.graph import Context
from adapt.pretrain.tokens import tokenise
from adapt.stages.tokenizer import stage, work
from lexigraft import InputError
from tests.conftest import write_config
from vocab.tokenizer.load import load_tokenizer
from vocab.tokenizer.options import BuildOptions
from vocab.tokenizer.sampling import drawn


def built(folder: Path, source: Path, language: Path, **options) -> tuple[Path, dict]:
    """Run the tokenizer stage alone."""
    config = load(write_config(folder / "run.yaml", source, language, tokenizer=options))
    run = folder / "run"
    (run / "corpus").mkdir(parents=True)
    (run / "tokenizer").mkdir()
    text = (language / "text.txt").read_text(encoding="utf-8")
    for name in ("train.txt", "heldout.txt"):
        (run / "corpus" / name).write_text(text, encoding="utf-8")
    reports: list[float] = []
    context = Context(config, run, source, Events(run / "events.jsonl"))
    facts = work(context, run / "tokenizer", lambda done, total, _: reports.append(done / total))
    assert reports == sorted(reports) and reports[-1] == 1.0
    return run / "tokenizer", facts


def test_options_and_further_languages(tmp_path: Path, tiny_source, language):
    other = tmp_path / "other.txt"
    other.write_text("qi qo qu\n" * 40, encoding="utf-8")
    settings = {"algorithm": "bpe", "vocab_size": 150, "others": ["other.txt"], "alpha": 0.5, "words": ["qiqo"]}
    folder, facts = built(tmp_path, tiny_source, language, **settings, dropout=0.5)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert "▁qiqo" in tokenizer.get_vocab() and len(tokenizer) == 150
    assert facts["weights"]["mul"] == 1.0 and facts["weights"][str(other)] > 1.5
    config = load(tmp_path / "run.yaml")
    assert other in stage(config, tiny_source).files
    plain = load_tokenizer(folder)
    before = tokenise(other, plain, tmp_path / "plain")
    several = [tokenise(other, drawn(plain, seed), tmp_path / str(n)).ids for n, seed in enumerate((0, 0, 1))]
    assert all(len(ids) > len(before.ids) for ids in several)
    assert np.array_equal(several[0], several[1]) and not np.array_equal(several[0], several[2])
    again = tokenise(other, drawn(plain, 1), tmp_path / "0")  # the folder holds what another seed drew
    assert np.array_equal(again.ids, several[2])


def test_marks_of_a_speaker(tmp_path: Path, tiny_source, language):
    """They reach the vocabulary from the YAML, and a changed table means the stage again."""
    marks = tmp_path / "marks.tsv"
    marks.write_text("word\tmark\nqiqo\t=\nququmi\tququ|mi\n", encoding="utf-8")
    folder, _ = built(tmp_path, tiny_source, language, algorithm="bpe", vocab_size=150, marks="marks.tsv")
    assert {"▁qiqo", "▁ququ", "mi"} <= AutoTokenizer.from_pretrained(folder).get_vocab().keys()
    assert marks in stage(load(tmp_path / "run.yaml"), tiny_source).files


def test_a_size_is_chosen_and_the_curve_is_kept(tmp_path: Path, tiny_source, language):
    folder, facts = built(tmp_path, tiny_source, language, algorithm="bpe", vocab_size="auto")
    assert facts["curve"] == json.loads((folder / "facts.json").read_text())["curve"]
    assert facts["vocab_size"] in [point["size"] for point in facts["curve"]]


def test_every_option_of_training_is_in_the_configuration():
    assert BuildOptions.model_fields.keys() <= Tokenizer.model_fields.keys()
    assert Tokenizer().build_options() == BuildOptions(vocab_size=16_000).model_dump()
    assert Tokenizer(vocab_size="30_000").vocab_size == 30_000
    shown = RunConfig.model_json_schema()["$defs"]["Tokenizer"]["properties"]
    assert shown["vocab_size"] | {"description": ""} == {
        "type": "string", "pattern": "^(auto|[1-9][0-9_]*)$", "default": "16000", "title": "Vocab Size",
        "description": "",
    }  # fmt: skip
    assert {"unigram", "supertokens", "byte"} <= set(shown["algorithm"]["enum"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "unigramm"}, "`tokenizer.algorithm`: unknown algorithm 'unigramm'; did you mean 'unigram'"),
        ({"vocab_size": "big"}, "`tokenizer.vocab_size`: found 'big', expected how many pieces, or auto"),
        ({"split_digit": True}, "did you mean 'split_digits'"),
    ],
)
def test_mistakes_are_named(settings, message, tmp_path: Path, tiny_source, language):
    with pytest.raises(InputError, match=message):
        load(write_config(tmp_path / "run.yaml", tiny_source, language, tokenizer=settings))


def test_command_line(tmp_path: Path, language, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dirty = tmp_path / "dirty.txt"
    dirty.write_text("qi\u200bqo\n" * 30, encoding="utf-8")
    text, run = str(language / "text.txt"), CliRunner().invoke
    command = ["tokenizer", "train", "--text", text, "--algorithm", "bpe", "--output"]
    done = run(app, [*command, "one", "--others", str(dirty), "--vocab-size", "140", "split_digits=true", "alpha=1"])
    assert done.exit_code == 0 and "140 pieces" in done.output, done.output
    assert "notice: 30 invisible characters (U+200B)" in done.output
    facts = json.loads((tmp_path / "one" / "facts.json").read_text())
    assert set(facts["weights"].values()) == {1.0} and facts["algorithm"] == "bpe"
    (tmp_path / "marks.tsv").write_text("qiqo\t=\n", encoding="utf-8")
    marked = run(app, [*command, "marked", "--vocab-size", "140", "--marks", "marks.tsv"])
    assert marked.exit_code == 0 and "▁qiqo" in load_tokenizer(tmp_path / "marked").get_vocab(), marked.output
    auto = run(app, [*command, "two", "--vocab-size", "auto"])
    assert auto.exit_code == 0 and "bits a character" in auto.output, auto.output
    listed = run(app, ["tokenizer", "algorithms"])
    assert "supertokens: BPE in two stages" in listed.output and "character_coverage: Share of" in listed.output


def test_what_is_typed_wrongly(tmp_path: Path, language: Path):
    """Said in a sentence, before any text is read or lost; nothing is written."""
    text, new = str(language / "text.txt"), str(tmp_path / "new")
    train = ["tokenizer", "train", "--text", text, "--output", new]
    compare = ["tokenizer", "compare", f"one={tmp_path}", "--text", text]
    for arguments, message in (
        ([*train, "vocab_size=100"], "no setting; found vocab_size"),
        ([*train, "progress=1"], "no setting; found progress"),
        ([*train, "--others", text], "have the same name"),
        ([*compare, "--words", str(tmp_path / "words.txt")], "no such text file"),
    ):
        with pytest.raises(InputError, match=message):
            CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not Path(new).exists()
