"""Files that are whole or not there: atomic writing, checksums, the `done.json` that closes a stage's folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

DONE = "done.json"


def write_atomic(path: Path, text: str) -> None:
    """Write a text file under a temporary name, sync it, and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically, keys in the order given."""
    write_atomic(path, json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; None when the file is missing or cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(data: Any) -> str:
    """SHA-256 of a JSON-like value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of every file below a folder, by relative name, without its done.json."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / DONE
    }


def close(folder: Path, fingerprint: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Write a finished folder's `done.json`: fingerprint of inputs and options, sizes and checksums of its files."""
    files = contents(folder)
    done = {"fingerprint": fingerprint, "output": digest_of(files), "facts": facts, "files": files}
    write_json(folder / DONE, done)
    return done


def verified(folder: Path, fingerprint: str | None = None) -> dict[str, Any] | None:
    """Read a folder's `done.json` if it is whole.

    Args:
        folder: a stage's folder.
        fingerprint: the fingerprint it should have; None accepts any.

    Returns:
        The content of done.json; None when it is missing, has another fingerprint, or a file is missing or altered.
    """
    done = read_json(folder / DONE)
    if not isinstance(done, dict) or (fingerprint is not None and done.get("fingerprint") != fingerprint):
        return None
    files = done.get("files", {})
    for name, known in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != known["bytes"]:
            return None
    return done if all(digest(folder / name) == known["sha256"] for name, known in files.items()) else None


def link_tree(origin: Path, target: Path) -> None:
    """Copy a folder by hard links where the file system has them, by copying where not."""

    def link(source: str, destination: str) -> None:
        try:
            os.link(source, destination)
        except OSError:
            shutil.copy2(source, destination)

    shutil.copytree(origin, target, copy_function=link, dirs_exist_ok=True)


def move_into_place(partial: Path, final: Path) -> None:
    """Rename a finished folder to its final name; an older one of that name is removed after the new one is ready."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        old = final.with_name(f".old-{final.name}")
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
        partial.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(final)
