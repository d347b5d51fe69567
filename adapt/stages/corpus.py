"""Text in, clean training text and held-out text out; nothing of a test set stays in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.evaluate.task import TASKS, TaskFiles
from adapt.events import Report
from adapt.graph import Context, Stage


def protected(config: RunConfig) -> dict[str, Path]:
    """Dev and test files of the tasks by name (`pos test`): their text must not be trained on."""
    chosen = {task.name: getattr(config.evaluate.tasks, task.name, None) for task in TASKS}
    return {
        f"{name} {part}": path
        for name, files in chosen.items()
        if isinstance(files, TaskFiles)
        for part, path in (("dev", files.dev), ("test", files.test))
        if path
    }


def stage(config: RunConfig) -> Stage:
    """Return the corpus stage of a run."""
    extra = [config.corpus.heldout] if config.corpus.heldout else []
    return Stage(
        "corpus",
        work,
        options=config.corpus.model_dump(mode="json", include={"heldout_share", "max_characters"}),
        files=(*config.corpus.text, *extra, *protected(config).values()),
        version=2,
    )


def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
    """Write `train.txt`, `heldout.txt` and `facts.json`."""
    from corpora.clean import prepare
    from corpora.tasks import read_sentences

    corpus = context.config.corpus
    return prepare(
        corpus.text,
        folder,
        heldout=corpus.heldout,
        share=corpus.heldout_share,
        protect={name: read_sentences(path) for name, path in protected(context.config).items()},
        max_characters=corpus.max_characters,
        seed=context.config.seed,
        progress=report,
    )
