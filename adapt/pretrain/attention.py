"""Attention of short rows in bf16 on a processor: plain products instead of torch's fused kernel.

The fused kernel keeps no matrix of attention, which is what long rows need; for rows of 128 tokens its backward pass
takes a third of a small model's step (12 layers of width 384, AMD Zen 4: 64 ms a layer against 19 ms here). Scores and
their softmax are fp32, as in the fused kernel, and so is the precision of what comes out (tests).
"""

from __future__ import annotations

from typing import Any

import torch

NAME = "sdpa-short"
LONGEST = 256  # tokens of a row; from about there on the fused kernel is as fast, and it needs less memory


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any, scale: float) -> Any:  # noqa: D102
        rows, heads, length, width = query.shape
        q, k, v = (t.reshape(rows * heads, -1, width) for t in (query, key, value))
        scores = torch.bmm(q.float(), k.float().transpose(1, 2)).mul_(scale)
        if mask is not None:
            of_heads = scores.view(rows, heads, length, -1)
            if mask.dtype == torch.bool:
                of_heads.masked_fill_(~mask, torch.finfo(scores.dtype).min)
            else:
                of_heads.add_(mask)
        shares = torch.softmax(scores, -1).to(v.dtype)
        ctx.save_for_backward(q, k, v, shares)
        ctx.scale, ctx.heads = scale, (rows, heads)
        return torch.bmm(shares, v).view(rows, heads, length, width)

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:  # noqa: D102
        q, k, v, shares = ctx.saved_tensors
        above = above.reshape(q.shape)
        of_scores = torch._softmax_backward_data(torch.bmm(above, v.transpose(1, 2)), shares, -1, shares.dtype)
        of_scores.mul_(ctx.scale)
        found = (
            torch.bmm(of_scores, k),
            torch.bmm(of_scores.transpose(1, 2), q),
            torch.bmm(shares.transpose(1, 2), above),
        )
        return *(t.view(*ctx.heads, *t.shape[1:]) for t in found), None, None


def attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, dropout: float = 0.0,
    scaling: float | None = None, is_causal: bool | None = None, **more: Any,
) -> tuple[Any, None]:  # fmt: skip
    """Attend as `sdpa` does; see transformers' AttentionInterface.

    Args:
        module: the attention layer.
        query: (rows, heads, length, width).
        key: (rows, heads, length, width).
        value: (rows, heads, length, width).
        attention_mask: (rows, 1, length, length) bool, or fp32 to be added; or None.
        dropout: share of the attention that is dropped.
        scaling: factor on the scores; None means width**-0.5.
        is_causal: whether a token sees only those before it, where there is no mask; None means as the layer says.
        more: what other attentions take.

    Returns:
        (rows, length, heads, width), and None.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    strange = dropout or any(more.get(name) is not None for name in ("position_bias", "cache", "softcap"))
    short = query.shape == key.shape and query.shape[2] <= LONGEST
    if strange or not short or query.dtype != torch.bfloat16 or query.device.type != "cpu":
        if attention_mask is not None and attention_mask.dtype == torch.float32:
            attention_mask = attention_mask.to(query.dtype)
        found: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **more
        )
        return found
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if causal and attention_mask is None:
        attention_mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril()
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _Attention.apply(query, key, value, attention_mask, scale).transpose(1, 2).contiguous(), None


def use_plain_products(model: Any) -> None:
    """Have a model that uses `sdpa` attend by the function above; what is saved of it does not change."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(model.config, "_attn_implementation", None) == "sdpa":
        AttentionInterface.register(NAME, attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
