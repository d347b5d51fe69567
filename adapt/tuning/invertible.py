"""Bottleneck adapters, and a coupling on the embeddings that is undone before the decoder.

Pfeiffer et al. 2020, "MAD-X", sections 2.2.1 and 2.2.3, in the form of adapt.tuning.adapters: the coupling moves the
embeddings to where a body that stays as it is reads the language best, and its inverse moves what the head predicts
back to the (tied) embeddings. Published recipe: embeddings and head frozen too, learning rate 1e-4.
"""

from __future__ import annotations

from pydantic import Field

from adapt.tuning.bottleneck import BottleneckOptions, prepare
from adapt.tuning.tuning import Tuning


class InvertibleOptions(BottleneckOptions):
    """Options of invertible adapters."""

    coupling: int = Field(2, gt=0)
    """Half the width of an embedding divided by the inner width of the coupling's two networks."""


SPEC = Tuning(
    name="invertible",
    summary="Adapters between the layers and an invertible one on the embeddings, saved beside the model",
    paper="Pfeiffer et al. 2020, MAD-X, section 2.2.3; Dinh et al. 2015, NICE, section 3.2",
    when="As bottleneck, where embeddings stay as they are: it is what adapts them.",
    when_not="Decoders; whoever uses the model has plain transformers alone.",
    options=InvertibleOptions,
    prepare=prepare,
    finish=lambda model: model,
)
