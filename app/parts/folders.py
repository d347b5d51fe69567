"""Run folders as the pages see them: found below one runs folder, read without trust, nothing written.

Names from the address bar never become paths by themselves: a run is one of the folders that `listing` finds, and a
file of a run must lie inside its folder after links are followed.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import yaml

from lexigraft import InputError

OUTPUT = "output.txt"  # what the process printed
LAUNCH = "ui.json"  # which process this page started
ACTIVE = ("running", "starting")
RESUMABLE = ("stopped", "killed", "failed")


def runs_folder() -> Path:
    """Return the folder whose run folders are shown: `LEXIGRAFT_RUNS`, or `runs` where the server was started."""
    return Path(os.environ.get("LEXIGRAFT_RUNS") or "runs").absolute()


def read_json(path: Path) -> Any:
    """Read JSON; None when the file is missing, cut off, or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def alive(state: Any) -> psutil.Process | None:
    """Find the process that a `run.json` or `ui.json` names, if it is still the same one and has not ended.

    Args:
        state: a mapping with `pid` and `created` (when that process began, seconds since 1970): a number that was
            given to another process since then is not taken for it.
    """
    try:
        process = psutil.Process(int(state["pid"]))
        same = abs(process.create_time() - float(state["created"])) < 2
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class RunFolder:
    """One run on disk, read anew for each page drawn.

    Attributes:
        path: the run folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the folder, as it stands in the address."""
        return self.path.name

    def file(self, relative: str) -> Path | None:
        """Return a file of this run; None when it is missing or leads out of the folder."""
        path = (self.path / relative).resolve()
        return path if path.is_file() and path.is_relative_to(self.path.resolve()) else None

    def files(self, pattern: str) -> list[Path]:
        """Return the files of this run that match a pattern, without those that lead out of the folder."""
        found = (self.file(path.relative_to(self.path).as_posix()) for path in sorted(self.path.glob(pattern)))
        return [path for path in found if path is not None]

    def folder(self, relative: str) -> Path | None:
        """Return a folder of this run; None when it is missing or leads out of the run folder."""
        path = (self.path / relative).resolve()
        return path if path.is_dir() and path.is_relative_to(self.path.resolve()) else None

    def text(self, relative: str, limit: int = 2_000_000) -> str | None:
        """Read the end of a text file of this run, at most `limit` bytes; None when there is none."""
        path = self.file(relative)
        if path is None:
            return None
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - limit))
            return handle.read().decode("utf-8", errors="replace")

    @cached_property
    def state(self) -> dict[str, Any]:
        """Content of `run.json`."""
        path = self.file("run.json")
        found = read_json(path) if path else None
        return found if isinstance(found, dict) else {}

    @cached_property
    def launch(self) -> dict[str, Any]:
        """Content of `ui.json`, when this page started the run."""
        path = self.file(LAUNCH)
        found = read_json(path) if path else None
        return found if isinstance(found, dict) else {}

    @property
    def process(self) -> psutil.Process | None:
        """The process that works on this run; None when there is none."""
        return alive(self.state) if self.state.get("status") == "running" else None

    @cached_property
    def status(self) -> str:
        """`starting`, `running`, `finished`, `failed`, `stopped`, `killed`, or `new`.

        `killed`: the process is gone without a word. `starting`: this page started a process that has not yet taken
        the folder. `failed`: also a process that ended before it took the folder.
        """
        started = _number(self.launch.get("started"))
        if started > _number(self.state.get("started")):
            if alive(self.launch):
                return "starting"
            return str(self.launch.get("status") or "failed")
        found = str(self.state.get("status") or "new")
        return "killed" if found == "running" and self.process is None else found

    @property
    def started(self) -> float:
        """When it was last started, seconds since 1970; 0 when never."""
        return max(_number(self.state.get("started")), _number(self.launch.get("started")))

    @property
    def seconds(self) -> float | None:
        """How long it has run since it was last started; None when that is not known."""
        begin, end = _number(self.state.get("started")), _number(self.state.get("ended"))
        if not begin:
            return None
        return (end or time.time()) - begin if end or self.status == "running" else None

    @property
    def message(self) -> str:
        """Why it failed or stopped: what `run.json` says, or the end of what the process printed."""
        if self.status == "failed" and _number(self.launch.get("started")) > _number(self.state.get("started")):
            lines = [line.strip() for line in (self.text(OUTPUT, 20_000) or "").splitlines() if line.strip()]
            return "\n".join(lines[-12:]) or "the process ended without a word"
        return str(self.state.get("message") or "")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The run's `run.yaml`; empty when it cannot be read."""
        try:
            found = yaml.safe_load(self.text("run.yaml") or "")
        except yaml.YAMLError:
            return {}
        return found if isinstance(found, dict) else {}


def listing(root: Path | None = None) -> list[RunFolder]:
    """List every run below the runs folder, the last started first."""
    root = root or runs_folder()
    if not root.is_dir():
        return []
    inside = root.resolve()
    runs = [
        RunFolder(path)
        for path in root.iterdir()
        if not path.name.startswith(".")
        and path.is_dir()
        and path.resolve().parent == inside
        and any((path / name).is_file() for name in ("run.json", "run.yaml", "events.jsonl", LAUNCH))
    ]
    return sorted(runs, key=lambda run: (-run.started, run.name))


def find(name: str, root: Path | None = None) -> RunFolder:
    """Return the run of that name below the runs folder.

    Raises:
        InputError: there is none; a name with a path in it is none.
    """
    for run in listing(root):
        if run.name == name:
            return run
    raise InputError(f"no run of this name in {root or runs_folder()}", found=repr(name[:80]))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
