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

# Where each kill falls. One in training comes soon after it goes on: a fast machine must not train to its end.
SHORT = ["before", "pretrain/", "checkpoint", "evaluate/"]
LONG = ["before"] * 3 + ["pretrain/"] * 3 + ["checkpoint"] + ["pretrain/"] * 3 + ["evaluate/"]


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


def stage_of(folder: Path | None, pid: int) -> str:
    """The stage that this very process (not one before it) is in the middle of, by the run's log; "" if none."""
    try:
        lines = (folder / "events.jsonl").read_text().splitlines() if folder else []
        events = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return ""
    own = next((n for n, event in enumerate(events) if event.get("pid") == pid), len(events))
    last = events[-1] if len(events) > own + 1 else {}
    return str(last.get("stage", "")) if last.get("event") in ("started", "progress", "notice") else ""


def writing(folder: Path, since: float) -> list[Path]:
    """Temporary checkpoint folders made since then: one is there while a checkpoint is being written."""
    found = [p for p in folder.glob(".partial/pretrain--*/checkpoints/*") if p.name.startswith(".")]
    return [p for p in found if p.exists() and p.stat().st_mtime >= since]


@pytest.mark.parametrize("plan", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"])
def test_killed_again_and_again_it_ends_in_the_same_bytes(plan, tmp_path, tiny_source, language):
    settings = {"pretrain__steps": 27 * len(plan), "pretrain__checkpoint_seconds": 0.0}
    whole = write_config(tmp_path / "whole" / "small.yaml", tiny_source, language, **settings)
    cut = write_config(tmp_path / "cut" / "small.yaml", tiny_source, language, **settings)
    unbroken = start(whole)
    assert unbroken.wait(timeout=600) == 0, unbroken.stderr.read().decode()
    draw = random.Random(0)
    killed = dict.fromkeys(plan, 0)
    for goal in plan:
        process, since = start(cut, 0.2 if goal == "checkpoint" else 0.0), time.time()
        phase = goal if goal.endswith("/") else "pretrain/"
        moment = time.monotonic() + (draw.uniform(0.5, 8.0) if goal == "before" else 300)
        aim = draw.random() * 0.15
        folder: Path | None = None
        while process.poll() is None and time.monotonic() < moment:
            folder = next((tmp_path / "cut" / "runs").glob("mul-*"), None)
            if stage_of(folder, process.pid).startswith(phase):
                time.sleep(aim if goal.endswith("/") else 0)
                break
            time.sleep(0.002)
        while goal == "checkpoint" and process.poll() is None and not writing(folder, since):
            pass
        assert process.poll() is None, f"it ended before the kill {goal!r}: {process.stderr.read().decode()}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        stage = stage_of(folder, process.pid)
        killed[goal] += goal == "before" or stage.startswith(phase)
        assert goal != "checkpoint" or writing(folder, since)
    # A kill may come a moment after what it was meant for; of eleven, one may.
    assert sum(killed.values()) >= len(plan) - 1 and killed["pretrain/"] + killed["checkpoint"] >= len(plan) // 2, (
        killed
    )
    last = start(cut)
    assert last.wait(timeout=600) == 0, last.stderr.read().decode()
    expected = hashes(next((tmp_path / "whole" / "runs").glob("mul-*")))
    found = hashes(next((tmp_path / "cut" / "runs").glob("mul-*")))
    assert len(expected) > 20
    assert found == expected
