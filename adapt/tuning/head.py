"""Only the head between body and decoder is trained: what a new head needs before anything can be measured with it.

A model that ships without a language-modelling head gets a random one. Warmed up on the source model with body and
vocabulary fixed, it tells the starts that different transplants give apart, instead of hiding them behind its own
noise.
"""

from __future__ import annotations

from typing import Any

from adapt.tuning.tuning import Tuning, head_parameters, train_only
from lexigraft import InputError
from vocab.options import Options


class HeadOptions(Options):
    """Options of training the head: none."""


def prepare(model: Any, options: Any) -> Any:
    """Freeze everything but the head's transform and bias.

    Raises:
        InputError: the model has no parameters between its body and its decoder.
    """
    head = head_parameters(model)
    if not head:
        raise InputError("tuning `head` has nothing to train", found=type(model).__name__, expected="a head of its own")
    return train_only(model, head)


SPEC = Tuning(
    name="head",
    summary="Only the language-modelling head is trained",
    paper="",
    when="Warming up the new head of a model that ships without one, before methods are compared on it.",
    when_not="Adapting to a language: nothing of it reaches body or vocabulary.",
    options=HeadOptions,
    prepare=prepare,
    finish=lambda model: model,
)
