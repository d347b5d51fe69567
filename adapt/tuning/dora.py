"""Low-rank updates of the direction of each output's weights, their length learnt apart; merged at the end.

Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", section 4: W' = m (W + BA) / |W + BA|, one norm an
output, m starting at |W|. The updates are those of `lora`, through `peft`.
"""

from __future__ import annotations

from typing import Any

from adapt.tuning import lora
from adapt.tuning.merging import merge
from adapt.tuning.tuning import Tuning


class DoraOptions(lora.LoraOptions):
    """Options of DoRA: those of LoRA."""


def prepare(model: Any, options: Any) -> Any:
    """Wrap the linear layers of the body and freeze the rest of it."""
    return lora.prepare(model, options, use_dora=True)


SPEC = Tuning(
    name="dora",
    summary="Low-rank updates of directions, lengths apart, embeddings in full",
    paper="Liu et al. 2024, DoRA, section 4",
    when="LoRA at a small rank falls short of full training.",
    when_not="Time is short: the norm of every weight is computed anew in each pass.",
    options=DoraOptions,
    prepare=prepare,
    finish=merge,
)
