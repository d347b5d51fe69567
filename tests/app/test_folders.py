"""Only run folders below the runs folder are read, and their status is what their files and processes say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from app.parts.folders import LAUNCH, OUTPUT, RunFolder, find, listing
from lexigraft import InputError

from .conftest import write_run


def test_only_runs_below_the_folder_are_listed(runs, tmp_path):
    write_run(runs / "nya-a")
    write_run(runs / ".hidden")
    write_run(tmp_path / "elsewhere")
    (runs / "demo-data").mkdir()
    (runs / "linked").symlink_to(tmp_path / "elsewhere")
    assert [run.name for run in listing(runs)] == ["nya-a"]


@pytest.mark.parametrize("name", ["../elsewhere", "nya-a/report", "..", "", "/etc", "nya-a/", "linked"])
def test_a_name_never_becomes_a_path(runs, tmp_path, name):
    write_run(runs / "nya-a")
    write_run(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no run of this name"):
        find(name, runs)


def test_files_that_lead_out_of_the_run_are_not_read(runs, tmp_path):
    folder = write_run(runs / "nya-a")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "report" / "x.png").symlink_to(tmp_path / "secret.txt")
    run = RunFolder(folder)
    assert run.text("../../secret.txt") is None
    assert run.file("report/x.png") is None
    assert [path.name for path in run.files("report/*.png")] == ["learning_curves.png"]


@pytest.mark.parametrize("status", ["finished", "failed", "stopped"])
def test_status_is_what_run_json_says(runs, status):
    assert RunFolder(write_run(runs / "a", status)).status == status


def test_a_running_run_without_its_process_was_killed(runs):
    assert RunFolder(write_run(runs / "a", "running")).status == "killed"


def test_a_running_run_with_its_process(runs):
    me = psutil.Process()
    folder = write_run(runs / "a", "running", pid=me.pid, created=me.create_time())
    assert RunFolder(folder).status == "running"
    other = write_run(runs / "b", "running", pid=me.pid, created=me.create_time() - 500)  # the number was given again
    assert RunFolder(other).status == "killed"


def test_a_process_that_ended_before_it_took_the_folder(runs):
    folder = runs / "a"
    folder.mkdir()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    created = psutil.Process(child.pid).create_time()
    (folder / LAUNCH).write_text(json.dumps({"pid": child.pid, "created": created, "started": time.time()}))
    (folder / OUTPUT).write_text("lexigraft: no such file; expected a text file\n")
    try:
        assert RunFolder(folder).status == "starting"
    finally:
        child.communicate(b"\n")
    run = RunFolder(folder)
    assert run.status == "failed"
    assert run.message == "lexigraft: no such file; expected a text file"


def test_damaged_files_are_no_error(runs):
    folder = write_run(runs / "a")
    (folder / "run.json").write_text('{"status": "fin')
    (folder / "run.yaml").write_text("a: [")
    run = RunFolder(folder)
    assert (run.status, run.settings, run.message, run.seconds) == ("new", {}, "", None)
    assert os.fspath(run.path) == os.fspath(folder)
