"""A run from its configuration to its scores: `adapt.run` and what it returns."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import yaml
from rich.console import Console

import lexigraft
from adapt import config as configuration
from adapt.config import HANDED_OUT, RunConfig
from adapt.events import Events
from adapt.files import digest_of, read_json, write_atomic, write_json
from adapt.graph import Context, execute
from adapt.pretrain.distributed import leading, refuse_other_number
from lexigraft import InputError

if TYPE_CHECKING:
    import pandas as pd

_VERSIONS = ("torch", "transformers", "tokenizers", "sentencepiece", "numpy", "scipy", "peft", "datasets", "evaluate")


@dataclass(frozen=True)
class Run:
    """A finished (or unfinished) run on disk.

    Attributes:
        folder: the run folder.
    """

    folder: Path

    @property
    def scores(self) -> pd.DataFrame:
        """One row an arm, task, metric and seed, with intervals (`report/scores.csv`).

        Raises:
            InputError: the run has not got that far.
        """
        import pandas as pd

        path = self.folder / "report" / "scores.csv"
        if not path.is_file():
            raise InputError("this run has no scores yet", file=path, expected="a finished run: `lexigraft resume` it")
        return pd.read_csv(path)

    @property
    def model(self) -> Path:
        """Folder of the adapted model, for `AutoModel.from_pretrained`."""
        return self.folder / "model"

    @property
    def status(self) -> str:
        """`running`, `finished`, `failed`, `stopped`, or `killed` when its process is gone without a word."""
        state = read_json(self.folder / "run.json") or {}
        found = str(state.get("status", "new"))
        return "killed" if found == "running" and not _alive(state) else found


def run(
    path: str | Path | RunConfig,
    overrides: dict[str, Any] | None = None,
    *,
    folder: Path | None = None,
    console: Console | None = None,
    preflight: bool = True,
) -> Run:
    """Run a configuration: what is finished is skipped, what was cut short goes on.

    Started several times by `torchrun`, the first process runs it; the others only train with it.

    Args:
        path: YAML file, or a configuration.
        overrides: dotted keys and values, such as `{"pretrain.steps": 2000}`.
        folder: run folder; None makes `<out>/<language>-<method>-<hash>`.
        console: where progress is shown; None is silent.
        preflight: estimate time, memory and disk first, and refuse what cannot fit.

    Raises:
        InputError: something in the input is wrong; it says what and where.
    """
    settings = path if isinstance(path, RunConfig) else configuration.load(Path(path), overrides)
    folder = folder or folder_of(settings)
    prepare_libraries(settings)
    with leading() as leads:
        if not leads:
            return Run(folder)
        return _run(settings, folder, console, preflight)


def _run(settings: RunConfig, folder: Path, console: Console | None, preflight: bool) -> Run:
    from adapt.stages import plan
    from adapt.stages.source import find

    source = find(settings.source)
    with _claimed(folder, console) as events:
        _write_run_yaml(folder, settings)
        context = Context(settings, folder, source, events)
        stages = plan(settings, source)
        events.emit("plan", stages=[stage.name for stage in stages])
        if preflight and not all((folder / stage.name / "done.json").is_file() for stage in stages):
            from adapt.preflight import check

            check(context)
        execute(stages, context)
        _write_run_yaml(folder, settings, context)
    return Run(folder)


def folder_of(settings: RunConfig) -> Path:
    """Return the run folder that belongs to a configuration: the same settings, the same folder."""
    method = (settings.transplant.method or "default").split("->")[0].strip().replace(" ", "")
    name = method if "adapted" in settings.arms else next((a for a in HANDED_OUT if a in settings.arms), "source")
    short = digest_of(settings.model_dump(mode="json", exclude={"out"}))[:6]
    return settings.out / f"{settings.language}-{name}-{short}"


def prepare_libraries(settings: RunConfig) -> None:
    """Fix device and threads (sums in another order are other bytes), and leave the terminal to our own progress."""
    import datasets
    import torch
    from transformers.utils import logging

    from adapt.pretrain.device import device, want
    from adapt.stages.transplant import device_of
    from vocab.device import find

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    datasets.disable_progress_bars()

    want(settings.device)
    device()  # refused here when it is not there
    find(device_of(settings) or "cpu")
    if settings.evaluate.mode == "finetune":  # and not after hours of training
        refuse_other_number(settings.evaluate)
        device(0, settings.evaluate.processes)
    torch.set_num_threads(settings.threads or max(1, psutil.cpu_count(logical=False) or os.cpu_count() or 1))


@contextlib.contextmanager
def _claimed(folder: Path, console: Console | None) -> Iterator[Events]:
    """Hold a run folder: one process at a time; `run.json` says how it ended."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.json"
    state = read_json(path) or {}
    if state.get("status") == "running" and state.get("pid") != os.getpid() and _alive(state):
        raise InputError(
            f"this run is being worked on by process {state['pid']}", file=folder, expected="one process a run"
        )
    state = {"pid": os.getpid(), "created": psutil.Process().create_time(), "started": time.time(), "status": "running"}
    write_json(path, state)
    events = Events(folder / "events.jsonl", console)
    events.emit("run", message="started", pid=os.getpid())
    status, message = "failed", ""
    try:
        yield events
        status = "finished"
    except KeyboardInterrupt:
        status, message = "stopped", "stopped by the user; the same command goes on from here"
        raise
    except BaseException as error:
        message = f"{type(error).__name__}: {error}" if not isinstance(error, InputError) else str(error)
        raise
    finally:
        events.emit(status, message=message)
        write_json(path, {**state, "ended": time.time(), "status": status, "message": message})
        events.close()


def _alive(state: dict[str, Any]) -> bool:
    try:
        process = psutil.Process(int(state["pid"]))
        return abs(process.create_time() - float(state["created"])) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, ValueError):
        return False


def _write_run_yaml(folder: Path, settings: RunConfig, context: Context | None = None) -> None:
    """Write the settings with every default, the versions, and what was resolved on the way (steps of each arm)."""
    versions = {"lexigraft": lexigraft.__version__}
    for name in _VERSIONS:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    resolved: dict[str, Any] = {"versions": versions}
    before = folder / "run.yaml"
    if context is not None and "budget" in context.done:
        resolved["steps"] = context.facts("budget")["steps"]
    elif before.is_file():
        old = yaml.safe_load(before.read_text(encoding="utf-8")) or {}
        resolved = {**old.get("resolved", {}), **resolved}
    write_atomic(before, configuration.dump(settings) + yaml.safe_dump({"resolved": resolved}, sort_keys=False))
