"""Stages and how they are run: skipped when whole, shared between runs, resumed when cut short, renamed into place."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.events import Events, Report, clock
from adapt.files import close, digest, digest_of, link_tree, move_into_place, read_json, verified, write_json
from lexigraft import InputError

PARTIAL = ".partial"


@dataclass(frozen=True)
class Stage:
    """One step of a run: `inputs -> artifact`.

    Attributes:
        name: folder below the run folder (`pretrain/adapted`).
        work: `(context, folder, report) -> facts`: writes the artifact into `folder`.
        inputs: names of the stages whose output it reads; `corpus#heldout.txt` where it is one file of it alone.
        options: the settings it depends on, JSON-like.
        files: files from outside the run that it reads; their content counts, not their name.
        resumable: what it wrote before it was cut short is kept and handed to it again.
        version: raised when the same inputs would give another artifact.
        shared: a finished one from another run with the same fingerprint may be taken over.
    """

    name: str
    work: Callable[[Context, Path, Report], dict[str, Any]]
    inputs: tuple[str, ...] = ()
    options: Any = None
    files: tuple[Path, ...] = ()
    resumable: bool = False
    version: int = 1
    shared: bool = True


@dataclass
class Context:
    """What stages may ask of the run they belong to."""

    config: RunConfig
    folder: Path
    source: Path
    events: Events
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    def path(self, stage: str) -> Path:
        """Folder of a finished stage."""
        return self.folder / stage

    def facts(self, stage: str) -> dict[str, Any]:
        """Return what a finished stage noted, with the seconds it took."""
        found: dict[str, Any] = self.done.get(stage, {}).get("facts", {})
        return found


def fingerprint(stage: Stage, context: Context) -> str:
    """Digest of everything that decides what the stage writes."""
    return digest_of(
        {
            "stage": stage.name,
            "version": stage.version,
            "options": stage.options,
            "inputs": {name: _output(context, name) for name in stage.inputs},
            "files": [digest(path) for path in stage.files],
            "seed": context.config.seed,
        }
    )


def _output(context: Context, name: str) -> str:
    """Digest of what a stage wrote, or of one file of it."""
    stage, _, file = name.partition("#")
    done = context.done[stage]
    return str(done["files"][file]["sha256"] if file else done["output"])


def execute(stages: list[Stage], context: Context) -> None:
    """Run the stages in order; a finished one is checked against its checksums and skipped.

    Raises:
        InputError: what a stage refused, or a full disk, with what to do. Nothing that was finished is lost.
    """
    for number, stage in enumerate(stages, 1):
        label = f"[{number}/{len(stages)}] {stage.name}"
        known = fingerprint(stage, context)
        final = context.folder / stage.name
        done = verified(final, known) or (_taken_over(stage, known, context) if stage.shared else None)
        if done is not None:
            context.done[stage.name] = done
            context.events.emit("skipped", stage.name, message="done before")
            context.events.say(f"[green]✓[/] {label}  [dim]done before[/]")
            continue
        context.events.say(f"[bold]›[/] {label}")
        context.done[stage.name] = _run(stage, known, context)
        seconds = context.facts(stage.name)["seconds"]
        context.events.say(f"[green]✓[/] {label}  [dim]{clock(seconds)}[/]")


def _run(stage: Stage, known: str, context: Context) -> dict[str, Any]:
    partial = context.folder / PARTIAL / stage.name.replace("/", "--")
    mark = partial.parent / f"{partial.name}.json"
    before = read_json(mark)
    if not (stage.resumable and isinstance(before, dict) and before.get("fingerprint") == known):
        shutil.rmtree(partial, ignore_errors=True)
        before = {"fingerprint": known, "seconds": 0.0}
        write_json(mark, before)
    partial.mkdir(parents=True, exist_ok=True)
    context.events.emit("started", stage.name)
    start = time.monotonic()
    try:
        with context.events.progress(stage.name) as report:
            facts = stage.work(context, partial, report)
        facts = {"seconds": round(time.monotonic() - start, 2), **facts}
        done = close(partial, known, facts)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(context.folder).free // 2**20
        raise InputError(
            f"the disk is full: stage {stage.name} could not write {error.filename or partial}. What was finished is "
            "untouched; make room and start the same command again",
            found=f"{free} MB free",
        ) from error
    move_into_place(partial, context.folder / stage.name)
    mark.unlink(missing_ok=True)
    context.events.emit("finished", stage.name, facts=facts)
    return done


def _taken_over(stage: Stage, known: str, context: Context) -> dict[str, Any] | None:
    """Link a finished stage with the same fingerprint from a run beside this one."""
    for other in sorted(context.folder.parent.glob(f"*/{stage.name}/done.json")):
        folder = other.parent
        if folder == context.folder / stage.name or (read_json(other) or {}).get("fingerprint") != known:
            continue
        if verified(folder, known):
            partial = context.folder / PARTIAL / f"{stage.name.replace('/', '--')}-link"
            shutil.rmtree(partial, ignore_errors=True)
            link_tree(folder, partial)
            move_into_place(partial, context.folder / stage.name)
            return verified(context.folder / stage.name, known)
    return None
