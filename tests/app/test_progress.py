"""Events are read as they are written, and drawn with every text escaped."""

from __future__ import annotations

import json

from app.parts.curves import Curve, bits_charts, logs
from app.parts.folders import RunFolder
from app.parts.progress import Log, stage_title

from .conftest import NASTY, write_run


def add(folder, *events, end="\n"):
    with (folder / "events.jsonl").open("a", encoding="utf-8") as handle:
        handle.write("\n".join(json.dumps(event) for event in events) + end)


def test_stages_and_how_far_they_are(runs):
    log = Log(RunFolder(write_run(runs / "a", "running"))).read()
    assert [(s.name, s.state, s.seconds) for s in log.stages.values()] == [
        ("corpus", "done", 2.0),
        ("tokenizer", "done", 3.5),
        ("pretrain/adapted", "running", None),
    ]
    stage = log.stages["pretrain/adapted"]
    assert (stage.share, stage.seconds_left, stage.facts["loss"]) == (0.25, 75.0, 4.25)


def test_only_new_lines_are_taken_in(runs):
    folder = write_run(runs / "a", "running")
    log = Log(RunFolder(folder)).read()
    add(folder, {"event": "progress", "stage": "pretrain/adapted", "done": 60, "total": 120}, end="")
    assert log.read().stages["pretrain/adapted"].share == 0.25  # the line is not whole yet
    add(folder, end="\n")
    assert log.read().stages["pretrain/adapted"].share == 0.5
    add(folder, {"event": "finished", "stage": "pretrain/adapted", "facts": {"seconds": 9}}, {"event": "finished"})
    assert log.read().stages["pretrain/adapted"].state == "done"


def test_a_resumed_run_waits_for_what_was_cut_off(runs):
    folder = write_run(runs / "a", "stopped")
    log = Log(RunFolder(folder)).read()
    assert log.stages["pretrain/adapted"].state == "cut"
    assert "cut off" in log.html(active=False)
    add(
        folder,
        {"event": "run"},
        {"event": "skipped", "stage": "corpus"},
        {"event": "started", "stage": "pretrain/adapted"},
    )
    assert [s.state for s in log.read().stages.values()] == ["skipped", "done", "running"]


def test_planned_stages_wait(runs):
    folder = write_run(runs / "a", "running")
    add(folder, {"event": "plan", "stages": ["corpus", "pretrain/adapted", "report"]})
    assert Log(RunFolder(folder)).read().stages["report"].state == "waiting"


def test_the_look_ahead_comes_first_and_is_done_when_it_has_counted_to_its_end(runs):
    """It says how far it is, and never that it began or ended."""
    folder = runs / "a"
    folder.mkdir()
    add(folder, {"event": "run", "stages": ["corpus", "report"]})
    add(folder, {"event": "progress", "stage": "preflight", "done": 1, "total": 2})
    log = Log(RunFolder(folder)).read()
    assert [(s.name, s.state) for s in log.stages.values()][0] == ("preflight", "running")
    add(
        folder,
        {"event": "progress", "stage": "preflight", "done": 2, "total": 2},
        {"event": "started", "stage": "corpus"},
    )
    add(folder, {"event": "progress", "stage": "corpus", "done": 2, "total": 2})
    assert [(s.name, s.state) for s in log.read().stages.values()][:2] == [("preflight", "done"), ("corpus", "running")]


def test_what_the_preflight_says(runs):
    folder = write_run(runs / "a", "running")
    facts = {"pretrain_seconds": 185.0, "memory_bytes": 3 * 2**30, "disk_bytes": 5 * 2**20, "steps": 1200}
    add(folder, {"event": "notice", "stage": "preflight", "message": "estimate", "facts": facts})
    log = Log(RunFolder(folder)).read()
    assert log.notices[-1] == "estimate: pretrain 3:05 min · memory 3.0 GB · disk 5 MB · steps 1,200"
    assert "preflight" not in log.stages


def test_lines_that_are_no_events_are_passed_over(runs):
    folder = write_run(runs / "a", "running")
    with (folder / "events.jsonl").open("a") as handle:
        handle.write(
            'not json\n[1]\n{"event": "progress", "stage": 3}\n{"event": "progress", "stage": "x", "done": "y"}\n'
        )
    assert Log(RunFolder(folder)).read().stages["x"].share == 0.0


def test_text_is_escaped(runs):
    folder = write_run(runs / "a", "running")
    add(folder, {"event": "progress", "stage": NASTY, "done": 1, "total": 2, "facts": {NASTY: NASTY}})
    drawn = Log(RunFolder(folder)).read().html(active=True)
    assert "<img" not in drawn and drawn.count("&lt;img") >= 3


def test_stage_names_in_words():
    assert stage_title("evaluate/adapted/pos") == "Evaluate · adapted · POS"
    assert stage_title("something_new") == "something_new"


def test_bits_of_all_arms_are_drawn_in_one_chart_a_unit(tmp_path):
    found = {}
    for arm, entry in {"keep": {"heldout_pseudo_bits_per_character": 3.5, "source_pseudo_bits_per_character": 2.5},
                       "adapted": {"heldout_pseudo_bits_per_character": 3.25, "heldout_loss": 2.0},
                       "other": {"heldout_bits_per_character": 1.5}, "none": {"loss": 1.0}}.items():  # fmt: skip
        path = tmp_path / f"{arm}.jsonl"
        path.write_text(json.dumps({"step": 5, **entry}) + "\n")
        curve = Curve(path)
        curve.read()
        found[arm] = curve.bits
    assert found["keep"].to_dict("records") == [
        {"text": "held-out text", "unit": "pseudo-bits", "step": 5.0, "bits": 3.5},
        {"text": "the source's language", "unit": "pseudo-bits", "step": 5.0, "bits": 2.5},
    ]
    charts = bits_charts(found)
    assert set(charts) == {"bits", "pseudo-bits"} and bits_charts({"none": found["none"]}) == bits_charts({}) == {}
    drawn = charts["pseudo-bits"].to_dict()
    (points,) = drawn["datasets"].values()
    assert sorted((p["arm"], p["bits"]) for p in points) == [("adapted", 3.25), ("keep", 2.5), ("keep", 3.5)]
    assert drawn["encoding"]["y"]["title"] == "pseudo-bits per character"


def test_curves_of_finished_and_of_running_arms(runs):
    assert list(logs(RunFolder(write_run(runs / "a")))) == ["adapted"]
    run = RunFolder(write_run(runs / "b", "running"))
    path = logs(run)["adapted"]
    with path.open("a") as handle:  # resumed from step 50: later lines count
        handle.write('{"step": 51, "loss": 1.5}\n{"step": 52, "lo')
    curve = Curve(path)
    frame = curve.read()
    train = frame[frame["what"] == "training"].set_index("step")["loss"]
    assert train[51] == 1.5 and train.index.is_unique and len(train) == 59
    assert len(frame[frame["what"] == "held-out"]) == 6
    with path.open("a") as handle:
        handle.write('ss": 9}\n{"step": 53, "loss": 1.25}\n')
    again = curve.read()
    assert list(again[again["what"] == "training"].query("step > 51")["loss"])[:2] == [9.0, 1.25]
    path.write_text('{"step": 1, "loss": 7}\n')  # written anew
    assert curve.read().to_dict("records") == [{"what": "training", "step": 1.0, "loss": 7.0}]
