"""Cross-entropy of a linear decoder over a large vocabulary, a block of columns at a time.

The plain way keeps the logits of all predicted tokens several times over: as the product, in fp32, as log-probabilities
and as their gradient; with 250,000 columns that is most of a step's memory, and moving it much of its time. Here the
exponentials are kept once, relative to their block's largest and in the precision of the product, and everything else
lives for one block; the gradient needs no second exponential. The values are those of `cross_entropy(linear(...))`,
sums in fp32.
"""

from __future__ import annotations

from typing import Any

import torch

BLOCK = 8192  # columns at a time


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Any, weight: Any, bias: Any, labels: Any, into: Any) -> Any:  # noqa: D102
        half = torch.is_autocast_enabled(states.device.type)
        dtype = torch.get_autocast_dtype(states.device.type) if half else states.dtype
        read = states.to(dtype)
        known = torch.zeros(len(states), device=states.device)
        shares, peaks, totals = [], [], []
        for first in range(0, len(weight), BLOCK):
            last = min(first + BLOCK, len(weight))
            part = read @ weight[first:last].to(dtype).T
            if bias is not None:
                part += bias[first:last].to(dtype)
            place, inside = _within(labels, first, last)
            known = torch.where(inside, part.gather(1, place)[:, 0].float(), known)
            peak = part.amax(1).float()
            exact = part.float().sub_(peak[:, None]).exp_()
            peaks.append(peak)
            totals.append(exact.sum(1))
            shares.append(exact.to(dtype))
        peak = torch.stack(peaks)
        spread = torch.logsumexp(peak + torch.stack(totals).log(), 0)
        ctx.save_for_backward(read, weight, bias, labels, (peak - spread).exp(), *shares)
        ctx.into = into
        return spread - known

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:  # noqa: D102
        read, weight, bias, labels, scales, *shares = ctx.saved_tensors
        into = ctx.into
        for_states, for_weight, for_bias = ctx.needs_input_grad[:3]
        states = torch.zeros(read.shape, dtype=torch.float32, device=read.device) if for_states else None
        rows = torch.empty_like(weight) if for_weight and into is None else None
        sums = torch.empty_like(bias) if bias is not None and for_bias else None
        for number, first in enumerate(range(0, len(weight), BLOCK)):
            last = min(first + BLOCK, len(weight))
            share = shares[number] * (scales[number] * above)[:, None]
            place, inside = _within(labels, first, last)
            share.scatter_add_(1, place, -(above * inside)[:, None])
            if sums is not None:
                torch.sum(share, 0, out=sums[first:last])
            half = share.to(read.dtype)
            if rows is not None:
                rows[first:last] = half.T @ read
            elif for_weight:
                into[first:last] += half.T @ read
            if states is not None:
                states += half @ weight[first:last].to(read.dtype)
        return states, rows, sums, None, None


def _within(labels: Any, first: int, last: int) -> tuple[Any, Any]:
    """Column of each label among columns first..last, (n, 1), any where it is not among them; and whether it is, (n,).

    No index is looked up on the host: a GPU would have to be waited for.
    """
    return (labels - first).clamp(0, last - first - 1)[:, None], (labels >= first) & (labels < last)


def token_cross_entropy(states: Any, weight: Any, bias: Any, labels: Any, into: Any = None) -> Any:
    """-ln p(label) in nats, token by token.

    Args:
        states: (n, d), what the decoder reads.
        weight: (V, d), the decoder's weight.
        bias: (V,), or None.
        labels: (n,) int64.
        into: (V, d), what the gradient of the weight is added to in the backward pass (its `grad`, so that there is no
            second tensor of that size); None leaves it to autograd.

    Returns:
        (n,), differentiable with respect to states, weight and bias.
    """
    return _LinearCrossEntropy.apply(states, weight, bias, labels, into)


def linear_cross_entropy(states: Any, weight: Any, bias: Any, labels: Any, into: Any = None) -> Any:
    """Sum of -ln p(label) in nats: a scalar; arguments as `token_cross_entropy`."""
    return token_cross_entropy(states, weight, bias, labels, into).sum()
