"""Measure every arm on every task, and the floors that need no pretrained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.evaluate.job import Job
from adapt.evaluate.task import TASKS, Task, TaskFiles
from adapt.events import Report
from adapt.graph import Context, Stage
from adapt.stages.source import source_files, tokenizer_folder


def stages(config: RunConfig, source: Path) -> list[Stage]:
    """One stage an arm and task, and one a task for its floors."""
    tasks = [task for task in TASKS if not task.files or getattr(config.evaluate.tasks, task.name, None)]
    found = [_floors(config, task) for task in tasks if task.floors]
    return found + [_arm(config, source, arm, task) for arm in config.arms for task in tasks]


def _settings(config: RunConfig, task: Task) -> dict[str, Any]:
    given = getattr(config.evaluate.tasks, task.name, None)
    own = given.model_dump(mode="json", exclude={"train", "dev", "test"}) if given else {}
    shared = config.evaluate.model_dump(mode="json", exclude={"tasks"})
    if not task.files:
        shared = {"lm_words": shared["lm_words"]}
    return {"own": own, "shared": shared}


def _files(config: RunConfig, task: Task) -> tuple[Path, ...]:
    given = getattr(config.evaluate.tasks, task.name, None)
    return tuple(p for p in (given.train, given.dev, given.test) if p) if isinstance(given, TaskFiles) else ()


def _job(
    context: Context, task: Task, arm: str, folder: Path, report: Report, model: Path | None, words: Path | None
) -> Job:
    return Job(
        arm=arm,
        task=task.name,
        model=model,
        tokenizer=words,
        options=getattr(context.config.evaluate.tasks, task.name, None) or task.options(),
        shared=context.config.evaluate,
        heldout=context.path("corpus") / "heldout.txt",
        out=folder,
        seed=context.config.seed,
        threads=context.config.threads,
        progress=report,
    )


def _arm(config: RunConfig, source: Path, arm: str, task: Task) -> Stage:
    def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
        if arm == "source":
            model, words = context.source, tokenizer_folder(config.source, context.source)
        else:
            model = words = context.path(f"pretrain/{arm}") / "model"
        task.run(_job(context, task, arm, folder, report, model, words))
        return {}

    inputs: tuple[str, ...] = () if task.files else ("corpus#heldout.txt",)
    files = _files(config, task)
    if arm == "source":
        files = (*source_files(config.source, source), *files)
    else:
        inputs = (*inputs, f"pretrain/{arm}")
    return Stage(f"evaluate/{arm}/{task.name}", work, inputs, _settings(config, task), files, resumable=True)


def _floors(config: RunConfig, task: Task) -> Stage:
    def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
        if task.floors is not None:
            task.floors(_job(context, task, "floors", folder, report, None, None))
        return {}

    return Stage(
        f"evaluate/floors/{task.name}", work, (), _settings(config, task), _files(config, task), resumable=True
    )
