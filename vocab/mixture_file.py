"""Mixtures on disk: one safetensors file, tensors and a JSON description, nothing that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.mixture import FILE, Mixture, Side

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_FORMAT = 1


def write(mixture: Mixture, where: Path) -> Path:
    """Write a mixture; the same mixture gives the same bytes.

    Args:
        mixture: what to write.
        where: a file, or a folder to write mixture.safetensors into.

    Returns:
        The file.
    """
    from safetensors.numpy import save_file

    path = where / FILE if where.is_dir() else where
    tensors: dict[str, np.ndarray] = {
        "method": mixture.method,
        "copied": mixture.copied.astype(np.uint8),
        "rescale": mixture.rescale.astype(np.uint8),
        "evidence": mixture.evidence.astype(np.float32),
        "explicit_rows": mixture.explicit_rows.astype(np.int64),
    }
    for name, matrix in (("weights", mixture.weights), ("basis", mixture.basis)):
        tensors[f"{name}.indptr"] = matrix.indptr.astype(np.int64)
        tensors[f"{name}.indices"] = matrix.indices.astype(np.int32)
        tensors[f"{name}.data"] = matrix.data.astype(np.float32)
    for name, side in (("source", mixture.source), ("target", mixture.target)):
        tokens = [t.encode("utf-8", "surrogatepass") for t in side.tokens]
        tensors[f"{name}.tokens"] = np.frombuffer(b"".join(tokens), np.uint8)
        tensors[f"{name}.lengths"] = np.array([len(t) for t in tokens], np.int32)
    for key, rows in mixture.explicit.items():
        tensors[f"explicit.{key}"] = np.ascontiguousarray(rows, np.float32)
    if len(mixture.bias_shift):
        tensors["bias_shift"] = mixture.bias_shift.astype(np.float32)
    facts = {
        "format": _FORMAT,
        "names": mixture.names,
        "basis_names": mixture.basis_names,
        "source": mixture.source.fingerprint,
        "target": mixture.target.fingerprint,
        "edits": mixture.edits,
        "rank": mixture.rank,
    }
    # One key only: safetensors does not keep the order of several, and the bytes would differ.
    save_file(
        {k: np.ascontiguousarray(v) for k, v in tensors.items()},
        path,
        {"lexigraft": json.dumps(facts, ensure_ascii=False, sort_keys=True)},
    )
    return path


def read(where: Path) -> Mixture:
    """Read a mixture.

    Args:
        where: the file, or the folder that holds mixture.safetensors.

    Raises:
        InputError: no such file, damaged, or not a mixture.
    """
    from safetensors import SafetensorError, safe_open

    path = where / FILE if where.is_dir() else where
    if not path.is_file():
        raise InputError("no mixture here", file=path, expected=f"a {FILE}, as `graft.save` writes it")
    try:
        with safe_open(path, "np") as file:
            facts = json.loads((file.metadata() or {}).get("lexigraft", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"not a readable mixture ({error})", file=path) from None
    if facts.get("format") != _FORMAT:
        raise InputError(
            "not a mixture of this version", file=path, found=facts.get("format", "no description"), expected=_FORMAT
        )
    source, target = (_side(tensors, name, facts[name]) for name in ("source", "target"))
    basis = _matrix(tensors, "basis", (len(facts["basis_names"]), len(source.tokens)))
    return Mixture(
        source,
        target,
        _matrix(tensors, "weights", (len(target.tokens), len(source.tokens) + basis.shape[0])),
        basis,
        tuple(facts["basis_names"]),
        tuple(facts["names"]),
        tensors["method"],
        tensors["copied"].astype(bool),
        tensors["rescale"].astype(bool),
        tensors["evidence"],
        tensors["explicit_rows"],
        {k.removeprefix("explicit."): v for k, v in tensors.items() if k.startswith("explicit.")},
        facts.get("edits", {}),
        facts.get("rank", 0),
        tensors.get("bias_shift", np.zeros(0, np.float32)),
    )


def _side(tensors: dict[str, np.ndarray], name: str, fingerprint: str) -> Side:
    data, stops = tensors[f"{name}.tokens"].tobytes(), np.cumsum(tensors[f"{name}.lengths"]).tolist()
    starts = [0, *stops[:-1]]
    return Side(
        fingerprint,
        tuple(data[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, stops, strict=False)),
    )


def _matrix(tensors: dict[str, Any], name: str, shape: tuple[int, int]) -> csr_matrix:
    from scipy.sparse import csr_matrix

    parts = tuple(tensors[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return csr_matrix(parts, shape=shape)
