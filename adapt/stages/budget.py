"""Turn the budget into steps, once: from then on only steps count, so that a resumed run ends in the same result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.events import Report
from adapt.files import write_json
from adapt.graph import Context, Stage
from adapt.pretrain.mixing import SOURCE, TEXT, TRIPLES, shares
from adapt.pretrain.options import Pretrain
from adapt.stages.source import source_files, tokenizer_folder
from lexigraft import InputError

# What is made for an arm before it is trained; the last of these holds its `model/`.
PREPARED = {"adapted": ("tokenizer", "transplant"), "scratch": ("tokenizer", "scratch")}


def stage(config: RunConfig, source: Path, arms: list[str]) -> Stage:
    """Return the budget stage of a run."""
    inputs = ("corpus", *dict.fromkeys(name for arm in arms for name in PREPARED.get(arm, ())))
    options = {"pretrain": config.pretrain.model_dump(mode="json"), "arms": arms, "threads": config.threads,
               "device": config.device}  # fmt: skip
    return Stage("budget", work, inputs, options, source_files(config.source, source))


def origin(context: Context, arm: str) -> tuple[Path, Path]:
    """Folders of the model and the tokenizer an arm starts from."""
    if arm in PREPARED:
        model = context.path(PREPARED[arm][-1]) / "model"
        return model, model
    return context.source, tokenizer_folder(context.config.source, context.source)


def options_for(context: Context, arm: str) -> Pretrain:
    """Return the settings of an arm's training; one with a new vocabulary is told where the model before it lies."""
    options = context.config.pretrain
    if arm not in PREPARED or not options.distil.weight or options.distil.teacher:
        return options
    words = tokenizer_folder(context.config.source, context.source)
    distil = options.distil.model_copy(update={"teacher": context.source, "teacher_tokenizer": words})
    return options.model_copy(update={"distil": distil})


def _sizes(context: Context) -> dict[str, int]:
    """Characters of each corpus that is trained on; facts, which have a share of their own, count as one."""
    facts = context.facts("corpus")
    named = {TEXT: facts, SOURCE: facts.get("source"), **facts.get("others", {})}
    found = {name: each["train"]["characters"] for name, each in named.items() if each}
    return found | ({TRIPLES: 1} if facts.get("triples") else {})


def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
    """Write `steps.json`: the optimiser steps of each arm, and what was measured."""
    from adapt.pretrain.measure import estimated_steps, measure, steps_in_text

    options = context.config.pretrain
    arms = [arm for arm in context.config.arms if arm != "source"]
    steps: dict[str, int] = {}
    measured: dict[str, Any] = {}
    for number, arm in enumerate(arms):

        def told(done: float, total: float, facts: Mapping[str, Any], number: int = number, arm: str = arm) -> None:
            report(number + done / total, len(arms), {"measuring": arm, **facts})

        told(0, 1, {})
        if options.steps is not None:
            steps[arm] = options.steps
            continue
        model, tokenizer = origin(context, arm)
        text = context.path("corpus") / "train.txt"
        if options.minutes is None:
            steps[arm] = steps_in_text(tokenizer, text, options, context.config.seed, progress=told)
            if options.epochs is not None:  # of the language's own text, which has a share of the steps
                steps[arm] = math.ceil(steps[arm] / shares(_sizes(context), options.mix)[TEXT])
            continue
        measured[arm] = measure(model, tokenizer, text, options_for(context, arm), context.config.seed, progress=told)
        # The new vocabulary's own preparation is paid by the arm that uses it: the arms are compared at equal time.
        spent = sum(context.facts(name)["seconds"] for name in PREPARED.get(arm, ()))
        steps[arm] = estimated_steps(options, measured[arm], 0.0, spent)
        if steps[arm] < 1:
            raise InputError(
                f"pretrain.minutes leaves no time to train the arm {arm}",
                found=f"{options.minutes} minutes, what was made before took {spent:.0f} s of it; a step takes "
                f"{measured[arm]['seconds_per_step']:.1f} s",
                expected="more minutes, or pretrain.steps",
            )
    facts = {"steps": steps, "minutes": options.minutes, "measured": measured}
    write_json(folder / "steps.json", facts)
    return facts
