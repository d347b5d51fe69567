"""Embeddings and head alone for the first part of the steps, then everything (Downey et al. 2023, "ReInit").

A new vocabulary's rows are wrong at first; what they would do to the body is kept from it until they have settled.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.tuning.tuning import Tuning, head_parameters, vocabulary_parameters
from vocab.options import Options


class EmbeddingsFirstOptions(Options):
    """Options of training the vocabulary first."""

    share: float = Field(0.1, gt=0, lt=1)
    """Share of the steps in which the body is frozen."""


def prepare(model: Any, options: Any) -> Any:
    """Mark every parameter as trainable; `at_step` freezes the body while it must be."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def at_step(model: Any, options: Any, share: float) -> None:
    """Freeze the body's parameters before `options.share` of the steps, thaw them after."""
    thawed = share >= options.share
    always = {id(p) for p in vocabulary_parameters(model) + head_parameters(model)}
    for parameter in model.parameters():
        parameter.requires_grad_(thawed or id(parameter) in always)


SPEC = Tuning(
    name="embeddings-first",
    summary="Embeddings and head first, then everything",
    paper="Downey et al. 2023, section 3.3: the first 10 % of the steps",
    when="A replaced vocabulary whose rows start far off, or a head that is new.",
    when_not="The vocabulary is kept and the model has its head.",
    options=EmbeddingsFirstOptions,
    prepare=prepare,
    finish=lambda model: model,
    at_step=at_step,
)
