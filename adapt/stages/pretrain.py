"""Continue pretraining one arm for its number of steps; cut short, it goes on from its last checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapt.config import RunConfig
from adapt.events import Report
from adapt.files import write_json
from adapt.graph import Context, Stage
from adapt.pretrain.watchers.watcher import refuse
from adapt.stages.budget import PREPARED, options_for, origin
from adapt.stages.corpus import beside
from adapt.stages.source import source_files

if TYPE_CHECKING:
    from adapt.pretrain.engine import Branch


def train(context: Context, arm: str, folder: Path, report: Report, branch: Branch | None = None) -> dict[str, Any]:
    """Train one arm of a run, and write `facts.json`.

    Args:
        context: the run, its corpus and budget done.
        arm: which model.
        folder: gets what `pretrain` writes; of the checkpoints those that are to be kept stay.
        report: told of progress.
        branch: end the arm's training from one of its checkpoints instead.
    """
    from adapt.pretrain.checkpoint import keep_only
    from adapt.pretrain.engine import pretrain

    model, tokenizer = origin(context, arm)
    corpus = context.path("corpus")
    facts = pretrain(
        model,
        tokenizer,
        corpus / "train.txt",
        corpus / "heldout.txt",
        options_for(context, arm),
        steps=context.facts("budget")["steps"][arm],
        seed=context.config.seed,
        folder=folder,
        progress=report,
        beside=beside(context.config, corpus),
        branch=branch,
    )
    keep_only(folder / "checkpoints", facts.get("kept_checkpoints", []))
    shutil.rmtree(folder / "tokens", ignore_errors=True)
    write_json(folder / "facts.json", facts)
    return facts


def stage(config: RunConfig, source: Path, arm: str) -> Stage:
    """Return the pretraining stage of one arm.

    Raises:
        InputError: a watcher lacks a text or a package.
    """
    refuse(config.pretrain.watchers, {"heldout": True, **beside(config, source).files})
    inputs = ("corpus", "budget", *PREPARED.get(arm, ())[-1:])
    # How often checkpoints are written changes no weight, so a run may be resumed with another rhythm.
    options = config.pretrain.model_dump(mode="json", exclude={"checkpoint_seconds"})

    def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
        return train(context, arm, folder, report)

    dictionary = config.transplant.dictionary if config.pretrain.mix.code_switch.words else None
    files = (
        *(source_files(config.source, source) if arm == "keep" else ()),
        *config.pretrain.selective.files.values(),
        *config.pretrain.distil.files.values(),
        *([dictionary] if dictionary else []),
    )
    options |= {"threads": config.threads, "device": config.device}
    return Stage(f"pretrain/{arm}", work, inputs, options, files, resumable=True)
