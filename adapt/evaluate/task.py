"""What a task declares, and the registry that finds the tasks of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.options import Options
from vocab.registry import Registry

if TYPE_CHECKING:
    from adapt.evaluate.job import Job


class TaskFiles(Options):
    """Labelled files of one task."""

    train: Path
    """Training examples."""
    dev: Path | None = None
    """Examples for choices made while training; without it a tenth of `train` is set aside."""
    test: Path
    """Examples the scores are measured on; never trained on."""
    about: str = ""
    """Where the labels come from, in a few words (`silver: projected from English`); the report says it."""


@dataclass(frozen=True)
class Task:
    """One thing that is measured on every arm.

    Attributes:
        name: what users type.
        summary: one line.
        paper: where the measure comes from.
        metric: name of the main metric; `better` says which way is better (`higher` or `lower`).
        unit: unit of the main metric (`%`, `pseudo-bits per character`).
        options: options model; a subclass of TaskFiles for labelled tasks.
        run: measures one arm and writes its folder (adapt/evaluate/job.py says what a Job holds).
        floors: writes the scores that need no pretrained model, one folder a floor; or None.
        predict: `(evaluate/<arm>/<task> folder, model folder, tokenizer folder, lines, split into words) -> one mapping
            a line`: applies trained heads to new text; or None.
        inspect: `(files by part) -> sentences`: says what labelled files hold, refusing bad ones; or None.
        items: `(records of predictions.jsonl) -> (items, k)`: what each test item adds to the sums that `score` reads,
            for intervals and comparisons; None where predictions are not kept.
        score: sums of shape (..., k) to the main metric.
        files: the task has labelled files in the configuration.
    """

    name: str
    summary: str
    paper: str
    metric: str
    better: str
    unit: str
    options: type[Options]
    run: Callable[[Job], None]
    floors: Callable[[Job], None] | None = None
    predict: Callable[..., Any] | None = None
    inspect: Callable[[dict[str, Path]], list[str]] | None = None
    items: Callable[[list[dict[str, Any]]], np.ndarray] | None = None
    score: Callable[[np.ndarray], np.ndarray] | None = None
    files: bool = True


TASKS: Registry[Task] = Registry("adapt.evaluate", "task")
