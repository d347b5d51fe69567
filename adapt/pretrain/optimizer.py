"""AdamW over what is trained, its parameters in named groups with learning rates of their own."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from adapt.tuning.tuning import head_parameters
from lexigraft import InputError

if TYPE_CHECKING:
    from adapt.pretrain.options import Pretrain


def make_optimizer(model: Any, trained: dict[str, Any], options: Pretrain) -> Any:
    """Make the optimiser; biases, norms and scales do not decay.

    Each group has, beside AdamW's settings, `name` and `factor` (on the rate of the schedule). Its state belongs to the
    parameters, not to the groups.

    Args:
        model: the model that they belong to.
        trained: the parameters that are trained, by name.
        options: optimizer, lr, the factors on it, and weight_decay.

    Raises:
        InputError: `adamw-rows` where it does not help.
    """
    import torch

    if options.optimizer == "adamw-rows" and not by_rows(model, options):
        raise InputError("optimizer adamw-rows needs trained input embeddings that the decoder does not share: there, "
                         "every row has a gradient in every step", found=type(model).__name__,
                         expected="optimizer: adamw")  # fmt: skip
    factors = rate_factors(model, list(trained), embeddings=options.lr_embeddings, body=options.lr_body,
                           head=options.lr_head, layer_decay=options.layer_decay)  # fmt: skip
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, (group, factor) in factors.items():
        decays = trained[name].squeeze().ndim >= 2
        settings = {"name": group, "factor": factor, "weight_decay": options.weight_decay if decays else 0.0}
        groups.setdefault((group, decays), {"params": [], **settings})["params"].append(trained[name])
    kind = row_adamw() if options.optimizer == "adamw-rows" else torch.optim.AdamW
    return kind(list(groups.values()), lr=options.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)


def by_rows(model: Any, options: Pretrain) -> bool:
    """Whether the input embeddings are updated by the rows in use."""
    embeddings, decoder = model.get_input_embeddings().weight, model.get_output_embeddings()
    untied = embeddings is not getattr(decoder, "weight", None)
    return options.optimizer == "adamw-rows" and untied and embeddings.requires_grad and embeddings.is_leaf


@functools.cache
def row_adamw() -> Any:
    """AdamW that updates only the rows of parameters whose gradient is sparse; the others as ever.

    A row's moments and its weight decay stand still while no step reads it (as in torch's SparseAdam); the bias
    correction counts all steps.
    """
    import torch

    class RowAdamW(torch.optim.AdamW):
        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            """Update the weights."""
            sparse = [(p, p.grad, g) for g in self.param_groups for p in g["params"]
                      if p.grad is not None and p.grad.is_sparse]  # fmt: skip
            for parameter, _, _ in sparse:
                parameter.grad = None
            result = super().step(closure)
            for parameter, gradient, group in sparse:
                parameter.grad = gradient
                _update_rows(parameter, gradient.coalesce(), group, self.state[parameter])
            return result

    return RowAdamW


def _update_rows(parameter: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2) on the rows of a sparse gradient (V, d), coalesced."""
    import torch

    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    state["step"] += 1
    step, (first, second) = float(state["step"]), group["betas"]
    rows, values = gradient.indices()[0], gradient.values()
    mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - first)
    square = state["exp_avg_sq"].index_select(0, rows).mul_(second).addcmul_(values, values, value=1 - second)
    state["exp_avg"].index_copy_(0, rows, mean)
    state["exp_avg_sq"].index_copy_(0, rows, square)
    size = square.div_(1 - second**step).sqrt_().add_(group["eps"])
    moved = parameter.index_select(0, rows).mul_(1 - group["lr"] * group["weight_decay"])
    parameter.index_copy_(0, rows, moved.addcdiv_(mean, size, value=-group["lr"] / (1 - first**step)))


def rate_factors(
    model: Any, names: list[str], *, embeddings: float = 1.0, body: float = 1.0, head: float = 1.0,
    layer_decay: float = 1.0,
) -> dict[str, tuple[str, float]]:  # fmt: skip
    """Say which group each parameter belongs to, and the factor on its learning rate.

    With `layer_decay` d (discriminative fine-tuning: Howard & Ruder 2018, ULMFiT, section 3.1), the top layer of the
    body has the factor 1, the one below it d, then d**2, and what comes before the first layer one power more. A layer
    is what the first number in the name of one of the body's parameters says.

    Args:
        model: the model.
        names: of the parameters.
        embeddings: factor of the token embeddings.
        body: factor of what is between them and the head.
        head: factor of the head.
        layer_decay: factor of each of the body's layers on that of the one above it.

    Returns:
        For each name its group (`embeddings`, `head`, `body`, or `body.start`, `body.0`, `body.1` ... `body.end`
        where layers differ) and its factor, in the order of the names.
    """
    words, top = model.get_input_embeddings().weight, {id(p) for p in head_parameters(model)}
    result: dict[str, tuple[str, float]] = {}
    depths: dict[str, int] = {}  # of each parameter of the body, -1 before the first layer
    depth, last = -1, max((_layer(name) for name, p in model.named_parameters() if id(p) not in top), default=-1)
    for name, parameter in model.named_parameters():
        if parameter is words:
            result[name] = ("embeddings", embeddings)
        elif id(parameter) in top:
            result[name] = ("head", head)
        else:
            own = _layer(name)
            depth = own if own >= 0 else depth if depth < 0 else last + 1
            depths[name] = depth
    for name, depth in depths.items():
        where = {-1: "body.start", last + 1: "body.end"}.get(depth, f"body.{depth}")
        factor = body * layer_decay ** max(0, last - depth)
        result[name] = ("body" if layer_decay == 1 else where, factor)
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
