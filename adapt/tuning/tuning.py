"""What a tuning declares (which parameters are trained), and the registry that finds the tunings of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vocab.options import Options
from vocab.registry import Registry


@dataclass(frozen=True)
class Tuning:
    """One choice of what is trained.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year, section; empty when there is none.
        when: when to use it.
        when_not: when not to.
        options: its options model.
        prepare: `(model, options) -> model`: marks all that will ever be trained, wraps where it must.
        finish: `(model) -> model`: gives back the model that is saved, updates merged. Adapters that no plain model can
            hold stay in it: they belong to the model, are saved beside it and loaded with it (adapt.tuning.adapters).
        at_step: `(model, options, share) -> None`, called before each step with the share of steps done, for tunings
            that thaw parameters on the way; it must depend on its arguments alone, so that a run can be resumed.
    """

    name: str
    summary: str
    paper: str
    when: str
    when_not: str
    options: type[Options]
    prepare: Callable[[Any, Any], Any]
    finish: Callable[[Any], Any]
    at_step: Callable[[Any, Any, float], None] | None = None


class BesideOptions(Options):
    """What is trained in full beside a tuning's own parameters."""

    embeddings: bool = True
    """Train embeddings and decoder in full (needed when the vocabulary was replaced)."""
    head: bool = True
    """Train the head's transform in full (needed when the head is new)."""


SEED = 1729  # of what an adapter draws when it is made: the same for every arm, whatever the run's seed
HOLDER = "adapters"  # the submodule that holds a module's adapters, those of adapt.tuning.adapters

TUNINGS: Registry[Tuning] = Registry("adapt.tuning", "tuning")


def vocabulary_parameters(model: Any) -> list[Any]:
    """Input embeddings, decoder weight (the same tensor when tied) and decoder bias."""
    decoder = model.get_output_embeddings()
    found = [model.get_input_embeddings().weight]
    if decoder is not None:
        found += [p for p in (decoder.weight, getattr(decoder, "bias", None)) if p is not None]
    return list({id(p): p for p in found}.values())


def head_parameters(model: Any) -> list[Any]:
    """Everything outside the body: the language-modelling head, its transform included."""
    body = {id(p) for p in model.base_model.parameters()}
    return [p for p in model.parameters() if id(p) not in body]


def without_adapters(module: Any) -> dict[str, Any]:
    """Parameters of a part of the body by name, but for those of adapters that came with the model."""
    return {name: p for name, p in module.named_parameters() if f".{HOLDER}." not in f".{name}"}


def beside(model: Any, options: Any) -> list[Any]:
    """Parameters that `BesideOptions` asks for; to be called before the model is wrapped."""
    vocabulary = vocabulary_parameters(model)
    known = {id(p) for p in vocabulary}
    head = [p for p in head_parameters(model) if id(p) not in known]
    return (vocabulary if options.embeddings else []) + (head if options.head else [])


def train_only(model: Any, parameters: list[Any]) -> Any:
    """Freeze everything but some parameters, and give the model back."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    return model
