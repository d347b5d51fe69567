"""Low-rank updates on the body's linear layers, merged at the end; embeddings and head are trained as they are.

Hu et al. 2022, "LoRA". Adapters come from `peft`. They stay off the embeddings: a LoRA on tied embeddings does not
survive its merge, and `modules_to_save` unties them; so the (tied) embedding itself is unfrozen instead.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.tuning.tuning import Tuning, head_parameters, vocabulary_parameters
from vocab.options import Options

SEED = 1729  # of the adapters' first matrices; the second ones begin at 0


class LoraOptions(Options):
    """Options of LoRA."""

    rank: int = Field(16, gt=0)
    """Rank of the updates."""
    alpha: float = Field(32.0, gt=0)
    """Scale of the updates, divided by the rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the first matrix."""
    embeddings: bool = True
    """Train embeddings and decoder in full (needed when the vocabulary was replaced)."""
    head: bool = True
    """Train the head's transform in full (needed when the head is new)."""


def prepare(model: Any, options: Any) -> Any:
    """Wrap the linear layers of the body and freeze the rest of it."""
    import torch
    from peft import LoraConfig, get_peft_model

    body = model.base_model
    linear = {id(m) for m in body.modules() if isinstance(m, torch.nn.Linear)}
    names = [name for name, module in model.named_modules() if id(module) in linear]
    config = LoraConfig(r=options.rank, lora_alpha=options.alpha, lora_dropout=options.dropout, target_modules=names)
    vocabulary, head = vocabulary_parameters(model), head_parameters(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        get_peft_model(model, config)  # replaces the layers inside `model`, which stays the model that is called
    chosen = (vocabulary if options.embeddings else []) + (head if options.head else [])
    for parameter in chosen:
        parameter.requires_grad_(True)
    if options.head and not options.embeddings:
        for parameter in vocabulary:
            parameter.requires_grad_(False)
    return model


def finish(model: Any) -> Any:
    """Add the updates to the weights and take the adapters out."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.get_base_layer())
    for attribute in ("peft_config", "active_adapter"):
        if attribute in vars(model):
            delattr(model, attribute)
    if getattr(model, "_hf_peft_config_loaded", False):
        model._hf_peft_config_loaded = False
    return model


SPEC = Tuning(
    name="lora",
    summary="Low-rank updates of the body, embeddings in full",
    paper="Hu et al. 2022, LoRA, section 4",
    when="Little memory, or a large body and little text.",
    when_not="A small model that fits: full training learns more in the same time.",
    options=LoraOptions,
    prepare=prepare,
    finish=finish,
)
