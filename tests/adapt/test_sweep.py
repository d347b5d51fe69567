"""Sweeps: the product of the axes, what runs share, one table paired by axis, stopped and gone on with."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from adapt import sweep as sweeps
from adapt.cli import app
from adapt.pipeline import Run
from lexigraft import InputError
from tests.conftest import write_config

AXES = ["corpus.max_characters=6e3,12e3", "pretrain.tuning=full,embeddings"]


@pytest.fixture
def config(tmp_path, tiny_source, language):
    pos = {part: str(language / "pos" / f"{part}.txt") for part in ("train", "dev", "test")}
    return write_config(tmp_path / "small.yaml", tiny_source, language, arms=["source", "keep"], pretrain__steps=4,
                        pretrain__lr=1e-2, evaluate__tasks={"pos": pos}, evaluate__seeds=[0], evaluate__lm_words=20,
                        evaluate__max_train=40, evaluate__max_test=20)  # fmt: skip


def test_axes_make_their_product_and_lists_stay_lists(config):
    points = sweeps.points_of(config, [*AXES, "evaluate.seeds=[0,1]", "pretrain.lr=3e-4"])
    assert [point.name for point in points] == [
        f"max_characters={size}, tuning={tuning}" for size in ("6e3", "12e3") for tuning in ("full", "embeddings")
    ]
    assert [(p.config.corpus.max_characters, p.config.pretrain.tuning) for p in points][1:3] == [
        (6000, "embeddings"), (12_000, "full")
    ]  # fmt: skip
    assert {(*p.config.evaluate.seeds, p.config.pretrain.lr) for p in points} == {(0, 1, 3e-4)}
    lists = sweeps.points_of(config, ["arms=[source],[source, keep]", "transplant.method=copy,focus -> mean"])
    assert [point.name for point in lists][:2] == ["arms=[source], method=copy", "arms=[source], method=focus -> mean"]


@pytest.mark.parametrize(("settings", "said"), [
    (["pretrain.steps=4"], "nothing to sweep over"),
    (["pretrain.steps=4,4.0"], "two runs of the sweep are the same"),
    (["pretrain.stepz=4,5"], "did you mean 'steps'"),
    (["pretrain.steps=4,[5"], "cannot read these values"),
])  # fmt: skip
def test_what_makes_no_sweep_is_refused_before_anything_runs(config, settings, said):
    with pytest.raises(InputError, match=said):
        sweeps.points_of(config, settings)
    assert not (config.parent / "runs").exists()


def test_a_sweep_is_stopped_goes_on_and_ends_in_one_table(config, monkeypatch):
    def stopped(settings, **more):
        if settings.pretrain.tuning == "embeddings":
            raise KeyboardInterrupt
        return real(settings, **more)

    real, ran = sweeps.run, []
    points = sweeps.points_of(config, AXES)
    folder = sweeps.folder_for(points)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sweeps, "run", stopped)
        sweeps.sweep(points)
    assert len(pd.read_csv(folder / "table.csv")) == 2 and "- max_characters=12e3, tuning=full: new" in (
        folder / "table.md").read_text()  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(sweeps, "run", lambda settings, **more: ran.append(settings) or real(settings, **more))
        assert sweeps.sweep(points) == {}
    assert len(ran) == 4 and all(Run(point.folder).status == "finished" for point in points)

    table = pd.read_csv(folder / "table.csv", dtype={"corpus.max_characters": str})
    assert len(table) == 8 and list(table.columns[:3]) == ["corpus.max_characters", "pretrain.tuning", "arm"]
    assert table["pos"].between(0, 100).all() and table["lm"].notna().all()
    for point in points:  # the numbers are those of the runs
        own = Run(point.folder).scores.query("task == 'pos' and seed == 'mean' and arm == 'keep'").value.item()
        assert table[(table.run == point.folder.name) & (table.arm == "keep")].pos.item() == pytest.approx(own)
    assert table[table.arm == "source"]["pos"].nunique() == 1
    more, less = (table[table["corpus.max_characters"] == size].characters.max() for size in ("12e3", "6e3"))
    texts = [(point.folder / "corpus" / "train.txt").read_text() for point in points[::2]]
    assert texts[1].startswith(texts[0]) and len(texts[1]) > 1.9 * len(texts[0]) and more and less

    pairs = pd.read_csv(folder / "pairs.csv")
    assert set(pairs.axis) == {"corpus.max_characters", "pretrain.tuning"} and set(pairs.arm) == {"keep"}
    one = pairs[(pairs.axis == "pretrain.tuning") & (pairs.task == "lm")].iloc[0]
    assert (one["value"], one["against"]) == ("embeddings", "full") and one.low <= one.difference <= one.high
    keep = table[(table.arm == "keep") & (table["corpus.max_characters"] == "6e3")].set_index("pretrain.tuning").lm
    assert one.difference == pytest.approx(keep["embeddings"] - keep["full"], abs=1e-6)
    text = (folder / "table.md").read_text()
    assert "## `pretrain.tuning`, all else equal" in text and "Not in the table" not in text

    shared = [point.folder / "evaluate" / "source" / "pos" / "seed-0" / "scores.json" for point in points]
    assert len({file.stat().st_ino for file in shared}) == 1  # measured once, linked into the others
    lines = [json.loads(line) for line in (points[1].folder / "events.jsonl").read_text().splitlines()]
    assert {"corpus", "evaluate/source/pos"} <= {line["stage"] for line in lines if line["event"] == "skipped"}


def test_a_dry_run_says_what_it_takes_and_starts_nothing(config, monkeypatch):
    from adapt.pretrain import measure

    counted, real = [], measure.measure
    monkeypatch.setattr(measure, "measure", lambda *given, **more: counted.append(1) or real(*given, **more))
    found = CliRunner().invoke(app, ["sweep", str(config), *AXES, "--dry-run"])
    assert found.exit_code == 0, found.output
    assert found.output.count("4 steps an arm (source, keep)") == 4 and "4 runs," in found.output
    assert len(counted) == 2  # one for each tuning, none for the size of the text
    assert not (config.parent / "runs").exists()


def test_a_run_that_is_refused_does_not_stop_the_others(config):
    found = CliRunner().invoke(app, ["sweep", str(config), "pretrain.sequence_length=65,32", "evaluate.tasks={}"])
    said = " ".join(found.output.split())  # lines are cut where the terminal ends
    assert found.exit_code == 1 and "- sequence_length=65: " in said and "at most 64" in said
    table = pd.read_csv(next(config.parent.glob("runs/sweep-mul-*")) / "table.csv")
    assert list(table["pretrain.sequence_length"]) == [32, 32]
