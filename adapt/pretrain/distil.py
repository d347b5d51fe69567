"""Distillation from the model before training, against forgetting: the source model, frozen, is a second teacher.

Beside the text, the model learns what the source would have predicted at the same places of the same input:
loss = -ln p(token) + weight * T^2 * KL(source at T || model at T), both softened by the temperature T (Hinton et al.
2015, "Distilling the Knowledge in a Neural Network", section 2, with its T^2, which keeps the gradient's size; Li &
Hoiem 2016, "Learning without Forgetting", section 3: the old model's answers stand for the old data; T = 2).

The divergence runs over the vocabulary a block at a time and keeps two numbers a predicted token: neither model's
logits are ever whole, and backward computes them again. It needs one vocabulary: with a replaced one the two speak of
different tokens, and what can be compared is hidden states (adapt/pretrain/word_states.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapt.pretrain.loss import BLOCK
from adapt.pretrain.model import load_with_head
from adapt.pretrain.options import Distil
from lexigraft import InputError
from vocab.head import Predictor


@dataclass(frozen=True)
class Teacher:
    """The source model as it was.

    Attributes:
        predictor: the model, frozen.
        options: weight and temperature.
    """

    predictor: Predictor
    options: Distil

    @classmethod
    def of(cls, folder: Path, auto_class: str, options: Distil, student: Predictor) -> Teacher:
        """Load the source a second time, where the model that learns from it is.

        Raises:
            InputError: the source has no language-modelling head of a known kind.
        """
        model, new = load_with_head(folder, auto_class)
        predictor = Predictor.of(model.to(student.model.device).requires_grad_(False).eval())
        if new or predictor.full:
            raise InputError(
                "pretrain.distil: the source model predicts no tokens that could be learnt from",
                file=folder,
                found="no language-modelling head" if new else "a head of an unknown kind",
                expected="a source with its head, match hidden-states, or pretrain.distil.weight = 0",
            )
        rows = [len(each.decoder.weight) for each in (predictor, student) if not each.full]
        if rows[0] != rows[-1]:
            raise InputError("pretrain.distil: a teacher with another vocabulary", file=folder,
                             found=f"{rows[0]} rows", expected=f"{rows[-1]} rows, or match hidden-states")  # fmt: skip
        return cls(predictor, options)

    def loss_sum(self, gathered: Any, decoder: Any, inputs: tuple[Any, ...]) -> Any:
        """Weighted divergence from the source's predictions, summed over the predicted positions, in nats.

        Args:
            gathered: (n, d), what the decoder of the model that learns reads.
            decoder: its decoder.
            inputs: what `Predictor.gathered` takes.
        """
        with torch.no_grad():
            before = self.predictor.gathered(*inputs)
        own, t = self.predictor.decoder, self.options.temperature
        found = _LinearDivergence.apply(gathered, decoder.weight, decoder.bias, before, own.weight, own.bias, t)
        return self.options.weight * t**2 * found


class _LinearDivergence(torch.autograd.Function):
    """Sum over rows of KL(p || q), p and q the softmax of two linear decoders' logits over a temperature.

    With z the logits over the temperature, KL = sum_v p_v (z'_v - z_v) - ln Z' + ln Z (dashed: the teacher), whose sums
    are carried from block to block with their largest exponent; its gradient in z is q - p.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Any, weight: Any, bias: Any, before: Any, old_weight: Any, old_bias: Any, temperature: float
    ) -> Any:  # noqa: D102
        half = torch.is_autocast_enabled(states.device.type)
        dtype = torch.get_autocast_dtype(states.device.type) if half else states.dtype
        read, before = states.to(dtype), before.to(dtype)
        count, device = len(states), states.device
        peaks, sums = torch.full((2, count), -torch.inf, device=device), torch.zeros(2, count, device=device)
        gap = torch.zeros(count, device=device)
        for first in range(0, len(weight), BLOCK):
            pair = torch.stack([_logits(read, weight, bias, first), _logits(before, old_weight, old_bias, first)])
            pair /= temperature
            higher = torch.maximum(peaks, pair.amax(2))
            shrunk = (peaks - higher).exp()
            shares = (pair - higher[:, :, None]).exp()
            sums = sums * shrunk + shares.sum(2)
            gap = gap * shrunk[1] + (shares[1] * (pair[1] - pair[0])).sum(1)
            peaks = higher
        spread = peaks + sums.log()
        ctx.save_for_backward(read, weight, bias, before, old_weight, old_bias, spread)
        ctx.temperature = temperature
        return (gap / sums[1] - spread[1] + spread[0]).sum()

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:  # noqa: D102
        read, weight, bias, before, old_weight, old_bias, spread = ctx.saved_tensors
        states = torch.zeros(read.shape, dtype=torch.float32, device=read.device)
        rows = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        sums = torch.empty_like(bias) if bias is not None and ctx.needs_input_grad[2] else None
        for first in range(0, len(weight), BLOCK):
            last = min(first + BLOCK, len(weight))
            now = (_logits(read, weight, bias, first) / ctx.temperature - spread[0][:, None]).exp()
            old = (_logits(before, old_weight, old_bias, first) / ctx.temperature - spread[1][:, None]).exp()
            change = (now - old).mul_(above / ctx.temperature)
            if sums is not None:
                torch.sum(change, 0, out=sums[first:last])
            half = change.to(read.dtype)
            if rows is not None:
                rows[first:last] = half.T @ read
            states += half @ weight[first:last].to(read.dtype)
        return states if ctx.needs_input_grad[0] else None, rows, sums, None, None, None, None


def _logits(read: Any, weight: Any, bias: Any, first: int) -> Any:
    """One block of a decoder's logits, (n, at most BLOCK), in fp32."""
    part = read @ weight[first : first + BLOCK].to(read.dtype).T
    return (part if bias is None else part + bias[first : first + BLOCK].to(read.dtype)).float()
