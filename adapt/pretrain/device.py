"""Where the tensors live: one device a process, chosen once like the number of threads.

Tested on the processor only, the choice of others with stand-ins: no GPU was at hand. On a GPU the same run need not
give the same bits twice (sums by atomic additions); `torch.use_deterministic_algorithms` would see to that at a price
in speed, and is left to whoever calls.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from lexigraft import InputError
from vocab.device import find

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]

_wanted: str = "auto"


def want(name: str) -> None:
    """Set what this process computes on from now on: `auto` (CUDA, else Metal, else the processor), or one of them."""
    global _wanted
    _wanted = name


def wanted() -> str:
    """Return what `want` was told last; `auto` at first."""
    return _wanted


def device(rank: int = 0, processes: int = 1) -> torch.device:
    """Return the device of this process.

    Args:
        rank: place of this process among those on this machine that train together: each has a GPU of its own.
        processes: how many there are.

    Raises:
        InputError: the device that is wanted is not there, or there are more processes than GPUs.
    """
    import torch

    found = find(_wanted, ("cuda", "mps", "cpu"))
    places = torch.cuda.device_count() if found == "cuda" else 1 if found == "mps" else processes
    if processes > places:
        raise InputError("each process needs a GPU of its own", found=f"{processes} processes, {places} {found}",
                         expected=f"processes: {places}, or device: cpu")  # fmt: skip
    return torch.device("cuda", rank) if found == "cuda" else torch.device(found)


def wants_bf16(precision: str, on: torch.device | None = None) -> bool:
    """Whether matrix products run in bf16 (sums, norms, weights and optimiser stay fp32).

    Args:
        precision: `bf16`, `fp32`, or `auto`: where the hardware multiplies in it; never on Metal.
        on: the device; None means the one this process computes on.
    """
    import torch

    if precision != "auto":
        return precision == "bf16"
    on = on or device()
    if on.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported") if on.type == "cpu" else ()
    return any(getattr(torch.cpu, name, bool)() for name in names)


def moved(array: Any, to: torch.device) -> torch.Tensor:
    """Put a numpy array on a device; on CUDA through pinned memory, without waiting for the copy."""
    import torch

    tensor = torch.from_numpy(array)
    if to.type == "cuda":
        return tensor.pin_memory().to(to, non_blocking=True)
    return tensor.to(to)


def autocast(bf16: bool, on: torch.device | None = None) -> AbstractContextManager[Any]:
    """Make the context that a forward pass runs in; `on` as for `wants_bf16`."""
    import torch

    return torch.autocast((on or device()).type, dtype=torch.bfloat16) if bf16 else nullcontext()
