"""Low-rank updates on the body's linear layers, merged at the end; embeddings and head are trained as they are.

Hu et al. 2022, "LoRA". Adapters come from `peft` (see adapt.tuning.merging for why they stay off the embeddings).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.tuning.merging import linear_layers, merge, wrap
from adapt.tuning.tuning import BesideOptions, Tuning


class LoraOptions(BesideOptions):
    """Options of LoRA."""

    rank: int = Field(16, gt=0)
    """Rank of the updates."""
    alpha: float = Field(32.0, gt=0)
    """Scale of the updates, divided by the rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the first matrix."""


def prepare(model: Any, options: Any, **more: Any) -> Any:
    """Wrap the linear layers of the body and freeze the rest of it.

    Args:
        model: the model.
        options: LoraOptions.
        more: further settings of `peft.LoraConfig`.
    """
    from peft import LoraConfig

    names = linear_layers(model)
    given = {"r": options.rank, "lora_alpha": options.alpha, "lora_dropout": options.dropout}
    return wrap(model, LoraConfig(target_modules=names, **given, **more), options)


SPEC = Tuning(
    name="lora",
    summary="Low-rank updates of the body, embeddings in full",
    paper="Hu et al. 2022, LoRA, section 4",
    when="Little memory, or a large body and little text.",
    when_not="A small model that fits: full training learns more in the same time.",
    options=LoraOptions,
    prepare=prepare,
    finish=merge,
)
