"""AdamW over what is trained, its parameters in named groups with learning rates of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from adapt.tuning.tuning import head_parameters

if TYPE_CHECKING:
    from adapt.pretrain.options import Pretrain


def make_optimizer(model: Any, trained: dict[str, Any], options: Pretrain) -> Any:
    """Make the optimiser; biases, norms and scales do not decay.

    Each group has, beside AdamW's settings, `name` and `factor` (on the rate of the schedule). Its state belongs to the
    parameters, not to the groups.

    Args:
        model: the model that they belong to.
        trained: the parameters that are trained, by name.
        options: lr, the factors on it, and weight_decay.
    """
    import torch

    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, (group, factor) in rate_factors(model, list(trained), options).items():
        decays = trained[name].squeeze().ndim >= 2
        settings = {"name": group, "factor": factor, "weight_decay": options.weight_decay if decays else 0.0}
        groups.setdefault((group, decays), {"params": [], **settings})["params"].append(trained[name])
    return torch.optim.AdamW(list(groups.values()), lr=options.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)


def rate_factors(model: Any, names: list[str], options: Pretrain) -> dict[str, tuple[str, float]]:
    """Say which group each parameter belongs to, and the factor on its learning rate.

    With `layer_decay` d (discriminative fine-tuning: Howard & Ruder 2018, ULMFiT, section 3.1), the top layer of the
    body has the factor 1, the one below it d, then d**2, and what comes before the first layer one power more. A layer
    is what the first number in the name of one of the body's parameters says.

    Args:
        model: the model.
        names: of the parameters.
        options: lr_embeddings, lr_body, lr_head and layer_decay.

    Returns:
        For each name its group (`embeddings`, `head`, `body`, or `body.start`, `body.0`, `body.1` ... `body.end`
        where layers differ) and its factor, in the order of the names.
    """
    embeddings, head = model.get_input_embeddings().weight, {id(p) for p in head_parameters(model)}
    result: dict[str, tuple[str, float]] = {}
    body: dict[str, int] = {}  # depth of each parameter, -1 before the first layer
    depth, last = -1, max((_layer(name) for name, p in model.named_parameters() if id(p) not in head), default=-1)
    for name, parameter in model.named_parameters():
        if parameter is embeddings:
            result[name] = ("embeddings", options.lr_embeddings)
        elif id(parameter) in head:
            result[name] = ("head", options.lr_head)
        else:
            own = _layer(name)
            depth = own if own >= 0 else depth if depth < 0 else last + 1
            body[name] = depth
    for name, depth in body.items():
        where = {-1: "body.start", last + 1: "body.end"}.get(depth, f"body.{depth}")
        factor = options.lr_body * options.layer_decay ** max(0, last - depth)
        result[name] = ("body" if options.layer_decay == 1 else where, factor)
    return {name: result[name] for name in names}


def _layer(name: str) -> int:
    """First number in a parameter's name, -1 where there is none."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found[1]) if found else -1


def set_rates(optimizer: Any, rate: float) -> dict[str, float]:
    """Give every group its rate: the schedule's, times the group's factor.

    Returns:
        The rate of each group by its name.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
