"""The arm `scratch`: an untrained model for the language's tokenizer, which then goes the way of every other arm.

What the source model was worth is only seen beside a model that never saw it, with the same tokenizer, text and time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.events import Report
from adapt.graph import Context, Stage
from adapt.pretrain.presets.preset import PRESETS, Preset, Shape, size, untrained
from lexigraft import InputError

# The smallest body of each kind: with a few MB of text and minutes of time it learns most.
_USUAL = {"mlm": "encoder-tiny", "clm": "decoder-tiny"}


def chosen(config: RunConfig, source: Path) -> tuple[Preset, Shape]:
    """Architecture and size of the untrained model; the source's kind decides where the configuration does not.

    Raises:
        InputError: an unknown preset, one that is not made for `pretrain.objective`, or too few positions.
    """
    from adapt.pretrain.model import objective_of

    wanted = config.pretrain.objective
    preset = PRESETS[config.scratch.preset or _USUAL[wanted or objective_of(source)]]
    shape: Shape = getattr(config.scratch.options, preset.name.replace("-", "_"))
    if wanted is not None and preset.objective != wanted:
        raise InputError(
            f"scratch.preset: {preset.name} is made for {preset.objective}",
            found=f"pretrain.objective = {wanted}",
            expected="one of " + ", ".join(p.name for p in PRESETS if p.objective == wanted),
        )
    if shape.positions < config.pretrain.sequence_length:
        raise InputError(
            f"scratch: {preset.name} reads {shape.positions} tokens at most",
            found=f"pretrain.sequence_length = {config.pretrain.sequence_length}",
            expected=f"scratch.options.{preset.name.replace('-', '_')}.positions of that many or more",
        )
    return preset, shape


def stage(config: RunConfig, source: Path) -> Stage:
    """Return the stage that makes the untrained model of a run."""
    preset, shape = chosen(config, source)

    def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
        untrained(preset.name, context.path("tokenizer"), folder / "model", seed=config.seed, shape=shape)
        whole, body = size(preset, shape, context.facts("tokenizer")["vocab_size"])
        return {"preset": preset.name, "summary": preset.summary, "parameters": whole, "body_parameters": body}

    return Stage("scratch", work, ("tokenizer",), {"preset": preset.name, "shape": shape.model_dump(mode="json")})
