"""Start a run in a process of its own, stop it, resume it: the page only ever looks at its files.

The process outlives the page and the server. What it prints goes to `output.txt` in the run folder, and `ui.json`
there says which process it is, until the run itself says so in `run.json`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

import adapt
from adapt import config as configuration
from adapt.files import write_atomic, write_json
from adapt.pipeline import folder_of
from app.parts.folders import ACTIVE, LAUNCH, OUTPUT, RunFolder, alive, read_json
from lexigraft import InputError

_PATIENCE = 4.0  # seconds a run gets to end by itself before it is killed
_CHILDREN: list[subprocess.Popen[bytes]] = []


def start(values: dict[str, Any], root: Path) -> str:
    """Write a run's settings into its folder and start it.

    Args:
        values: the settings as the form gives them, keys as in the YAML; `out` is set to `root`.
        root: the runs folder.

    Returns:
        Name of the run folder: the same settings have the same one, so a run that was cut short goes on.

    Raises:
        InputError: a setting is wrong.
    """
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".draft-{os.getpid()}-{time.time_ns()}.yaml"
    try:
        write_atomic(draft, yaml.safe_dump({**values, "out": str(root)}, sort_keys=False, allow_unicode=True))
        settings = configuration.load(draft)
    finally:
        draft.unlink(missing_ok=True)
    folder = folder_of(settings)
    run = RunFolder(folder)
    if run.status in ACTIVE:
        return run.name
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "run.yaml").is_file():
        write_atomic(folder / "run.yaml", configuration.dump(settings))
    _spawn(folder, "run", str(folder / "run.yaml"))
    return run.name


def resume(run: RunFolder) -> None:
    """Start a run again where it was cut short.

    Raises:
        InputError: it is being worked on already.
    """
    if run.status in ACTIVE:
        raise InputError("this run is already being worked on", file=run.path)
    if run.file("run.yaml") is None:
        raise InputError("the run folder has no settings", file=run.path, expected="a run.yaml")
    _spawn(run.path, "resume", str(run.path))


def stop(run: RunFolder) -> None:
    """End a run's whole process group: asked first, then killed. What was finished stays, and it can be resumed.

    Raises:
        InputError: the run has no process here.
    """
    process = run.process or alive(run.launch)
    if process is None:
        raise InputError("this run has no process on this machine", file=run.path)
    family = [process, *_children(process)]
    _interrupt(process)
    _, left = psutil.wait_procs(family, timeout=_PATIENCE)
    for survivor in {*left, *(c for p in left for c in _children(p))}:
        try:
            survivor.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=_PATIENCE)
    _note_stop(run)


def _interrupt(process: psutil.Process) -> None:
    try:
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        elif os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGTERM)
        else:  # started by somebody's shell or script, whose group is not ours to end
            process.send_signal(signal.SIGTERM)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _note_stop(run: RunFolder) -> None:
    """Write what a killed run could not write itself."""
    message = "stopped on the web page; it goes on from here when it is resumed"
    state = read_json(run.path / "run.json") or {}
    launched = read_json(run.path / LAUNCH) or {}
    if float(launched.get("started") or 0) > float(state.get("started") or 0):
        write_json(run.path / LAUNCH, {**launched, "status": "stopped"})
    elif state.get("status") == "running":
        write_json(run.path / "run.json", {**state, "ended": time.time(), "status": "stopped", "message": message})
    else:
        return
    log = run.path / "events.jsonl"
    cut = log.exists() and not log.read_bytes().endswith(b"\n")
    with log.open("a", encoding="utf-8") as handle:
        line = {"time": round(time.time(), 3), "event": "stopped", "message": message}
        handle.write(("\n" if cut else "") + json.dumps(line) + "\n")


def _spawn(folder: Path, *command: str) -> None:
    """Start `python -m adapt.cli` detached from this process, and note which process it is."""
    for child in [child for child in _CHILDREN if child.poll() is not None]:  # so that none stays a zombie
        _CHILDREN.remove(child)
    environment = {**os.environ, "PYTHONUTF8": "1", "NO_COLOR": "1", "COLUMNS": "120"}
    ours = Path(adapt.__file__).parents[1]
    if ours.name not in ("site-packages", "dist-packages"):  # a checkout: found from any folder
        paths = [str(ours), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    started = time.time()
    with (folder / OUTPUT).open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "adapt.cli", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            **_own_group(),
        )
    _CHILDREN.append(child)
    try:
        created = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        created = 0.0
    write_json(folder / LAUNCH, {"pid": child.pid, "created": created, "started": started})


def _own_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
