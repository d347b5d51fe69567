"""Checkpoints that are whole or not there: safetensors and JSON, synced, renamed, checked when read.

A checkpoint is a folder `step-00000120` with `weights.safetensors`, `optimizer.safetensors`, where there is more to
remember `extra.safetensors`, and `state.json`, which is written last and holds the others' SHA-256 and its own. No
pickle. The newest two are kept, and those that one of these two names in its state as `pins`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapt.files import digest, digest_of, read_json, write_atomic
from lexigraft import InputError

if TYPE_CHECKING:
    import torch

KEEP = 2
FILES = ("weights.safetensors", "optimizer.safetensors", "extra.safetensors")
STALL = "LEXIGRAFT_TEST_STALL"  # tests only: seconds to wait between the files of a checkpoint, to be killed there


@dataclass
class Checkpoint:
    """What a run goes on from.

    Attributes:
        weights: trained tensors by name.
        optimizer: `<name>.exp_avg` and so on.
        state: step, cursor, seconds and whatever else the engine keeps (JSON); `pins`: steps that must stay.
        folder: where it was read from.
        extra: tensors that watchers remember.
    """

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    state: dict[str, Any]
    folder: Path | None = None
    extra: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, dict[str, torch.Tensor]]:
        """Its tensors by the file they are in; a file without any is left out, weights excepted."""
        parts = dict(zip(FILES, (self.weights, self.optimizer, self.extra), strict=True))
        return {file: tensors for file, tensors in parts.items() if tensors or file != FILES[2]}


def save(root: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then remove those before the newest two that neither of these pins.

    Args:
        root: the folder that holds the checkpoints.
        checkpoint: its `state` must have `step`.

    Returns:
        The new folder.

    Raises:
        InputError: the disk is full or refuses; the checkpoints that were there are untouched.
    """
    from safetensors.torch import save_file

    name = _name(checkpoint.state["step"])
    root.mkdir(parents=True, exist_ok=True)
    partial, final = root / f".partial-{name}", root / name
    with whole_or_nothing(partial, _bytes(checkpoint)):
        partial.mkdir(parents=True)
        sums = {}
        for file, tensors in checkpoint.parts.items():
            save_file({key: value.detach().contiguous() for key, value in tensors.items()}, partial / file)
            sync(partial / file)
            sums[file] = digest(partial / file)
            _stall()
        _write_state(partial / "state.json", {**checkpoint.state, "sha256": sums})
        shutil.rmtree(final, ignore_errors=True)  # a damaged one of the same step
        partial.rename(final)
        sync(root)
    there = listed(root)
    pins = {step for folder in there[-KEEP:] for step in _state(folder).get("pins", [])}
    for folder in there[:-KEEP]:
        if step_of(folder) not in pins:
            shutil.rmtree(folder, ignore_errors=True)
    return final


def _write_state(path: Path, state: dict[str, Any]) -> None:
    write_atomic(path, json.dumps({**state, "own": digest_of(state)}))


def _state(folder: Path) -> dict[str, Any]:
    state = read_json(folder / "state.json")
    return state if isinstance(state, dict) else {}


def step_of(folder: Path) -> int:
    """Step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step-"))


def go_back(root: Path, step: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Make an earlier checkpoint the newest: drop those after it, then change what it remembers.

    Killed in between, a run goes on from it unchanged and comes to the same decision again.

    Args:
        root: the folder that holds the checkpoints.
        step: its step.
        change: gives its new state from its state.

    Raises:
        InputError: it is not there, or damaged.
    """
    for folder in listed(root):
        if step_of(folder) > step:
            shutil.rmtree(folder)
    last = load(root, step)
    sums = _state(root / _name(step))["sha256"]
    _write_state(root / _name(step) / "state.json", {**change(last.state), "sha256": sums})


def keep_only(root: Path, steps: list[int]) -> None:
    """Remove the checkpoints of a finished training but for some; the folder too, where none stays."""
    for folder in listed(root):
        if step_of(folder) not in steps:
            shutil.rmtree(folder, ignore_errors=True)
    if not listed(root):
        shutil.rmtree(root, ignore_errors=True)


def _name(step: int) -> str:
    return f"step-{step:08d}"


@contextmanager
def whole_or_nothing(partial: Path, size: int) -> Iterator[None]:
    """Clear a temporary folder before it is written, and away again when writing fails.

    Args:
        partial: the temporary folder, renamed inside the block when all is well.
        size: bytes it is going to take.

    Raises:
        InputError: the system does not let it be written; says how much room there is and how much is needed.
    """
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield
    except Exception as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space" in str(error)
        raise InputError(
            "the disk is full" if full else f"cannot write here: {error}",
            file=partial.parent,
            found=f"{shutil.disk_usage(partial.parent).free / 1e6:.0f} MB free",
            expected=f"{size / 1e6:.0f} MB; what was saved before is untouched",
        ) from None


@contextmanager
def disk_full_said(folder: Path) -> Iterator[None]:
    """Turn the system's "no space left" into an error that says where, and that nothing is lost."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            "the disk is full",
            file=folder,
            found=f"{shutil.disk_usage(folder).free / 1e6:.0f} MB free",
            expected="room; what was saved before is untouched, start again to go on from it",
        ) from None


def listed(root: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(p for p in root.glob("step-*") if p.is_dir())


def load_last(root: Path) -> tuple[Checkpoint | None, list[str]]:
    """Read the newest checkpoint that is whole.

    Args:
        root: the folder that holds the checkpoints.

    Returns:
        The checkpoint, or None when there is none that is whole; and one sentence for each damaged one passed over.
    """
    notices: list[str] = []
    for left in root.glob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in reversed(listed(root)):
        problem = damage(folder)
        if problem is None:
            return _read(folder), notices
        notices.append(f"checkpoint {folder.name} is damaged ({problem}); taking the one before")
    return None, notices


def load(root: Path, step: int) -> Checkpoint:
    """Read the checkpoint of one step.

    Raises:
        InputError: it is not there, or damaged.
    """
    folder = root / _name(step)
    if not folder.is_dir():
        there = ", ".join(str(step_of(other)) for other in listed(root)) or "none"
        raise InputError("no checkpoint of this step", file=root, found=f"step {step}", expected=f"one of: {there}")
    if problem := damage(folder):
        raise InputError(f"this checkpoint is damaged: {problem}", file=folder)
    return _read(folder)


def _read(folder: Path) -> Checkpoint:
    from safetensors.torch import load_file

    state = _state(folder)
    weights, optimizer, extra = (load_file(folder / file) if file in state["sha256"] else {} for file in FILES)
    state = {key: value for key, value in state.items() if key not in ("own", "sha256")}
    return Checkpoint(weights, optimizer, state, folder, extra)


def damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint; None when it is whole."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        own = state.pop("own")
        if own != digest_of(state):
            return "state.json does not have its checksum"
        for file, known in state["sha256"].items():
            if digest(folder / file) != known:
                return f"{file} does not have its checksum"
    except OSError as error:
        return f"{Path(error.filename or folder).name}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "state.json is cut off"
    return None


def sync(path: Path) -> None:
    """Have the system put a file or a folder's entries on the disk (folders: not on Windows)."""
    try:
        number = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(number)


def _stall() -> None:
    if seconds := os.environ.get(STALL):
        import time

        time.sleep(float(seconds))


def _bytes(checkpoint: Checkpoint) -> int:
    return sum(t.numel() * t.element_size() for part in checkpoint.parts.values() for t in part.values())
