"""The report of a hand-made run: numbers worked out by hand, nothing from outside, whatever is missing left out."""

import csv
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from adapt.evaluate.job import write_seed
from adapt.report import build, table_text
from adapt.report.gains import model_size
from adapt.report.read import columns_of
from lexigraft import InputError

CONFIG = SimpleNamespace(language="xx", source=SimpleNamespace(model="org/<b>base</b>"))


def seed(run, arm, task, number, main, value, records, mode="probe", **more):
    scores = {"task": task, "arm": arm, "seed": number, "mode": mode, "main": main, "metrics": {main: value}}
    counts = {"n_train": 10, "n_dev": 2, "n_test": len(records), "label_counts": {"A": 1, "B": 3}, **more}
    write_seed(run / "evaluate" / arm / task / f"seed-{number}", {**scores, **counts}, records)


def classes(right):
    """60 texts, `right` of each 10 right: accuracy and macro F1 are right / 10 (balanced classes, balanced errors)."""
    gold = ["A", "B"] * 30
    other = {"A": "B", "B": "A"}
    return [{"gold": g, "predicted": g if (i // 2) % 10 < right else other[g]} for i, g in enumerate(gold)]


def words(run, arm, bits, status=None, main="pseudo_bits_per_character"):
    n = len(bits)
    line = np.arange(n) // 2

    def fill(folder):
        np.savez(
            folder / "words.npz",
            bits=np.array(bits, float),
            pieces=np.ones(n, int),
            status=np.array(status or ["ok"] * n),
            line=line,
            start=np.arange(n),
            end=np.arange(n) + 2,
            characters=np.full(n, 2),
        )

    scores = {"task": "lm", "arm": arm, "seed": 0, "mode": "words", "main": main, "metrics": {main: 1.0}, "n_test": n}
    write_seed(run / "evaluate" / arm / "lm" / "seed-0", scores, fill=fill)


@pytest.fixture
def run(tmp_path):
    return make(tmp_path / "xx-default-000000")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A run with its report, for tests that only look."""
    run = make(tmp_path_factory.mktemp("built") / "xx-default-000000")
    (run / "README.md").write_text(build(run, CONFIG, {}))
    return run


def make(run):
    for arm, right in (("source", 5), ("keep", 8), ("adapted", 8)):
        for number in (0, 1):
            seed(
                run,
                arm,
                "sentiment",
                number,
                "macro_f1",
                right / 10,
                classes(right),
                leaked=3,
                file_test=60,
                dev="given",
            )
    seed(run, "floors", "sentiment/majority", 0, "macro_f1", 1 / 3, classes(0), mode="floor", note="majority class")
    bare = {"task": "lm", "arm": "source", "seed": 0, "main": None, "metrics": {}, "note": "no language-modelling head"}
    write_seed(run / "evaluate/source/lm/seed-0", bare)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 200)
    words(run, "keep", 6 + noise, ["unk"] * 4 + ["ok"] * 196)
    words(run, "adapted", 4 + noise, ["ok"] * 195 + ["altered"] * 5)
    (run / "tokenizer").mkdir()
    facts = {"vocab_size": 100, "source_vocab_size": 400, "fertility": {"source": 2.0, "target": 1.5}}
    (run / "tokenizer/facts.json").write_text(json.dumps(facts))
    for arm, characters in (("keep", 1000), ("adapted", 1500)):
        folder = run / "pretrain" / arm
        folder.mkdir(parents=True)
        facts = {"steps": 3, "seconds": 10.0, "tokens": 500, "characters": characters}
        (folder / "facts.json").write_text(json.dumps(facts))
        log = [{"step": s, "loss": 5 - s, "seconds": 3.0 * s, "heldout_loss": 5 - s} for s in (1, 2, 3)]
        (folder / "log.jsonl").write_text("\n".join(map(json.dumps, log)) + '\n{"step": 4, "lo')
    return run


def table(run):
    return json.loads((run / "report/table.json").read_text())


def cells(found, arm):
    return next(row["cells"] for row in found["rows"] if row["arm"] == arm)


def test_numbers_by_hand(built):
    run = built
    found = table(run)
    assert found["columns"] == ["sentiment", "lm"]
    assert [row["arm"] for row in found["rows"]] == ["source", "keep", "adapted", "floor-majority"]
    assert cells(found, "source")["sentiment"]["mean"] == pytest.approx(50)
    assert cells(found, "adapted")["sentiment"]["mean"] == pytest.approx(80)
    assert cells(found, "adapted")["sentiment"]["seeds"] == [0, 1]
    # 9 words of 200 are left out for both arms; the others need about 4 and 6 bits for 2 characters
    assert cells(found, "adapted")["lm"]["mean"] == pytest.approx(2, abs=0.02)
    assert cells(found, "keep")["lm"]["mean"] == pytest.approx(3, abs=0.02)
    assert cells(found, "keep")["lm"]["mean"] - cells(found, "adapted")["lm"]["mean"] == pytest.approx(1)
    assert cells(found, "source")["lm"]["mean"] is None
    assert cells(found, "source")["lm"]["note"] == "no language-modelling head"
    assert any("9 (4.5 %) are left out for all" in note for note in found["notes"])
    assert any("3 of 60 test items are also in the training file" in note for note in found["notes"])


def test_noise_is_called_noise(built):
    run = built
    found = table(run)
    verdicts = {(v["task"], v["a"], v["b"]): v for v in found["verdicts"]}
    assert verdicts["sentiment", "adapted", "keep"]["verdict"] == "not distinguishable"
    assert "may be noise" in verdicts["sentiment", "adapted", "keep"]["text"]
    assert verdicts["sentiment", "adapted", "source"]["verdict"] == "ahead"
    assert verdicts["sentiment", "adapted", "floor-majority"]["verdict"] == "ahead"
    assert verdicts["lm", "adapted", "keep"]["verdict"] == "ahead"
    assert verdicts["lm", "adapted", "keep"]["difference"] < 0
    best = [row["arm"] for row in found["rows"] if row["cells"].get("sentiment", {}).get("best")]
    tied = [row["arm"] for row in found["rows"] if row["cells"].get("sentiment", {}).get("tied")]
    assert sorted(best + tied) == ["adapted", "keep"]


def test_gains_before_and_after(built):
    run = built
    gains = {g["what"]: g for g in table(run)["gains"]}
    assert (gains["Pieces per word"]["before"], gains["Pieces per word"]["after"]) == (2.0, 1.5)
    assert gains["Pieces per word"]["text"].startswith("25 % fewer")
    assert (gains["Vocabulary"]["before"], gains["Vocabulary"]["after"]) == (400, 100)
    assert (gains["Text read while training"]["before"], gains["Text read while training"]["after"]) == (100, 150)
    assert gains["Sentiment"]["after"] == pytest.approx(80)
    assert not gains["Sentiment"]["noise"]


def test_csv_has_every_seed_and_the_mean(built):
    run = built
    rows = list(csv.DictReader((run / "report/scores.csv").open()))
    assert list(rows[0]) == "arm task metric unit better seed value low high n mode note".split()
    mine = [r for r in rows if r["arm"] == "adapted" and r["task"] == "sentiment"]
    assert [r["seed"] for r in mine] == ["0", "1", "mean"]
    assert float(mine[-1]["value"]) == pytest.approx(80)
    assert float(mine[-1]["low"]) < 80 < float(mine[-1]["high"])
    assert {r["n"] for r in rows if r["task"] == "lm" and r["arm"] == "keep"} == {"191"}


def test_page_is_one_file_and_escapes_what_it_shows(built):
    run = built
    page = (run / "report/report.html").read_text()
    assert not re.search(r"""(?:src|href|srcset)=["'](?!data:)""", page)
    assert "url(" not in page
    assert "<script" not in page
    assert "@import" not in page
    assert "<b>base</b>" not in page
    assert "&lt;b&gt;base&lt;/b&gt;" in page
    assert page.count("<figure>") == 4
    assert "prefers-color-scheme: dark" in page
    assert sorted(p.name for p in (run / "report").glob("*.png")) == [
        "labels.png",
        "learning_curves.png",
        "pieces.png",
        "scores.png",
    ]


def test_same_run_same_bytes(built, tmp_path):
    build(built, CONFIG, {}, tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (built / "report" / file.name).read_bytes(), file.name


def test_pseudo_bits_never_share_a_column_with_bits(run):
    words(run, "decoder", np.full(200, 4.0), main="bits_per_character")
    build(run, CONFIG, {})
    found = table(run)
    assert found["units"]["lm"] == "pseudo-bits per character"
    assert found["units"]["lm-bits"] == "bits per character"
    assert "lm-bits" not in cells(found, "adapted")
    assert "lm" not in cells(found, "decoder")
    assert not any({v["a"], v["b"]} == {"adapted", "decoder"} for v in found["verdicts"])


def test_arms_scored_on_other_words_are_refused(run):
    words(run, "other", np.full(100, 4.0))
    with pytest.raises(ValueError, match="other words"):
        columns_of(run)


def test_card(built):
    card = (built / "README.md").read_text()
    front = card.split("---")[1]
    assert "base_model: org/<b>base</b>" in front
    assert "pipeline_tag: fill-mask" in front
    assert 'from_pretrained("xx-default-000000/model")' in card
    assert "| adapted | ≈ 80.0" in card or "| adapted | **80.0**" in card
    assert "## Licence" in card


def test_terminal(built):
    run = built
    out = io.StringIO()
    Console(file=out, width=140).print(table_text(run))
    text = out.getvalue()
    assert "no language-modelling head" in text
    assert "What was gained" in text
    assert "not distinguishable" in text


def test_whatever_is_missing_is_left_out(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    card = build(empty, SimpleNamespace(), {})
    assert "Nothing was measured" in card
    assert table(empty)["columns"] == []
    with pytest.raises(InputError, match="no report yet"):
        table_text(tmp_path / "nothing")


def test_model_size_reads_headers_only(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float32)}, str(tmp_path / "model.safetensors"))
    parameters, size = model_size(tmp_path)
    assert parameters == 17
    assert size == (tmp_path / "model.safetensors").stat().st_size
    assert model_size(Path(tmp_path / "none")) is None
