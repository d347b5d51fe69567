"""AdamW over what is trained, its parameters in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapt.pretrain.options import Pretrain


def make_optimizer(trained: dict[str, Any], options: Pretrain) -> Any:
    """Make the optimiser; biases, norms and scales do not decay.

    Args:
        trained: the parameters that are trained, by name.
        options: lr and weight_decay.
    """
    import torch

    decay = [p for p in trained.values() if p.squeeze().ndim >= 2]
    plain = [p for p in trained.values() if p.squeeze().ndim < 2]
    return torch.optim.AdamW(
        [{"params": decay, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=options.lr,
        betas=(0.9, 0.98),
        eps=1e-6,
        fused=True,
    )
