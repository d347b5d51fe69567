"""How far a run is, read from its folder alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adapt.events import clock, note
from adapt.files import read_json
from adapt.pipeline import Run
from lexigraft import InputError


def events(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a run's `events.jsonl`, oldest first."""
    found = []
    for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # the last line, while it is being written
            continue
    return found


def describe(folder: Path) -> list[str]:
    """Say in lines what is done, what is being done with time left, and how the run ended.

    Raises:
        InputError: not a run folder.
    """
    if not (folder / "events.jsonl").is_file():
        raise InputError("not a run folder", file=folder, found="no events.jsonl")
    last: dict[str, dict[str, Any]] = {}
    for event in events(folder):
        if event.get("stage") and event["event"] != "notice":
            last[event["stage"]] = event
    state = Run(folder).status
    lines = [f"{folder}: {state}"]
    for stage, event in last.items():
        if event["event"] in ("finished", "skipped"):
            seconds = (read_json(folder / stage / "done.json") or {}).get("facts", {}).get("seconds")
            lines.append(f"  done     {stage}" + (f"  {clock(seconds)}" if seconds is not None else ""))
        elif event["event"] == "progress" and state == "running":
            share = 100 * event["done"] / event["total"] if event["total"] else 0
            left = event.get("seconds_left")
            lines.append(f"  running  {stage}  {share:.0f} %" + (f", {clock(left)} left" if left is not None else ""))
            if told := note(event.get("facts") or {}):
                lines.append(f"           {told}")
        else:
            lines.append(f"  {'running' if state == 'running' else 'cut off'}  {stage}")
    message = (read_json(folder / "run.json") or {}).get("message")
    return [*lines, f"  {message}"] if message else lines
