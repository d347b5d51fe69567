"""Any other kind of adapter that `peft` has, by its name there and with its own options; merged at the end.

What cannot become part of a plain model is refused before anything is trained: adapters whose update depends on the
input or on tokens put before the text, and those that keep more than weights, which no checkpoint would bring back.
"""

from __future__ import annotations

import dataclasses
import difflib
from copy import deepcopy
from typing import Any, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from adapt.tuning.merging import linear_layers, merge, wrap
from adapt.tuning.tuning import HOLDER, BesideOptions, Tuning
from lexigraft import InputError

_REFUSED = {
    "adalora": "it takes ranks away by scores that are kept outside the weights; take lora",
    "adaption_prompt": "its prompts stay within the attention, which no plain model holds",
    "ia3": "it is the tuning ia3",
    "lily": "what it adds depends on the input and cannot be merged",
    "poly": "it is made for several tasks at once",
    "shadow": "what it adds depends on the input and cannot be merged",
    "trainable_tokens": "`embeddings` trains all tokens, ties kept",
    "xlora": "it mixes adapters that were trained before",
}
_PROMPTS = "it puts learnt tokens before the text, which no plain model holds"
_BEFORE = "it needs passes over text before the training"
_OPTIONS = {
    "alora_invocation_tokens": "what follows one token alone cannot be merged",
    "arrow_config": "it mixes adapters that were trained before",
    "corda_config": _BEFORE,
    "eva_config": _BEFORE,
    "layer_replication": "the model would have other layers than its configuration says",
    "loftq_config": "weights are not quantised here",
    "lora_ga_config": _BEFORE,
    "modules_to_save": "it would untie embeddings; `embeddings` and `head` say what is trained beside the adapter",
    "target_parameters": "the adapter goes on whole layers",
    "trainable_token_indices": "`embeddings` trains all tokens, ties kept",
    "use_asa": "it needs calls of its own at every step",
}


class PeftOptions(BesideOptions):
    """Options of the adapters of `peft`."""

    type: str = Field("vera", json_schema_extra={"examples": ["vera", "loha", "lokr", "oft", "randlora", "ln_tuning"]})
    """Which, by its name in `peft`."""
    options: dict[str, Any] = {}
    """Its own options, as `peft` calls them; `target_modules` are ends of names, by default of all linear layers of the
    body (ln_tuning: of its norms)."""

    @model_validator(mode="after")
    def _peft_takes_them(self) -> PeftOptions:
        if self.options or self.type != type(self).model_fields["type"].default:  # importing peft takes seconds
            config_of(self.type, self.options)
        return self


def types() -> dict[str, Any]:
    """Find what can be trained and merged here: name in `peft` to the class of its options."""
    from peft.config import PromptLearningConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    known = {kind.value.lower(): made for kind, made in sorted(PEFT_TYPE_TO_CONFIG_MAPPING.items())}
    return {n: c for n, c in known.items() if n not in _REFUSED and not issubclass(c, PromptLearningConfig)}


def config_of(name: str, options: dict[str, Any], **more: Any) -> Any:
    """Make the configuration of one kind of adapter.

    Args:
        name: of the kind in `peft`.
        options: its own options, as they come from YAML.
        more: settings that are not the user's.

    Raises:
        ValueError: a kind or an option that is unknown or cannot work here, or a value of another type.
    """
    from peft.config import PeftConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    there = types()
    if name not in there:
        known = name.upper() in PEFT_TYPE_TO_CONFIG_MAPPING
        reason = _REFUSED.get(name, _PROMPTS) if known else "peft has no such type"
        near = difflib.get_close_matches(name, there, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"type {name!r}: {reason}{hint}; those that work: {', '.join(there)}")
    own = {field.name for field in dataclasses.fields(there[name])} - {f.name for f in dataclasses.fields(PeftConfig)}
    kinds, given = get_type_hints(there[name]), dict(options)
    for key, value in options.items():
        if key not in own:
            near = difflib.get_close_matches(key, own, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(own))}"
            raise ValueError(f"type {name!r} has no option {key!r}, {hint}")
        try:
            given[key] = TypeAdapter(kinds[key]).validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{key} of type {name!r}: {error.errors()[0]['msg']}, found {value!r}") from None
    try:
        config = there[name](**(given | more))
    except (ValueError, TypeError) as error:
        raise ValueError(f"type {name!r}: {error}") from None
    for key, reason in _OPTIONS.items():
        if getattr(config, key, None):
            raise ValueError(f"{key} of type {name!r} cannot work here: {reason}")
    return config


def prepare(model: Any, options: Any) -> Any:
    """Put the adapter into the body and freeze the rest of it.

    Raises:
        InputError: the layers asked for are not there, their sizes do not go with the options, or what is learnt in
            them could not be merged.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    names = _norms(model) if options.type == "ln_tuning" else linear_layers(model)
    ends = options.options.get("target_modules")
    if ends is not None:
        wanted = tuple(f".{end}" for end in ([ends] if isinstance(ends, str) else ends))
        names = [name for name in names if f".{name}".endswith(wanted)] if wanted else []
    if not names:
        raise InputError("tuning `peft` finds no such layers", found=ends or type(model).__name__,
                         expected="ends of names of layers in the body")  # fmt: skip
    try:
        model = wrap(model, config_of(options.type, options.options, target_modules=names), options)
        for module in model.modules():
            if isinstance(module, BaseTunerLayer):
                deepcopy(module).merge()  # what would fail at the end fails now
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(
            f"tuning `peft` cannot work on this model: {error}",
            found=f"{options.type}, {options.options}",
            expected="other options, or another type",
        ) from None
    return model


def _norms(model: Any) -> list[str]:
    """Names of the body's norms, without those that carry an adapter of ours."""
    inside = {id(m) for m in model.base_model.modules() if type(m).__name__.endswith("Norm") and not hasattr(m, HOLDER)}
    return [name for name, module in model.named_modules() if id(module) in inside]


SPEC = Tuning(
    name="peft",
    summary="Any adapter of peft by its type (vera, loha, oft, ...), merged at the end, embeddings in full",
    paper="Mangrulkar et al. 2022, PEFT; each type has its own",
    when="A kind of adapter is to be compared with lora, or what is trained must be smaller still (vera, tinylora).",
    when_not="No reason to prefer one: lora is what most is known of.",
    options=PeftOptions,
    prepare=prepare,
    finish=merge,
)
