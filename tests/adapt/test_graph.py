"""Stages: skipped when whole, redone when damaged, shared between runs, never half there."""

from __future__ import annotations

import json
import resource

import pytest

from adapt.config import RunConfig
from adapt.events import Events
from adapt.files import verified
from adapt.graph import Context, Stage, execute
from lexigraft import InputError


@pytest.fixture
def context(tmp_path):
    config = RunConfig.model_validate({"language": "x", "source": {"model": "m"}, "corpus": {"text": ["a"]}})
    folder = tmp_path / "runs" / "one"
    events = Events(folder / "events.jsonl")
    yield Context(config, folder, tmp_path, events)
    events.close()


def counting(name="a", text="hello", calls=None, **more):
    calls = [] if calls is None else calls

    def work(context, folder, report):
        calls.append(name)
        (folder / "out.txt").write_text(text)
        report(1, 1, {})
        return {"n": len(calls)}

    return Stage(name, work, **more), calls


def test_a_finished_stage_is_skipped(context):
    stage, calls = counting()
    execute([stage], context)
    execute([stage], context)
    assert calls == ["a"]
    kinds = [json.loads(line)["event"] for line in (context.folder / "events.jsonl").read_text().splitlines()]
    assert kinds == ["started", "progress", "finished", "skipped"]


@pytest.mark.parametrize("damage", ["change", "remove", "cut done.json"])
def test_a_damaged_stage_is_redone(context, damage):
    stage, calls = counting()
    execute([stage], context)
    file = context.folder / "a" / "out.txt"
    if damage == "change":
        file.write_text("hellO")
    elif damage == "remove":
        file.unlink()
    else:
        done = context.folder / "a" / "done.json"
        done.write_text(done.read_text()[:40])
    execute([stage], context)
    assert calls == ["a", "a"]
    assert file.read_text() == "hello"


def test_other_options_or_input_redo_what_depends_on_them(context):
    calls: list[str] = []
    first = [counting("a", "1", calls)[0], counting("b", "x", calls, inputs=("a",))[0]]
    execute(first, context)
    second = [counting("a", "2", calls, options={"k": 1})[0], first[1]]
    execute(second, context)
    assert calls == ["a", "b", "a", "b"]


def test_a_failing_stage_leaves_nothing_and_loses_nothing(context):
    good, _ = counting("a")
    execute([good], context)

    def work(context, folder, report):
        (folder / "half.txt").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        execute([good, Stage("b", work)], context)
    assert not (context.folder / "b").exists()
    assert verified(context.folder / "a")


def test_a_resumable_stage_finds_what_it_wrote(context):
    seen = []

    def work(context, folder, report):
        seen.append(sorted(p.name for p in folder.iterdir()))
        (folder / "part").write_text("1")
        if len(seen) == 1:
            raise KeyboardInterrupt
        return {}

    for resumable, expected in ((True, [[], ["part"]]), (False, [[], []])):
        seen.clear()
        stage = Stage(f"r{resumable}", work, resumable=resumable)
        with pytest.raises(KeyboardInterrupt):
            execute([stage], context)
        execute([stage], context)
        assert seen == expected


def test_a_run_beside_this_one_lends_its_stage(context, tmp_path):
    stage, calls = counting()
    execute([stage], context)
    folder = context.folder.parent / "two"
    events = Events(folder / "events.jsonl")
    execute([stage], Context(context.config, folder, tmp_path, events))
    events.close()
    assert calls == ["a"]
    assert (folder / "a" / "out.txt").read_text() == "hello"


def test_a_full_disk_says_so_and_loses_nothing(context):
    """The kernel refuses to let a file grow past the limit, as a full disk or quota does."""
    good, _ = counting("a")
    execute([good], context)

    def work(context, folder, report):
        with (folder / "big").open("wb") as handle:
            handle.write(b"0" * 1_000_000)
        return {}

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(InputError, match="the disk is full: stage b"):
            execute([good, Stage("b", work)], context)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert verified(context.folder / "a")
    execute([good, Stage("b", work)], context)
    assert verified(context.folder / "b")


def test_a_half_written_event_line_is_mended(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "run"}\n{"event": "prog')
    events = Events(path)
    events.emit("run")
    events.close()
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["run", "run"]


def test_a_stop_that_was_swallowed_is_heard_at_the_next_report(context, monkeypatch):
    """A signal handler's exception is lost inside a destructor; the run must stop all the same."""
    from adapt import events

    monkeypatch.setattr(events, "_stop", False)

    class Swallows:
        def __del__(self):
            events.ask_to_stop()
            raise KeyboardInterrupt

    def work(context, folder, report):
        report(0, 2, {})
        one = Swallows()
        del one
        report(1, 2, {})
        raise AssertionError("went on")

    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: None)
    with pytest.raises(KeyboardInterrupt):
        execute([Stage("s", work)], context)
