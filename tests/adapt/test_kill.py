"""SIGKILL to the whole process group, again and again: the run ends in the same weights and scores."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_config

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL to a process group is POSIX")

KILLS, IN_TRAINING = 10, 6


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "adapt.cli", "run", str(config)]
    return subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of all final weights, scores and predictions."""
    wanted = [*folder.glob("pretrain/*/model/*.safetensors"), *folder.glob("model/*.safetensors")]
    wanted += folder.glob("evaluate/**/scores.json")
    wanted += folder.glob("evaluate/**/predictions.jsonl")
    wanted += [folder / "report" / "scores.csv"]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(wanted)}


def last_event(folder: Path) -> dict:
    try:
        lines = (folder / "events.jsonl").read_text().splitlines()
        return json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return {}


def writing(folder: Path) -> list[Path]:
    """Temporary checkpoint folders: one is there while a checkpoint is being written."""
    return [p for p in folder.glob(".partial/pretrain--*/checkpoints/*") if p.name.startswith(".")]


def test_killed_ten_times_it_ends_in_the_same_bytes(tmp_path, tiny_source, language):
    settings = {"pretrain__steps": 60, "pretrain__checkpoint_seconds": 0.0}
    whole = write_config(tmp_path / "whole" / "small.yaml", tiny_source, language, **settings)
    cut = write_config(tmp_path / "cut" / "small.yaml", tiny_source, language, **settings)
    unbroken = start(whole)
    assert unbroken.wait(timeout=600) == 0, unbroken.stderr.read().decode()
    draw = random.Random(0)
    killed = {"training": 0, "checkpoint": 0, "all": 0}
    deadline = time.monotonic() + 900
    while killed["all"] < KILLS or killed["training"] < IN_TRAINING or not killed["checkpoint"]:
        assert time.monotonic() < deadline, f"could not kill often enough: {killed}"
        process = start(cut)
        in_training = killed["all"] >= KILLS - IN_TRAINING
        moment = time.monotonic() + draw.uniform(0.5, 8.0)
        aim = draw.random() * 0.3
        while process.poll() is None:
            folders = list((tmp_path / "cut" / "runs").glob("mul-*"))
            event = last_event(folders[0]) if folders else {}
            training = str(event.get("stage", "")).startswith("pretrain/") and event["event"] in ("started", "progress")
            if in_training and training:
                time.sleep(aim)
                if not killed["checkpoint"]:
                    until = time.monotonic() + 2
                    while not writing(folders[0]) and time.monotonic() < until and process.poll() is None:
                        pass
                break
            if not in_training and time.monotonic() > moment:
                break
            time.sleep(0.002)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read().decode()
            pytest.fail(f"the run ended before it was killed often enough: {killed}")
        event = last_event(folders[0]) if folders else {}
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed["all"] += 1
        if str(event.get("stage", "")).startswith("pretrain/") and event["event"] in ("started", "progress"):
            killed["training"] += 1
            killed["checkpoint"] += bool(writing(folders[0]))
    last = start(cut)
    assert last.wait(timeout=600) == 0, last.stderr.read().decode()
    expected = hashes(next((tmp_path / "whole" / "runs").glob("mul-*")))
    found = hashes(next((tmp_path / "cut" / "runs").glob("mul-*")))
    assert len(expected) > 20
    assert found == expected
