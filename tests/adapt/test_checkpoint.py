"""Checkpoints are whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from adapt.pretrain.checkpoint import Checkpoint, damage, listed, load_last, save
from tests.conftest import ROOT


def made(step: int) -> Checkpoint:
    weights = {"a": torch.full((3, 2), float(step)), "b": torch.arange(4.0)}
    moments = {"a.exp_avg": torch.ones(3, 2), "a.step": torch.tensor(float(step))}
    return Checkpoint(weights, moments, {"step": step, "cursor": [0, 1, 2], "seconds": 1.25})


def test_what_was_saved_is_read_back_and_two_are_kept(tmp_path):
    for step in (1, 2, 10):
        save(tmp_path, made(step))
    assert [p.name for p in listed(tmp_path)] == ["step-00000002", "step-00000010"]
    last, notices = load_last(tmp_path)
    assert last is not None and not notices
    assert last.state["step"] == 10 and last.state["cursor"] == [0, 1, 2] and last.state["seconds"] == 1.25
    assert all((last.weights[k] == v).all() for k, v in made(10).weights.items())
    assert last.optimizer["a.step"] == 10.0
    assert not [p for p in tmp_path.rglob("*") if p.suffix in {".pt", ".bin", ".pkl"}]


def test_what_was_read_can_be_saved_again(tmp_path):
    save(tmp_path, made(1))
    last, _ = load_last(tmp_path)
    assert last is not None
    last.state["step"] = 2
    save(tmp_path, last)
    again, notices = load_last(tmp_path)
    assert again is not None and again.state["step"] == 2 and not notices


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [cut, flip, os.remove])
@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_one_is_passed_over_and_named(tmp_path, harm, file):
    save(tmp_path, made(1))
    harm(save(tmp_path, made(2)) / file)
    last, notices = load_last(tmp_path)
    assert last is not None and last.state["step"] == 1
    assert len(notices) == 1 and "step-00000002 is damaged" in notices[0]
    save(tmp_path, made(2))  # takes the damaged one's place
    assert damage(tmp_path / "step-00000002") is None


def test_nothing_whole_is_nothing(tmp_path):
    assert load_last(tmp_path) == (None, [])
    cut(save(tmp_path, made(1)) / "state.json")
    last, notices = load_last(tmp_path)
    assert last is None and len(notices) == 1


@pytest.mark.skipif(os.name != "posix", reason="limits on file sizes are POSIX")
def test_a_disk_that_refuses_leaves_the_last_good_one(tmp_path):
    save(tmp_path, made(1))
    script = """
        import resource, sys, torch
        from pathlib import Path
        from adapt.pretrain.checkpoint import Checkpoint, save
        from lexigraft import InputError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save(Path(sys.argv[1]), Checkpoint({"a": torch.zeros(200_000)}, {}, {"step": 2}))
        except InputError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (
        "cannot write here" in done.stdout
        and "MB free; expected 1 MB; what was saved before is untouched" in done.stdout
    )
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    last, notices = load_last(tmp_path)
    assert last is not None and last.state["step"] == 1 and not notices
