"""Every parameter is trained."""

from __future__ import annotations

from typing import Any

from adapt.tuning.tuning import Tuning
from vocab.options import Options


class FullOptions(Options):
    """Options of full training: none."""


def prepare(model: Any, options: Any) -> Any:
    """Mark every parameter as trainable."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


SPEC = Tuning(
    name="full",
    summary="Every parameter is trained",
    paper="",
    when="There is memory for it, and text enough that the body may move.",
    when_not="A large model on little text or little memory: lora.",
    options=FullOptions,
    prepare=prepare,
    finish=lambda model: model,
)
