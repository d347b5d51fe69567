"""Several processes that train one model: as one would, stopped together, resumed to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from adapt.pretrain.workers import _failure
from lexigraft import InputError
from tests.adapt.pretraining import options
from tests.adapt.several import gradients, together
from tests.conftest import ROOT


def test_processes_sum_share_threads_and_report(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    seen = []
    found = together(options(processes=2), "sum", tmp_path, progress=lambda *told: seen.append(told))
    assert found == {"a": [3.0] * 3, "b": [1.0] * 3, "c": None, "total": [2.0]}
    assert seen == [(0, 2, {"what": "sum"})]
    assert [(tmp_path / f"threads-{rank}").read_text() for rank in (0, 1)] == ["3", "3"]


def test_one_batch_of_32_and_4_of_8_and_2_processes_of_16_give_the_same(tmp_path, tiny_source, tiny_decoder, language):
    found = {}
    for name, more in (("whole", {}), ("parts", {"micro_batch_tokens": 8 * 32}), ("processes", {"processes": 2})):
        folder = tmp_path / name
        folder.mkdir()
        losses = gradients(
            options(batch_tokens=32 * 32, **more), [tiny_source, tiny_decoder], language / "text.txt", folder
        )
        found[name] = losses, [load_file(folder / f"{number}-rank-0.safetensors") for number in (0, 1)]
    for name in ("parts", "processes"):
        for number in (0, 1):
            assert found[name][0][number] == pytest.approx(found["whole"][0][number], abs=1e-5)
            ours, whole = found[name][1][number], found["whole"][1][number]
            assert ours.keys() == whole.keys() and any(key.startswith("gradient.") for key in ours)
            assert max(float((ours[key] - whole[key]).abs().max()) for key in whole) < 1e-5
    for number in (0, 1):  # both processes hold the very same weights
        first, second = (load_file(tmp_path / "processes" / f"{number}-rank-{rank}.safetensors") for rank in (0, 1))
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("refuse", "the second process does not like it; found refuse"),
        ("die", "process 1 of 2 was ended by signal 9, and the others with it.*found something went badly wrong"),
    ],
)
def test_one_that_ends_ends_all_with_its_message(what, message, tmp_path):
    if what == "die" and os.name != "posix":
        pytest.skip("SIGKILL is POSIX")
    with pytest.raises(InputError, match=message):
        together(options(processes=2), what, tmp_path)


def test_the_first_cause_is_told(tmp_path):
    crashed = {"crashed": "RuntimeError: connection closed by peer", "trace": "..."}
    (tmp_path / "errors-1.txt").write_text("")
    assert "process 1 of 2 was ended by signal 9" in str(_failure([1, -9], {0: crashed}, tmp_path))
    assert str(_failure([1, 2], {0: crashed, 1: {"refused": "no text"}}, tmp_path)) == "no text"
    assert "process 0 of 2: RuntimeError: connection" in str(_failure([1, None], {0: crashed}, tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_they_end_with_the_process_that_started_them(tmp_path):
    script = (
        "import sys; from pathlib import Path; from tests.adapt.pretraining import options; "
        "from tests.adapt.several import together; together(options(processes=2), 'sleep', Path(sys.argv[1]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT)
    wait_for(lambda: all(f.is_file() and f.read_text() for f in (tmp_path / "pid-0", tmp_path / "pid-1")))
    workers = [psutil.Process(int((tmp_path / f"pid-{rank}").read_text())) for rank in (0, 1)]
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers))


def wait_for(condition):
    until = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_another_number_of_processes_than_asked_for_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="found WORLD_SIZE=2; expected pretrain.processes=2, or 1 processes"):
        together(options(), "sum", tmp_path)
    with pytest.raises(ValueError, match="4 processes cannot share a step of 3 sequences"):
        options(processes=4, batch_tokens=96)
