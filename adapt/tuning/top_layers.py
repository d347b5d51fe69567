"""Only the last layers of the body are trained; those below keep what they know of form.

Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section 3.2, thaw a model from the
top; here the number of thawed layers is fixed.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.tuning.tuning import BesideOptions, Tuning, beside, train_only, without_adapters
from lexigraft import InputError


class TopLayersOptions(BesideOptions):
    """Options of training the top layers."""

    layers: int = Field(2, gt=0)
    """How many layers are trained, counted from the top; with them what stands above, such as a last norm."""


def top_layers(model: Any, number: int) -> tuple[list[Any], list[Any]]:
    """Find the last layers of a model's body, and the modules that stand above its layers.

    Raises:
        InputError: the model has fewer layers, or layers that share their weights.
    """
    count, parts = model.config.num_hidden_layers, list(model.base_model.children())
    stacks = [(n, m) for n, part in enumerate(parts) if (m := layers_of(model, part))]
    if not stacks or number > count:
        raise InputError(
            "the model has not that many layers with weights of their own",
            found=f"{count if stacks else 0} in {type(model).__name__}",
            expected=f"at least {number}",
        )
    place, stack = stacks[0]
    return stack[count - number :], parts[place + 1 :]


def layers_of(model: Any, part: Any = None) -> list[Any]:
    """Find the layers of a model's body, or of a part of it, lowest first; none where they share their weights."""
    from torch import nn

    count, within = model.config.num_hidden_layers, model.base_model if part is None else part
    return next((list(m) for m in within.modules() if isinstance(m, nn.ModuleList) and len(m) == count), [])


def prepare(model: Any, options: Any) -> Any:
    """Freeze the body below its last layers.

    Raises:
        InputError: the model has fewer layers, or layers that share their weights.
    """
    layers, above = top_layers(model, options.layers)
    chosen = [p for part in [*layers, *above] for p in without_adapters(part).values()]
    return train_only(model, chosen + beside(model, options))


SPEC = Tuning(
    name="top-layers",
    summary="Only the last layers of the body are trained, embeddings in full",
    paper="Howard & Ruder 2018, section 3.2",
    when="Memory and time are short: without embeddings, nothing is computed backwards below the trained layers.",
    when_not="The script or the sounds are new to the model: lower layers would have to learn them.",
    options=TopLayersOptions,
    prepare=prepare,
    finish=lambda model: model,
)
