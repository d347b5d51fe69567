"""Text in, clean training text and held-out text out; nothing of a test set stays in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.evaluate.task import TASKS, TaskFiles
from adapt.events import Report
from adapt.graph import Context, Stage


def protected(config: RunConfig) -> list[Path]:
    """Dev and test files of the tasks: their text must not be trained on."""
    chosen = [getattr(config.evaluate.tasks, task.name, None) for task in TASKS]
    return [path for files in chosen if isinstance(files, TaskFiles) for path in (files.dev, files.test) if path]


def stage(config: RunConfig) -> Stage:
    """The corpus stage of a run."""
    extra = [config.corpus.heldout] if config.corpus.heldout else []
    return Stage(
        "corpus",
        work,
        options=config.corpus.model_dump(mode="json", include={"heldout_share", "max_characters"}),
        files=(*config.corpus.text, *extra, *protected(config)),
    )


def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
    """Write `train.txt`, `heldout.txt` and `facts.json`."""
    from corpora.clean import prepare

    from adapt.files import write_json

    corpus = context.config.corpus
    facts = prepare(
        corpus.text,
        folder,
        heldout=corpus.heldout,
        heldout_share=corpus.heldout_share,
        protect=protected(context.config),
        max_characters=corpus.max_characters,
        progress=report,
    )
    write_json(folder / "facts.json", facts)
    return facts
