"""Several processes that train one model: they cut each step's rows between them and add up their gradients.

Every process draws the same step (text, order and masks depend on seed and step alone), computes the nats of its rows
over the predicted tokens of the *whole* step, and the gradients are summed. So loss and gradient are those of one
process up to rounding, however unequal the predicted tokens are; dropout alone differs (it is seeded by process).
Summing flat gradients after the last micro-batch, where DDP sums while the backward pass runs, costs some overlap; in
return the decoder may run apart from the body, and there is no mean to undo. Weights, gradients and the optimiser's
state are whole in every process, but for `sharding: full` (sharding.py). Tried with gloo on processors; no GPU was at
hand.

A function under `by_all` is carried out by `pretrain.processes` processes: started by adapt/pretrain/workers.py, or
those that `torchrun` started (`torchrun --nproc-per-node 2 -m adapt.cli run RUN.yaml pretrain.processes=2`), where all
but the first wait in `leading` for what the first is about to do. Rank 0 alone writes. Fine-tuning goes the same way,
by `evaluate.processes`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, get_type_hints

from adapt.pretrain import device
from lexigraft import InputError

Function = TypeVar("Function", bound=Callable[..., Any])

BUCKET = 1 << 22  # elements that are summed at once; larger tensors are summed where they lie
PATIENCE = timedelta(days=7)  # who dies is seen at once by the process that started all; a long wait is no fault


@dataclass(frozen=True)
class World:
    """The processes that train one model together.

    Attributes:
        rank: this process's place among them, from 0; 0 leads: it alone writes.
        size: how many there are.
        local_rank: its place among those on this machine.
        local_size: how many are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def here(cls) -> World:
        """Return the world this process has joined; one process where it has joined none."""
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        rank, size = dist.get_rank(), dist.get_world_size()
        local = [int(os.environ.get(key, other)) for key, other in (("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", size))]
        return cls(rank, size, *local)

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, rows: int) -> tuple[int, int]:
        """First and last + 1 of the rows that this process computes."""
        return rows * self.rank // self.size, rows * (self.rank + 1) // self.size

    def totals(self, numbers: list[float]) -> list[float]:
        """Sum numbers over the processes (in float64)."""
        if self.size == 1:
            return numbers
        import torch

        summed = torch.tensor(numbers, dtype=torch.float64)
        torch.distributed.all_reduce(summed)
        return summed.tolist()

    def wait(self) -> None:
        """Wait until every process is here."""
        self.totals([0.0])

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Have rank 0 do a block before the others, who then find its files."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def add_gradients(self, parameters: list[Any]) -> None:
        """Sum gradients over the processes, in place.

        A parameter that has a gradient in no process keeps none (an optimiser leaves it alone); one that has it in some
        counts as zero in the others.
        """
        if self.size == 1:
            return
        import torch

        has = self.totals([float(p.grad is not None) for p in parameters])
        bucket: list[torch.Tensor] = []
        for parameter, count in zip(parameters, has, strict=True):
            if not count:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.numel() > BUCKET:
                torch.distributed.all_reduce(parameter.grad)
                continue
            bucket.append(parameter.grad)
            if sum(t.numel() for t in bucket) > BUCKET:
                bucket = _sum_together(bucket)
        _sum_together(bucket)

    def same(self, tensors: list[Any]) -> None:
        """Give every process rank 0's values."""
        if self.size > 1:
            import torch

            for tensor in tensors:
                torch.distributed.broadcast(tensor.data, 0)


def _sum_together(bucket: list[Any]) -> list[Any]:
    """Sum tensors as one message; return an empty bucket."""
    import torch

    if bucket:
        flat = torch.cat([t.reshape(-1) for t in bucket])
        torch.distributed.all_reduce(flat)
        for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
            tensor.copy_(part.view_as(tensor))
    return []


def by_all(function: Function) -> Function:
    """Have a function carried out by all `options.processes` processes; what it returns is rank 0's.

    The function has a parameter `options` (that part of the configuration which has `processes`: `Pretrain`,
    `Evaluate`) and may have `progress`, which rank 0's calls reach; all other arguments and the result go through JSON.
    Threads are shared out: each process gets its part of the caller's.

    Raises:
        InputError: of any process; or as many processes as were asked for were not got, or one ended without a word.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        import torch

        bound = signature.bind(*args, **kwargs)
        asked = bound.arguments["options"].processes
        refuse_other_number(bound.arguments["options"])
        if asked == 1:
            return function(*args, **kwargs)
        progress = bound.arguments.pop("progress", None)
        job = job_of(function, bound.arguments, max(1, torch.get_num_threads() // asked))
        if "WORLD_SIZE" not in os.environ:
            from adapt.pretrain.workers import launch

            return launch(job, progress)
        if not torch.distributed.is_initialized():
            raise InputError("the processes that torchrun started have not met", found=f"a call of {function.__name__}",
                             expected="adapt.run, in each of them")  # fmt: skip
        torch.distributed.broadcast_object_list([json.dumps(job)], 0)
        return carry_out(job, progress)

    return call  # type: ignore[return-value]


def refuse_other_number(options: Any) -> None:
    """Refuse to go on where `torchrun` started another number of processes than a part of the configuration asks for.

    Raises:
        InputError: says both.
    """
    asked, started = options.processes, int(os.environ.get("WORLD_SIZE", options.processes))
    if asked != started:
        setting = f"{type(options).__name__.lower()}.processes"
        raise InputError("another number of processes was started than is asked for", found=f"WORLD_SIZE={started}",
                         expected=f"{setting}={started}, or {asked} processes")  # fmt: skip


def job_of(function: Callable[..., Any], arguments: dict[str, Any], threads: int) -> dict[str, Any]:
    """Put what processes are to do together into JSON.

    Args:
        function: one under `by_all`.
        arguments: its arguments by name, without `progress`.
        threads: of each process.
    """
    from pydantic import TypeAdapter

    kinds = get_type_hints(function)
    return {
        "function": f"{function.__module__}:{function.__qualname__}",
        "arguments": {k: TypeAdapter(kinds[k]).dump_python(value, mode="json") for k, value in arguments.items()},
        "processes": arguments["options"].processes,
        "threads": threads,
        "device": device.wanted(),
    }


def carry_out(job: dict[str, Any], progress: Any = None) -> Any:
    """Do one process's part of what `job_of` made; the process has joined its world."""
    import torch
    from pydantic import TypeAdapter

    module, _, name = job["function"].partition(":")
    function = getattr(importlib.import_module(module), name).__wrapped__
    kinds = get_type_hints(function)
    arguments = {key: TypeAdapter(kinds[key]).validate_python(value) for key, value in job["arguments"].items()}
    if "progress" in inspect.signature(function).parameters:
        arguments["progress"] = progress
    got = World.here().size
    if got != job["processes"]:
        raise InputError("another number of processes takes part than was asked for", found=got,
                         expected=job["processes"])  # fmt: skip
    threads, wanted = torch.get_num_threads(), device.wanted()
    torch.set_num_threads(job["threads"])
    device.want(job["device"])
    try:
        return function(**arguments)
    finally:
        torch.set_num_threads(threads)
        device.want(wanted)


def join(store: Any = None) -> None:
    """Join the world that `RANK` and `WORLD_SIZE` speak of: sums of processor tensors by gloo, of GPU's by NCCL."""
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)


@contextmanager
def leading() -> Iterator[bool]:
    """Make a command the first of those that `torchrun` started, or, in the others, follow it.

    Yields:
        True where the command is to be run: outside `torchrun` and in its rank 0. Else the leader has ended by then.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "RANK" not in os.environ:
        yield True
        return
    import torch.distributed as dist

    join()
    try:
        if dist.get_rank():
            _follow()
            yield False
        else:
            yield True
            dist.broadcast_object_list([None], 0)
    finally:
        dist.destroy_process_group()


def _follow() -> None:
    """Take part in every job of rank 0, until it has no more."""
    import torch.distributed as dist

    while True:
        told: list[Any] = [None]
        dist.broadcast_object_list(told, 0)
        if told[0] is None:
            return
        carry_out(json.loads(told[0]))
