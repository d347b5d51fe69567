"""Adapters of `peft` on the body's linear layers: put in, and merged into the weights at the end.

They stay off the embeddings: a LoRA on tied embeddings does not survive its merge, and `modules_to_save` unties them;
so the (tied) embedding itself is unfrozen instead.
"""

from __future__ import annotations

from typing import Any

from adapt.tuning.tuning import HOLDER, SEED, beside
from lexigraft import InputError


def linear_layers(model: Any) -> list[str]:
    """Names of the linear layers of the body, without those of adapters that it holds.

    Raises:
        InputError: the body has none (GPT-2 keeps its weights in another kind of layer).
    """
    import torch

    inside = {id(m) for m in model.base_model.modules() if isinstance(m, torch.nn.Linear)}
    names = [name for name, module in model.named_modules() if id(module) in inside and f".{HOLDER}." not in name]
    if not names:
        raise InputError("the body has no linear layers to put adapters on", found=type(model).__name__)
    return names


def wrap(model: Any, config: Any, options: Any) -> Any:
    """Put adapters in and freeze the rest, but for what `options` asks to be trained beside them.

    Args:
        model: the model; its layers are replaced inside it, and it stays the model that is called.
        config: a configuration of `peft` whose `target_modules` are full names.
        options: BesideOptions.
    """
    import torch
    from peft import get_peft_model

    chosen = beside(model, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        get_peft_model(model, config)
    for parameter in chosen:
        parameter.requires_grad_(True)
    return model


def merge(model: Any) -> Any:
    """Bring what the adapters learnt into the weights and take them out."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.get_base_layer())
    for attribute in ("peft_config", "active_adapter"):
        if attribute in vars(model):
            delattr(model, attribute)
    if getattr(model, "_hf_peft_config_loaded", False):
        model._hf_peft_config_loaded = False
    return model
