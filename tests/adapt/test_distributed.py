"""Several processes that train one model: as one would, stopped together, resumed to the bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

import adapt
from adapt.files import read_json
from adapt.pretrain.step import accumulate
from adapt.pretrain.workers import _failure
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on
from tests.adapt.several import gradients, together
from tests.conftest import ROOT, write_config


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
        pytest.param("refuse", "the second process does not like it; found refuse", marks=pytest.mark.slow),
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


@pytest.mark.slow
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
    until = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_another_number_of_processes_than_asked_for_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="found WORLD_SIZE=2; expected pretrain.processes=2, or 1 processes"):
        together(options(), "sum", tmp_path)
    with pytest.raises(InputError, match="have not met; found a call of together; expected adapt.run"):
        together(options(processes=2), "sum", tmp_path)
    with pytest.raises(ValueError, match="4 processes cannot share a step of 3 sequences"):
        options(processes=4, batch_tokens=96)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"gradient_checkpointing": True}, id="again"),
        pytest.param({"compile": True}, id="compiled", marks=pytest.mark.slow),
    ],
)
def test_ways_to_compute_give_the_same(more, tmp_path, tiny_source, language):
    if "compile" in more:
        pytest.importorskip("torch._inductor")
        if not shutil.which("g++"):
            pytest.skip("torch.compile needs a C++ compiler, and there is no g++")
    found = []
    for each in ({}, more):
        setup = setup_on(tiny_source, language / "text.txt", tmp_path, options(**each))
        batch = setup.objective.batch(
            setup.stream.take(8), setup.symbols, setup.objective_options, np.random.default_rng(0)
        )
        loss = accumulate(setup, batch)
        found.append((loss, {name: p.grad for name, p in setup.trained.items() if p.grad is not None}))
    (plain, a), (other, b) = found
    assert plain == pytest.approx(other, abs=1e-5) and a.keys() == b.keys()
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-5


def test_a_run_trains_with_two_processes_that_share_its_tensors(tmp_path, tiny_source, language):
    pretrain = {"pretrain__processes": 2, "pretrain__steps": 3, "pretrain__sharding": "full"}
    settings = {"arms": ["keep"], "evaluate": {"lm_words": 20}, **pretrain}
    run = adapt.run(write_config(tmp_path / "two.yaml", tiny_source, language, **settings))
    log = [json.loads(line) for line in (run.folder / "pretrain/keep/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3]
    facts = read_json(run.folder / "pretrain/keep/done.json")["facts"]
    assert facts["processes"] == 2 and facts["sharding"] == "full"
    assert facts["device"] == "cpu" and facts["steps"] == 3
    assert read_json(run.folder / "preflight.json")["measured"]["processes"] == 2
    assert set(run.scores["arm"]) == {"keep"}
    told = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert any(e["event"] == "progress" and e["stage"] == "pretrain/keep" and "loss" in e["facts"] for e in told)


@pytest.mark.slow
def test_a_run_fine_tunes_with_two_processes(tmp_path, tiny_source, language):
    tagging = {part: str(language / "pos" / f"{part}.txt") for part in ("train", "dev", "test")}
    evaluate = {"mode": "finetune", "processes": 2, "seeds": [0], "epochs": 1, "min_updates": 0,
                "lm_words": 20, "tasks": {"pos": tagging}}  # fmt: skip
    config = write_config(tmp_path / "two.yaml", tiny_source, language, arms=["source"], evaluate=evaluate)
    run = adapt.run(config, preflight=False)
    assert set(run.scores["arm"]) == {"source", "floor-majority", "floor-crf"}
    told = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert any(e["event"] == "progress" and e["stage"] == "evaluate/source/pos" and "loss" in e["facts"] for e in told)


@pytest.mark.slow
def test_a_run_under_torchrun_is_that_of_processes_of_its_own(tmp_path, tiny_source, language):
    settings = {"arms": ["keep"], "evaluate": {"lm_words": 20}, "pretrain__processes": 2, "pretrain__steps": 3}
    configs = [write_config(tmp_path / name / "two.yaml", tiny_source, language, **settings) for name in ("a", "b")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    for command, config in zip(([sys.executable, "-m"], torchrun), configs, strict=True):
        done = subprocess.run([*command, "adapt.cli", "run", config], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("run folder:") == 1
    a, b = (next(tmp_path.glob(f"{name}/runs/*/model/model.safetensors")) for name in ("a", "b"))
    assert a.read_bytes() == b.read_bytes()
    done = subprocess.run([*torchrun, "adapt.cli", "run", config, "pretrain.processes=1", "pretrain.steps=2"],
                          cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert done.returncode != 0 and "WORLD_SIZE=2; expected pretrain.processes=2" in done.stderr
