"""Weights, gradients and optimiser states cut between the processes: each keeps its part of every tensor.

Fully sharded data parallelism (Rajbhandari et al. 2020, ZeRO, section 5.3, stage 3; Zhao et al. 2023, PyTorch FSDP), by
torch's `fully_shard`. A layer's weights are whole in a process while it computes that layer, forwards or backwards, and
what lies outside the layers (embeddings, head) during a pass; gradients are summed where their part is kept. Loss and
gradient are those of one process. Passes are collective: every process makes as many, and all of them under `Shards`.

Checkpoints and the finished model are whole: rank 0 gathers one tensor at a time into its processor's memory, so a
checkpoint does not depend on how it was trained. Tried with gloo on processors; no GPU was at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from adapt.tuning.top_layers import layers_of


class Shards(torch.nn.Module):
    """A model whose tensors are cut; within a call of it they are whole where they are needed.

    Args:
        model: the model, on the processor; its parameters become others, of the same names and ties.
        device: what this process computes on.
        processes: between which it is cut.
    """

    def __init__(self, model: Any, device: torch.device, processes: int) -> None:
        super().__init__()
        self.model = model
        mesh = init_device_mesh(device.type, (processes,))
        for module in [*layers_of(model), self]:
            fully_shard(module, mesh=mesh, reshard_after_forward=True)
        for module in self.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # nats are divided by the whole step's tokens already
                module.set_force_sum_reduction_for_comms(True)  # gloo sums, and scales nothing

    def forward(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Call a function that computes with the model."""
        return function(*args, **more)


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a tensor that may be cut."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: torch.Tensor, wanted: bool) -> torch.Tensor:
    """Put a tensor together, on the processor, where it is wanted; all processes call it, for the same in turn."""
    if not isinstance(tensor, DTensor):
        return tensor
    full = tensor.full_tensor()
    return full.cpu() if wanted else full.new_empty(0)


def cut_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Take this process's part of a whole tensor that every process has, where its counterpart of that shape is cut."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def put_together(model: Any, wanted: bool) -> Any:
    """Make a model's tensors whole again where they are wanted, ties kept; all processes call it.

    It is a plain model then: to be saved, not to be trained on.
    """
    known: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if not isinstance(parameter, DTensor):
                continue
            if id(parameter) not in known:
                known[id(parameter)] = torch.nn.Parameter(whole(parameter.detach(), wanted), parameter.requires_grad)
            if wanted:
                module._parameters[name] = known[id(parameter)]
    return model
