"""Trainings in forks: a process imports once, then forks one for every line it is told.

So a start or a kill costs milliseconds, not an import of torch. A training is a process group of its own, of as many
processes as train together. At its `gate` (a step, or the number of a step of fine-tuning) it says so in a file and
waits there: however fast the machine, it has not run past where it is to be killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

FORKS_TWO = pytest.mark.skipif(
    sys.platform in ("darwin", "win32"), reason="there is no fork here, or one of a process that used Objective-C ends"
)


class Server:
    """A process of its own that imports once and forks."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.adapt.forked"]
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


class Training:
    """One training, started again and again.

    Args:
        server: forks it.
        case: name of a function of this module that makes it from its folders.
        processes: that train together.
        folders: what `case` takes, the last one for what is written.
    """

    def __init__(self, server: Server, case: str, processes: int, *folders: Path) -> None:
        self.process, self.root = server.process, folders[-1]
        self.job = {"case": case, "processes": processes, "folders": [str(folder) for folder in folders]}

    def start(self, name: str, stall: int = 0, gate: int = -1) -> int:
        """Start the training in folder `name`, or go on with it; returns its process group."""
        self.process.stdin.write(json.dumps({**self.job, "name": name, "stall": stall, "gate": gate}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """Wait for its end, and return its exit status."""
        return int(self.process.stdout.readline())

    def kill_at(self, name: str, gate: int) -> None:
        """Start or go on, and kill it at a gate."""
        group = self.start(name, gate=gate)
        mark = self.root / f"{name}.gate-{gate}"
        wait_for(mark.is_file)
        os.killpg(group, signal.SIGKILL)
        assert self.wait() == signal.SIGKILL
        mark.unlink()

    def finish(self, name: str) -> None:
        """Start or go on, to the end."""
        self.start(name)
        assert self.wait() == 0


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait until something is so; ten minutes at most."""
    until = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """SHA-256 of a folder's files by their names."""
    files = sorted(file for pattern in patterns for file in folder.glob(pattern))
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def growing(processes: int, source: Path, text: Path, root: Path) -> tuple[Any, dict[str, Any]]:
    """Sequences that grow, replay that rises, WSD, dropout, a body that thaws, a mean that is exported, early stop."""
    from adapt.pretrain.texts import Beside

    given = dict(
        dropout=0.1, batch_tokens=512, micro_batch_tokens=128, tuning="embeddings-first",
        schedule="wsd", sequence_length_warmup=[[0.3, 16]], mix={"replay": 0.2},
        watchers={"heldout": {"every": 6, "words": 9}, "ema": {"decay": 0.9}, "early_stop": {"patience": 9},
                  "forgetting": {"max_forgetting": 1e-9, "on_exceeded": "raise_replay", "every": 9, "words": 9}},
    )  # fmt: skip
    return pretraining(processes, source, text, 60, Beside(source=text, source_heldout=root / "known.txt"), **given)


def mixed(processes: int, source: Path, text: Path, root: Path) -> tuple[Any, dict[str, Any]]:
    """Several corpora, one replayed, with words of a dictionary switched, and facts."""
    from adapt.pretrain.texts import Beside

    beside = Beside(source=root / "known.txt", dictionary=root / "words.tsv", triples=root / "facts.tsv",
                    others={"swa": root / "other.txt"})  # fmt: skip
    mix = {"replay": 0.3, "triples": 0.4, "code_switch": {"words": 0.3, "direction": "both"}}
    return pretraining(processes, source, text, 16, beside, dropout=0.1, mix=mix)


def selective(processes: int, source: Path, text: Path, root: Path) -> tuple[Any, dict[str, Any]]:
    """Loss on what a reference model says is worth it."""
    reference = root / "reference"
    return pretraining(processes, source, text, 16, dropout=0.1, selective={"reference": reference, "share": 0.5})


def pretraining(
    processes: int, source: Path, text: Path, steps: int, beside: Any = None, **given: Any
) -> tuple[Any, dict[str, Any]]:
    """Make the arguments of a training that saves every step."""
    from adapt.pretrain import engine
    from tests.adapt.pretraining import options

    return engine.pretrain, {
        "model_dir": source, "tokenizer_dir": source, "text": text, "heldout": text, "steps": steps, "seed": 3,
        "options": options(checkpoint_seconds=0.0, processes=processes, **given), "beside": beside or engine.NOTHING,
    }  # fmt: skip


def fine_tuning(processes: int, source: Path, language: Path, root: Path) -> tuple[Any, dict[str, Any]]:
    """Two seeds of a tagger."""
    from adapt.config import Evaluate
    from adapt.fine_tuning import fine_tune

    files = {part: str(language / "pos" / f"{part}.txt") for part in ("train", "dev", "test")}
    options = Evaluate(mode="finetune", seeds=[0, 1], epochs=1, min_updates=0, lr=1e-3, processes=processes)
    return fine_tune, {
        "options": options, "arm": "source", "task": "pos", "kind": "pos", "model": source, "tokenizer": source,
        "files": files, "seed": 0,
    }  # fmt: skip


def sharded(processes: int, source: Path, text: Path, root: Path) -> tuple[Any, dict[str, Any]]:
    """Tensors cut between the processes, sequences that grow, a mean that is exported, early stop."""
    watchers = {"heldout": {"every": 6, "words": 9}, "ema": {"decay": 0.9}, "early_stop": {"patience": 9}}
    given = {"batch_tokens": 512, "micro_batch_tokens": 128, "sequence_length_warmup": [[0.3, 16]]}
    return pretraining(processes, source, text, 16, dropout=0.1, sharding="full", watchers=watchers, **given)


def steps(
    processes: int, encoder: Path, decoder: Path, text: Path, given: Path, root: Path
) -> tuple[Any, dict[str, Any]]:
    """A few steps with an encoder and a decoder, with options of a JSON file."""
    from tests.adapt.pretraining import options
    from tests.adapt.several import gradients

    made = options(batch_tokens=31 * 32, processes=processes, **json.loads(given.read_text()))  # two unequal shares
    return gradients, {"options": made, "sources": [encoder, decoder], "text": text}


def heads(processes: int, source: Path, root: Path) -> tuple[Any, dict[str, Any]]:
    """One step of fine-tuning, of tokens and of sequences."""
    from adapt.config import Evaluate
    from tests.adapt.several import fine_tuning_gradients

    return fine_tuning_gradients, {"options": Evaluate(mode="finetune", processes=processes), "source": source}


def train(case: str, processes: int, folders: list[str], name: str, gate: int, **more: Any) -> None:
    """Be a training, with a second process where it has one."""
    from torch.distributed import FileStore

    from adapt.evaluate import finetune
    from adapt.pretrain import loop
    from adapt.pretrain.distributed import carry_out, job_of, join

    root = Path(folders[-1])
    function, arguments = globals()[case](processes, *map(Path, folders))
    arguments["out" if case == "fine_tuning" else "folder"] = root / name
    calls = iter(range(10**6))
    place_gate(loop, "train_step", root / f"{name}.gate-{gate}", gate, lambda setup, step: step)
    place_gate(finetune, "accumulate", root / f"{name}.gate-{gate}", gate, lambda *rest: next(calls))
    if processes == 1:
        function(**arguments)
        return
    store = tempfile.mktemp(dir=root)
    second = os.fork()
    os.environ.update(RANK="0" if second else "1", WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")
    join(FileStore(store, 2))
    carry_out(job_of(function, arguments, 1))
    if second:
        os.waitpid(second, 0)


def place_gate(module: Any, name: str, mark: Path, gate: int, number: Callable[..., int]) -> None:
    """Have a function wait at the call of that number; rank 0, whose files are all written then, leaves the mark."""
    step = getattr(module, name)

    def wait(*args: Any, **more: Any) -> Any:
        if number(*args) == gate:
            if os.environ.get("RANK", "0") == "0":
                mark.touch()
            time.sleep(600)
        return step(*args, **more)

    setattr(module, name, wait)


def serve() -> None:
    """Fork a training for every line of the standard input, a JSON object; tell its process group, then its status."""
    import torch
    import transformers

    import adapt.fine_tuning  # noqa: F401
    from adapt.pretrain import engine  # noqa: F401
    from tests.adapt import several  # noqa: F401

    for name in ("AutoModelForMaskedLM", "AutoTokenizer", "BertForMaskedLM", "BertTokenizerFast"):
        getattr(transformers, name)  # imported here, once
    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)  # here too: whichever comes first, before there is a second process
            os.environ["LEXIGRAFT_TEST_STALL"] = str(job["stall"])
            train(**job)
            os._exit(0)
        os.setpgid(child, child)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(child, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
