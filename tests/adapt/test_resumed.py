"""SIGKILL at any moment, to one process or two: the training goes on from its checkpoint and ends in the same bytes.

In the middle of an epoch, with sequences that grow, replayed text that grows with what is forgotten, WSD, dropout, a
body that thaws on the way, a mean of the weights that is exported, and early stop that looks for the best.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from adapt.pretrain.checkpoint import listed, step_of
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")

# Imports once, then forks a training for every line it is told: a kill costs milliseconds, not an import of torch. A
# training is a process group of its own, of as many processes as train together. It waits before the step `gate`:
# however fast the machine, it has not run past where it is to be killed.
SCRIPT = """
import os, sys, tempfile, time, torch, transformers
from pathlib import Path
from torch.distributed import FileStore
from tests.adapt.pretraining import options
from adapt.pretrain import engine, loop
from adapt.pretrain.distributed import carry_out, job_of, join
from adapt.pretrain.texts import Beside
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForMaskedLM, BertTokenizerFast
torch.set_num_threads(1)
source, text, root = map(Path, sys.argv[1:4])
processes = int(sys.argv[4])
o = options(checkpoint_seconds=0.0, dropout=0.1, batch_tokens=512, micro_batch_tokens=128, tuning="embeddings-first",
            schedule="wsd", sequence_length_warmup=[[0.3, 16]], mix={"replay": 0.2}, processes=processes,
            watchers={"heldout": {"every": 6, "words": 9}, "ema": {"decay": 0.9}, "early_stop": {"patience": 9},
                      "forgetting": {"max_forgetting": 1e-9, "on_exceeded": "raise_replay", "every": 9, "words": 9}})
def train(folder):
    arguments = dict(model_dir=source, tokenizer_dir=source, text=text, heldout=text, options=o, steps=60, seed=3,
                     folder=folder, beside=Beside(source=text, source_heldout=root / "known.txt"))
    if processes == 1:
        engine.pretrain(**arguments)
        return
    store = tempfile.mktemp(dir=root)
    second = os.fork()
    os.environ.update(RANK="0" if second else "1", WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")
    join(FileStore(store, 2))
    carry_out(job_of(engine.pretrain, arguments, 1))
    if second:
        os.waitpid(second, 0)
for line in sys.stdin:
    name, stall, gate = line.split()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # here too: whichever comes first, before there is a second process
        os.environ["LEXIGRAFT_TEST_STALL"] = stall
        train_step = loop.train_step
        def gated(setup, step):
            time.sleep(600 if step == int(gate) else 0)
            return train_step(setup, step)
        loop.train_step = gated
        train(root / name)
        os._exit(0)
    os.setpgid(child, child)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Server:
    """Runs the script; `start` gives the process group of a training, `wait` its exit status."""

    def __init__(self, source, text, root, processes):
        command = [sys.executable, "-c", SCRIPT, *map(str, (source, text, root, processes))]
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def start(self, name, stall=0, gate=-1):
        self.process.stdin.write(f"{name} {stall} {gate}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self):
        return int(self.process.stdout.readline())


def digest(folder):
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.skipif(sys.platform == "darwin", reason=(
    "a fork of a process that has used Objective-C ends")))])  # fmt: skip
def test_killed_anywhere_it_ends_in_the_same_bytes(processes, tmp_path, tiny_base, language):
    def steps():
        log = tmp_path / "cut" / "log.jsonl"
        return len(log.read_text().splitlines()) if log.is_file() else 0

    def partial():
        found = set()
        for file in root.glob(".partial-*/weights.safetensors"):
            with suppress(FileNotFoundError):
                found.add(file.stat().st_mtime_ns)
        return found

    def wait_for(condition):
        until = time.monotonic() + 600
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.002)

    known = tmp_path / "known.txt"
    known.write_text("walking houses talked.\nthe king sees good water.\n" * 5)
    server = Server(tiny_base, language / "text.txt", tmp_path, processes)
    server.start("whole")
    assert server.wait() == 0
    draw = random.Random(0)
    root = tmp_path / "cut" / "checkpoints"
    for number in range(6):
        mark = 6 + 9 * number + draw.randrange(4)
        stalled = number in (1, 3)
        left = partial()
        group = server.start("cut", 60 if stalled else 0, mark + 3)
        if stalled:  # killed while a checkpoint is being written
            wait_for(lambda left=left: partial() - left)
        else:
            wait_for(lambda mark=mark: steps() >= mark)
            time.sleep(draw.random() * 0.05)
        os.killpg(group, signal.SIGKILL)
        assert server.wait() == signal.SIGKILL
    server.start("cut")
    assert server.wait() == 0
    server.process.stdin.close()
    server.process.wait(timeout=60)
    server.process.stdout.close()
    facts, whole = (json.loads((tmp_path / n / "finished.json").read_text())["facts"] for n in ("cut", "whole"))
    assert len(facts["resumed_from"]) == 4 and facts["resumed_from"][-1] > 50
    assert facts["notices"] == whole["notices"] and all("replayed text" in notice for notice in facts["notices"])
    assert facts["notices"] and facts["early_stop"] == whole["early_stop"]
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    log = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 61))
    assert [step_of(p) for p in listed(root)[-2:]] == [58, 59] and len(listed(root)) <= 4  # and those of the best steps
    assert not list(root.glob(".partial-*"))
