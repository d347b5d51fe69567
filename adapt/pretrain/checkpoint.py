"""Checkpoints that are whole or not there: safetensors and JSON, synced, renamed, checked when read.

A checkpoint is a folder `step-00000120` with `weights.safetensors`, `optimizer.safetensors` and `state.json`, which is
written last and holds the others' SHA-256 and its own. No pickle.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapt.files import digest, digest_of
from lexigraft import InputError

if TYPE_CHECKING:
    import torch

KEEP = 2
FILES = ("weights.safetensors", "optimizer.safetensors")
STALL = "LEXIGRAFT_TEST_STALL"  # tests only: seconds to wait between the files of a checkpoint, to be killed there


@dataclass
class Checkpoint:
    """What a run goes on from.

    Attributes:
        weights: trained tensors by name.
        optimizer: `<name>.exp_avg` and so on.
        state: step, cursor, seconds and whatever else the engine keeps (JSON).
        folder: where it was read from.
    """

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    state: dict[str, Any]
    folder: Path | None = None


def save(root: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then remove all but the newest two.

    Args:
        root: the folder that holds the checkpoints.
        checkpoint: its `state` must have `step`.

    Returns:
        The new folder.

    Raises:
        InputError: the disk is full or refuses; the checkpoints that were there are untouched.
    """
    from safetensors.torch import save_file

    name = f"step-{checkpoint.state['step']:08d}"
    root.mkdir(parents=True, exist_ok=True)
    partial, final = root / f".partial-{name}", root / name
    with whole_or_nothing(partial, _bytes(checkpoint)):
        partial.mkdir(parents=True)
        sums = {}
        for file, tensors in zip(FILES, (checkpoint.weights, checkpoint.optimizer), strict=True):
            save_file({key: value.detach().contiguous() for key, value in tensors.items()}, partial / file)
            sync(partial / file)
            sums[file] = digest(partial / file)
            _stall()
        state = {**checkpoint.state, "sha256": sums}
        with (partial / "state.json").open("w", encoding="utf-8") as handle:
            json.dump({**state, "own": digest_of(state)}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        shutil.rmtree(final, ignore_errors=True)  # a damaged one of the same step
        partial.rename(final)
        sync(root)
    for old in listed(root)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return final


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
    from safetensors.torch import load_file

    notices: list[str] = []
    for left in root.glob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in reversed(listed(root)):
        problem = damage(folder)
        if problem is None:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            state = {key: value for key, value in state.items() if key not in ("own", "sha256")}
            weights, optimizer = (load_file(folder / file) for file in FILES)
            return Checkpoint(weights, optimizer, state, folder), notices
        notices.append(f"checkpoint {folder.name} is damaged ({problem}); taking the one before")
    return None, notices


def damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint; None when it is whole."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        own = state.pop("own")
        if own != digest_of(state):
            return "state.json does not have its checksum"
        for file in FILES:
            if digest(folder / file) != state["sha256"][file]:
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
    return sum(
        t.numel() * t.element_size() for part in (checkpoint.weights, checkpoint.optimizer) for t in part.values()
    )
