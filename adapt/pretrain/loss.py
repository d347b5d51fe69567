"""Cross-entropy of a linear decoder over a large vocabulary, a block of columns at a time.

The plain way keeps the logits of all predicted tokens several times over: as the product, in fp32, as log-probabilities
and as their gradient; with 250,000 columns that is most of a step's memory, and moving it much of its time. Here the
product is kept once, in the precision it was computed in, and everything else lives for one block. The values are
those of `cross_entropy(linear(...))`, sums in fp32.
"""

from __future__ import annotations

from typing import Any

import torch

BLOCK = 8192  # columns at a time


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Any, weight: Any, bias: Any, labels: Any) -> Any:  # noqa: D102
        half = torch.is_autocast_enabled(states.device.type)
        dtype = torch.get_autocast_dtype(states.device.type) if half else states.dtype
        read = states.to(dtype)
        count, columns = len(states), len(weight)
        logits = torch.empty(count, columns, dtype=dtype, device=states.device)
        peak = torch.full((count,), -torch.inf, device=states.device)
        total = torch.zeros(count, device=states.device)
        for first in range(0, columns, BLOCK):
            last = min(first + BLOCK, columns)
            part = read @ weight[first:last].to(dtype).T
            if bias is not None:
                part = part + bias[first:last].to(dtype)
            logits[:, first:last] = part
            exact = part.float()
            higher = torch.maximum(peak, exact.amax(1))
            total = total * (peak - higher).exp() + exact.sub_(higher[:, None]).exp_().sum(1)
            peak = higher
        spread = peak + total.log()
        ctx.save_for_backward(read, weight, bias, labels, logits, spread)
        return spread - logits.gather(1, labels[:, None])[:, 0].float()

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:  # noqa: D102
        read, weight, bias, labels, logits, spread = ctx.saved_tensors
        for_states, for_weight, for_bias = ctx.needs_input_grad[:3]
        states = torch.zeros(read.shape, dtype=torch.float32, device=read.device) if for_states else None
        rows = torch.empty_like(weight) if for_weight else None
        sums = torch.empty_like(bias) if bias is not None and for_bias else None
        for first in range(0, len(weight), BLOCK):
            last = min(first + BLOCK, len(weight))
            share = logits[:, first:last].float().sub_(spread[:, None]).exp_()
            here = ((labels >= first) & (labels < last)).nonzero()[:, 0]
            share[here, labels[here] - first] -= 1
            share.mul_(above[:, None])
            if sums is not None:
                torch.sum(share, 0, out=sums[first:last])
            half = share.to(read.dtype)
            if rows is not None:
                rows[first:last] = half.T @ read
            if states is not None:
                states += half @ weight[first:last].to(read.dtype)
        return states, rows, sums, None


def token_cross_entropy(states: Any, weight: Any, bias: Any, labels: Any) -> Any:
    """-ln p(label) in nats, token by token.

    Args:
        states: (n, d), what the decoder reads.
        weight: (V, d), the decoder's weight.
        bias: (V,), or None.
        labels: (n,) int64.

    Returns:
        (n,), differentiable with respect to states, weight and bias.
    """
    return _LinearCrossEntropy.apply(states, weight, bias, labels)


def linear_cross_entropy(states: Any, weight: Any, bias: Any, labels: Any) -> Any:
    """Sum of -ln p(label) in nats: a scalar; arguments as `token_cross_entropy`."""
    return token_cross_entropy(states, weight, bias, labels).sum()
