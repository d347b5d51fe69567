"""Where the heavy dense steps are computed: on a GPU where there is one, else on the processor.

Inside `with computing_on(...)` a step that asks `here()` gets a `Place` to multiply on with torch, or None: then numpy
and scipy do it, as ever. What is drawn is drawn on the processor and what is made comes back to it: samples and files
are the same wherever they were computed, but for the last digits, since sums are taken in another order.

No GPU was at hand: the code was tried with torch on the processor; tests/vocab/test_device.py holds a GPU against that
where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import numpy as np

from lexigraft import InputError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda"]
_BLOCK = {"cuda": 1 << 30, "cpu": 1 << 26}  # bytes that a block of rows takes while it is worked on
_SPARE = 1 << 30  # bytes of a GPU that are left free beside a model

Made = TypeVar("Made")
Given = ParamSpec("Given")


def find(wanted: str, kinds: Sequence[str] = ("cuda", "cpu")) -> str:
    """Say which kind of device is meant.

    Args:
        wanted: `auto` (the first of the kinds that is there), or one of them.
        kinds: of cuda, mps and cpu, the best first.

    Raises:
        InputError: no such kind, or it is not there; says what is.
    """
    import torch

    usable: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True
    }  # fmt: skip
    there = [kind for kind in kinds if usable[kind]()]
    if wanted == "auto":
        return there[0]
    if wanted not in there:
        absent = f"this machine (or this build of torch) has no {wanted}"
        raise InputError(absent if wanted in kinds else "unknown device", found=f"device: {wanted}",
                         expected=f"device: {' or '.join(['auto', *there])}")  # fmt: skip
    return wanted


def name_of(device: torch.device) -> str:
    """Name a device as people know it: `cpu`, or the GPU's own name in brackets."""
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


@dataclass
class Place:
    """A device that torch computes on.

    Attributes:
        device: it.
        notes: what the report should say, such as that its memory was short.
    """

    device: torch.device
    notes: list[str] = field(default_factory=list)

    def put(self, array: np.ndarray) -> torch.Tensor:
        """Copy an array to the device."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def in_blocks(self, count: int, size: int, work: Callable[[slice], Made]) -> list[Made]:
        """Work through rows, as many at once as there is memory for; with fewer where it runs out.

        Args:
            count: rows in all.
            size: bytes that a row takes, what is made of it on the way included.
            work: makes something of a slice of the rows.

        Returns:
            What was made, in order.
        """
        import torch

        # By halves: as long as there is enough memory blocks are the same, and so are sums to the last digit.
        room, free = _BLOCK[self.device.type], self.free()
        while free is not None and room > free // 2 and room > size:
            room //= 2
        rows, start, made = max(1, room // size), 0, []
        while start < count:
            part = slice(start, min(start + rows, count))
            try:
                made.append(work(part))
                start = part.stop
                continue
            except torch.OutOfMemoryError:
                if rows == 1:
                    raise
            # Out here nothing holds the tensors of the block that failed.
            rows = max(1, min(rows, part.stop - part.start) // 2)
            self.release()
            self.notes.append(f"memory of {name_of(self.device)} was short: worked on with {rows} rows at a time")
        return made

    def free(self) -> int | None:
        """Bytes that can be had; None where the device does not tell."""
        import torch

        if self.device.type != "cuda":
            return None
        try:
            outside = torch.cuda.mem_get_info(self.device)[0]
        except RuntimeError:
            return None
        return outside + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)

    def release(self) -> None:
        """Give back the memory that torch keeps for later."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.empty_cache()


_place: ContextVar[Place | None] = ContextVar("place", default=None)


def here() -> Place | None:
    """Where to compute with torch; None means with numpy and scipy."""
    return _place.get()


@contextmanager
def computing_on(where: str | Place | None) -> Iterator[Place | None]:
    """Compute somewhere inside the block, in full float32: no TF32, whatever is allowed outside.

    Args:
        where: `auto` (CUDA where it is, else numpy), `cuda` or `cpu` (torch there), what `here` gave, or None (numpy).

    Raises:
        InputError: see `find`.
    """
    if isinstance(where, str):
        import torch

        kind = find(where)
        where = None if where == "auto" and kind == "cpu" else Place(torch.device(kind))
    before = _place.set(where)
    try:
        if where is None:
            yield None
        else:
            with _full_precision():
                yield where
    finally:
        _place.reset(before)
        if where is not None:
            where.release()


def by_device(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Make a function compute on what its keyword argument `device` says, `auto` if none; see `computing_on`."""

    @wraps(function)
    def call(*args: Given.args, **keywords: Given.kwargs) -> Made:
        with computing_on(keywords.get("device", "auto")):  # type: ignore[arg-type]
            return function(*args, **keywords)

    return call


@contextmanager
def _full_precision() -> Iterator[None]:
    import torch

    backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    # From torch 2.9 on each has a setting of its own, which the older one, for both, writes over.
    own = [getattr(backend, "fp32_precision", None) for backend in backends]
    try:
        both = torch.get_float32_matmul_precision()
    except RuntimeError:  # it does not tell what only the newer settings say
        both = "highest"
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(both)
        for backend, precision in zip(backends, own, strict=True):
            if getattr(backend, "fp32_precision", None) != precision:
                backend.fp32_precision = precision


def told() -> str:
    """Name what is computed on, for reports: a device, and whether the processor computes with torch."""
    place = here()
    return "cpu" if place is None else name_of(place.device) + (" (torch)" if place.device.type == "cpu" else "")


def placed(model: Any, times: float = 1) -> Any:
    """Bring a model to the device, in place; where its memory is short, the model stays and a note says so.

    Args:
        model: a torch module.
        times: how often its own size is needed (4 to train it: gradients and two moments).
    """
    place = here()
    if place is None:
        return model
    tensors = [*model.parameters(), *model.buffers()]
    size = times * sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    free = place.free()
    if free is not None and size + _SPARE > free:
        place.notes.append(f"a model was left on the processor: it needs {size / 1e9:.1f} GB of "
                           f"{name_of(place.device)}, of which {free / 1e9:.1f} GB are free")  # fmt: skip
        return model
    return model.to(place.device)


def back(array: Any) -> np.ndarray:
    """Bring a tensor back as an array; an array is returned as it is."""
    found: np.ndarray = array if isinstance(array, np.ndarray) else array.cpu().numpy()
    return found


def largest_columns(scores: torch.Tensor, size: int) -> torch.Tensor:
    """Find each row's largest scores.

    Args:
        scores: (rows, columns), finite.
        size: how many, at most the columns.

    Returns:
        Columns (rows, size), by falling score; of equals the first columns, which `topk` does not promise.
    """
    import torch

    worst = scores.topk(size, dim=1).values[:, -1:]
    above, equal = scores > worst, scores == worst
    room = size - above.sum(dim=1, keepdim=True)
    keep = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
    columns = keep.nonzero()[:, 1].view(len(scores), size)
    return columns.gather(1, scores.gather(1, columns).argsort(dim=1, descending=True, stable=True))
