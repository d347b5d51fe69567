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


def start(config: Path, stall: float = 0.0) -> subprocess.Popen[bytes]:
    """Start the run in a process group of its own; `stall` makes the writing of a checkpoint last so many seconds."""
    environment = {**os.environ, "LEXIGRAFT_TEST_STALL": str(stall)} if stall else None
    command = [sys.executable, "-m", "adapt.cli", "run", str(config)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of all final weights, scores and predictions."""
    wanted = [*folder.glob("pretrain/*/model/*.safetensors"), *folder.glob("model/*.safetensors")]
    wanted += folder.glob("evaluate/**/scores.json")
    wanted += folder.glob("evaluate/**/predictions.jsonl")
    wanted += [folder / "report" / "scores.csv"]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(wanted)}


def training(folder: Path | None, pid: int) -> bool:
    """Whether this very process (not one before it) is in the middle of a pretraining stage, by the run's log."""
    try:
        lines = (folder / "events.jsonl").read_text().splitlines() if folder else []
        events = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return False
    own = next((n for n, event in enumerate(events) if event.get("pid") == pid), len(events))
    last = events[-1] if len(events) > own + 1 else {}
    return str(last.get("stage", "")).startswith("pretrain/") and last["event"] in ("started", "progress", "notice")


def writing(folder: Path, since: float) -> list[Path]:
    """Temporary checkpoint folders made since then: one is there while a checkpoint is being written."""
    found = [p for p in folder.glob(".partial/pretrain--*/checkpoints/*") if p.name.startswith(".")]
    return [p for p in found if p.exists() and p.stat().st_mtime >= since]


def test_killed_ten_times_it_ends_in_the_same_bytes(tmp_path, tiny_source, language):
    settings = {"pretrain__steps": 120, "pretrain__checkpoint_seconds": 0.0}
    whole = write_config(tmp_path / "whole" / "small.yaml", tiny_source, language, **settings)
    cut = write_config(tmp_path / "cut" / "small.yaml", tiny_source, language, **settings)
    unbroken = start(whole)
    assert unbroken.wait(timeout=600) == 0, unbroken.stderr.read().decode()
    draw = random.Random(0)
    killed = {"training": 0, "checkpoint": 0, "all": 0}
    deadline = time.monotonic() + 900
    while killed["all"] < KILLS or killed["training"] < IN_TRAINING or not killed["checkpoint"]:
        assert time.monotonic() < deadline, f"could not kill often enough: {killed}"
        in_training = killed["all"] >= KILLS - IN_TRAINING
        process, since = start(cut, 0.2 if in_training and not killed["checkpoint"] else 0.0), time.time()
        moment = time.monotonic() + draw.uniform(0.5, 8.0)
        aim = draw.random() * 0.3
        folder: Path | None = None
        while process.poll() is None:
            folder = next((tmp_path / "cut" / "runs").glob("mul-*"), None)
            if in_training and training(folder, process.pid):
                time.sleep(aim)
                until = time.monotonic() + 2
                while not killed["checkpoint"] and not writing(folder, since) and time.monotonic() < until:
                    pass
                break
            if not in_training and time.monotonic() > moment:
                break
            time.sleep(0.002)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read().decode()
            pytest.fail(f"the run ended before it was killed often enough: {killed}")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed["all"] += 1
        if training(folder, process.pid):
            killed["training"] += 1
            killed["checkpoint"] += bool(writing(folder, since))
    last = start(cut)
    assert last.wait(timeout=600) == 0, last.stderr.read().decode()
    expected = hashes(next((tmp_path / "whole" / "runs").glob("mul-*")))
    found = hashes(next((tmp_path / "cut" / "runs").glob("mul-*")))
    assert len(expected) > 20
    assert found == expected
