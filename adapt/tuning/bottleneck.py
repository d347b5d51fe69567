"""A bottleneck behind the feed-forward part of each layer; the body stays as it is.

Pfeiffer et al. 2020, "MAD-X: An Adapter-Based Framework for Multi-Task Cross-Lingual Transfer", section 2.2.1, in the
form of adapt.tuning.adapters. Published recipe: embeddings and head frozen too, learning rate 1e-4.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.tuning.tuning import BesideOptions, Tuning, beside, train_only
from lexigraft import InputError


class BottleneckOptions(BesideOptions):
    """Options of bottleneck adapters."""

    name: str = "language"
    """Name of the adapter; one that came with the model is trained on, a new one is stacked on those that came."""
    reduction: int = Field(16, gt=0)
    """Width of the model's states divided by the bottleneck's."""


def prepare(model: Any, options: Any) -> Any:
    """Put the adapter in and freeze the rest of the body, adapters below it included.

    Raises:
        InputError: layers of an unknown kind; an adapter of this name came with the model, of another shape.
    """
    from adapt.tuning.adapters import attach, parameters, shapes

    chosen = beside(model, options)
    shape = {"reduction": options.reduction, "coupling": getattr(options, "coupling", None)}
    known = shapes(model).get(options.name)
    if known is None:
        attach(model, options.name, shape["reduction"], shape["coupling"])
    elif known != shape:
        raise InputError(f"the model has an adapter {options.name!r} of another shape", found=known, expected=shape)
    return train_only(model, [*parameters(model, options.name).values(), *chosen])


SPEC = Tuning(
    name="bottleneck",
    summary="Adapters between the layers, saved beside the model in a few MB; embeddings in full",
    paper="Pfeiffer et al. 2020, MAD-X, section 2.2.1",
    when="One body serves several languages, or a task's adapter is to be trained over a language's.",
    when_not="Whoever uses the model has plain transformers alone: adapters cannot be merged; lora can.",
    options=BottleneckOptions,
    prepare=prepare,
    finish=lambda model: model,
)
