"""Safetensors checkpoints tensor by tensor: some read, some replaced, all others copied as bytes without being loaded.

The format is a length (8 bytes, little-endian), a JSON header of that length with each tensor's dtype, shape and place,
and the tensors' bytes one after the other.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lexigraft import InputError

if TYPE_CHECKING:
    import torch

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_CHUNK = 1 << 24  # bytes copied at a time
_HEADER_LIMIT = 100_000_000  # as the safetensors library has it


def files_of(folder: Path) -> dict[str, Path] | None:
    """Say which file holds which tensor.

    Args:
        folder: a model's folder.

    Returns:
        Tensor name -> file; None where there is neither model.safetensors nor its index.

    Raises:
        InputError: the index names a file that is not there, or a file is damaged.
    """
    index = folder / INDEX
    if index.is_file():
        try:
            names: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError) as error:
            raise InputError(f"this is no index of weights: {error!r}", file=index) from None
        for name in sorted(set(names.values())):
            if not (folder / name).is_file():
                raise InputError("a part of the weights is missing", file=folder / name, expected=f"as {INDEX} says")
        return {tensor: folder / name for tensor, name in names.items()}
    if (folder / SINGLE).is_file():
        return {tensor: folder / SINGLE for tensor in _header(folder / SINGLE)[0] if tensor != "__metadata__"}
    return None


def rewrite(source: Path, target: Path, replaced: Mapping[str, torch.Tensor]) -> None:
    """Copy a checkpoint with some tensors replaced; never more than 16 MB of the others is in memory.

    Args:
        source: folder of the checkpoint.
        target: folder to write, with the same files.
        replaced: tensor name -> its new value, of any shape, contiguous.

    Raises:
        InputError: there are no safetensors in the source, or a file is damaged.
    """
    files = files_of(source)
    if files is None:
        raise InputError("the model folder has no weights", file=source, expected=SINGLE)
    change = 0
    for file in sorted(set(files.values())):
        inside = {name: value for name, value in replaced.items() if files.get(name) == file}
        change += _rewrite_file(file, target / file.name, inside)
    if (source / INDEX).is_file():
        index = json.loads((source / INDEX).read_text(encoding="utf-8"))
        facts = index.get("metadata") or {}
        if "total_size" in facts:
            facts["total_size"] += change
        if "total_parameters" in facts:
            facts["total_parameters"] = sum(_elements(file) for file in sorted(target.glob("*.safetensors")))
        text = json.dumps({**index, "metadata": facts}, indent=2, sort_keys=True)
        (target / INDEX).write_text(text + "\n", encoding="utf-8")


def _rewrite_file(source: Path, target: Path, replaced: Mapping[str, torch.Tensor]) -> int:
    """Write one file; says by how many bytes the tensors grew."""
    if not replaced:
        shutil.copyfile(source, target)
        return 0
    header, start = _header(source)
    order = sorted((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    made: dict[str, Any] = {name: facts for name, facts in header.items() if name == "__metadata__"}
    place = 0
    for name in order:
        first, last = header[name]["data_offsets"]
        facts = dict(header[name])
        size = last - first
        if name in replaced:
            size = replaced[name].numel() * replaced[name].element_size()
            facts |= {"shape": list(replaced[name].shape), "dtype": _code(replaced[name].dtype)}
        made[name] = {**facts, "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(made, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with source.open("rb") as old, target.open("wb") as new:
        new.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            first, last = header[name]["data_offsets"]
            if name in replaced:
                _write(new, replaced[name])
            else:
                old.seek(start + first)
                _copy(old, new, last - first)
    return place - max(header[name]["data_offsets"][1] for name in order)


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """Read a file's header, and where the tensors begin."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            if not 0 < size <= _HEADER_LIMIT:
                raise ValueError(f"a header of {size} bytes")
            header: dict[str, Any] = json.loads(stream.read(size))
        except ValueError as error:
            raise InputError(f"damaged weights: {error}", file=file, expected="a whole safetensors file") from None
    end = (
        8
        + size
        + max((facts["data_offsets"][1] for name, facts in header.items() if name != "__metadata__"), default=0)
    )
    if file.stat().st_size != end:
        raise InputError(
            "damaged weights",
            file=file,
            found=f"{file.stat().st_size:,} bytes",
            expected=f"{end:,}, as its header says",
        )
    return header, 8 + size


def _elements(file: Path) -> int:
    from math import prod

    return sum(prod(facts["shape"]) for name, facts in _header(file)[0].items() if name != "__metadata__")


def _copy(old: IO[bytes], new: IO[bytes], size: int) -> None:
    while size:
        part = old.read(min(size, _CHUNK))
        new.write(part)
        size -= len(part)


def _write(stream: IO[bytes], tensor: torch.Tensor) -> None:
    import torch

    flat = tensor.detach().reshape(-1).view(torch.uint8)
    for start in range(0, len(flat), _CHUNK):
        stream.write(flat[start : start + _CHUNK].cpu().numpy().data)


def _code(dtype: torch.dtype) -> str:
    """Name a dtype as safetensors does."""
    import torch

    codes = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    return codes[dtype]
