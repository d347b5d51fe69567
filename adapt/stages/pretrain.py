"""Continue pretraining one arm for its number of steps; cut short, it goes on from its last checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.events import Report
from adapt.files import write_json
from adapt.graph import Context, Stage
from adapt.stages.budget import PREPARED, origin
from adapt.stages.source import weight_files


def stage(config: RunConfig, source: Path, arm: str) -> Stage:
    """Return the pretraining stage of one arm."""
    inputs = ("corpus", "budget", *PREPARED.get(arm, ())[-1:])
    # How often checkpoints are written changes no weight, so a run may be resumed with another rhythm.
    options = config.pretrain.model_dump(mode="json", exclude={"checkpoint_seconds"})

    def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
        from adapt.pretrain.engine import pretrain

        model, tokenizer = origin(context, arm)
        corpus = context.path("corpus")
        facts = pretrain(
            model,
            tokenizer,
            corpus / "train.txt",
            corpus / "heldout.txt",
            config.pretrain,
            steps=context.facts("budget")["steps"][arm],
            seed=config.seed,
            folder=folder,
            progress=report,
        )
        for left in ("checkpoints", "tokens"):
            shutil.rmtree(folder / left, ignore_errors=True)
        write_json(folder / "facts.json", facts)
        return facts

    files = weight_files(source) if arm == "keep" else ()
    options |= {"threads": config.threads, "device": config.device}
    return Stage(f"pretrain/{arm}", work, inputs, options, files, resumable=True)
