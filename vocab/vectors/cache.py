"""A store of vectors found by content: same text, tokenizer and options hit; anything else misses."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np


def folder() -> Path:
    """Where vectors are kept: $LEXIGRAFT_CACHE, or the user's cache folder."""
    base = os.environ.get("LEXIGRAFT_CACHE")
    if base:
        return Path(base) / "vectors"
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    return Path(home) / "lexigraft" / "vectors"


def key(fingerprint: str, ids: np.ndarray, starts: np.ndarray, options: dict[str, Any]) -> str:
    """Name of an entry: SHA-256 over tokenizer, encoded text and options.

    Args:
        fingerprint: of the vocabulary.
        ids: the encoded text, which text and tokenizer decide alone.
        starts: its lines.
        options: all that the vectors depend on besides.
    """
    digest = hashlib.sha256(fingerprint.encode())
    digest.update(json.dumps(options, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(starts, np.int64).data)
    digest.update(np.ascontiguousarray(ids, np.int32).data)
    return digest.hexdigest()


def find(where: Path, name: str) -> np.ndarray | None:
    """Return stored vectors, or None where there are none or the file is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = where / f"{name}.safetensors"
    try:
        return load_file(path)["vectors"]
    except (OSError, SafetensorError, KeyError):
        return None


def keep(where: Path, name: str, vectors: np.ndarray) -> None:
    """Store vectors; a store that cannot be written is no reason to stop."""
    from safetensors.numpy import save_file

    path = where / f"{name}.safetensors"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        where.mkdir(parents=True, exist_ok=True)
        save_file({"vectors": np.ascontiguousarray(vectors)}, part)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
