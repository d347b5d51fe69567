"""Runs are started in processes of their own, stopped with all their children, and say why they failed."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from app.parts import launch
from app.parts.folders import RunFolder, listing
from lexigraft import InputError

from .conftest import write_run

STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); input()"
child = subprocess.Popen([sys.executable, "-c", code])
print(child.pid, flush=True)
child.wait()
"""


def wait_for(condition, seconds=180.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


def test_stop_ends_the_whole_group_and_says_so(runs, monkeypatch):
    monkeypatch.setattr(launch, "_PATIENCE", 0.5)
    parent = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **launch._own_group()
    )
    child = int(parent.stdout.readline())
    created = psutil.Process(parent.pid).create_time()
    folder = write_run(runs / "a", "running", pid=parent.pid, created=created)
    assert RunFolder(folder).status == "running"
    launch.stop(RunFolder(folder))
    for pid in (parent.pid, child):
        wait_for(lambda pid=pid: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    run = RunFolder(folder)
    assert run.status == "stopped" and "web page" in run.message
    last = json.loads((folder / "events.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "stopped"


def test_stop_of_a_run_without_a_process_is_refused(runs):
    with pytest.raises(InputError, match="no process"):
        launch.stop(RunFolder(write_run(runs / "a", "running")))


def test_resume_of_a_run_that_works_is_refused(runs):
    me = psutil.Process()
    folder = write_run(runs / "a", "running", pid=me.pid, created=me.create_time())
    with pytest.raises(InputError, match="already"):
        launch.resume(RunFolder(folder))


def test_wrong_settings_start_nothing(runs):
    with pytest.raises(InputError, match="learning_rate"):
        launch.start({"language": "mul", "source": {"model": "x"}, "pretrain": {"learning_rate": 1}}, runs)
    assert list(runs.iterdir()) == []


def test_a_run_that_cannot_begin_says_why(runs, tmp_path):
    """The real command, which refuses a model that is not there."""
    (tmp_path / "text.txt").write_text("moja mbili\n" * 50)
    settings = {
        "language": "mul",
        "source": {"model": str(tmp_path / "no-model")},
        "corpus": {"text": [str(tmp_path / "text.txt")]},
    }
    name = launch.start(settings, runs)
    run = wait_for(lambda: next((r for r in listing(runs) if r.name == name and r.status != "starting"), None))
    assert run.status == "failed"
    assert "no-model" in run.message
    assert yaml.safe_load((run.path / "run.yaml").read_text())["source"]["model"] == str(tmp_path / "no-model")
