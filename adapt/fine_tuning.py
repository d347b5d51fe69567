"""Fine-tuning carried out by several processes: what crosses from one to the others, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapt.config import Evaluate
from adapt.evaluate import finetune
from adapt.evaluate.data import Kind
from adapt.evaluate.job import Job, Progress
from adapt.evaluate.task import TASKS
from adapt.pretrain.distributed import by_all


@by_all
def fine_tune(
    options: Evaluate,
    arm: str,
    task: str,
    kind: Kind,
    model: Path,
    tokenizer: Path,
    files: dict[str, Any],
    out: Path,
    seed: int,
    progress: Progress | None = None,
) -> None:
    """Fine-tune and score every seed that is not done yet.

    Args:
        options: what is measured, and how.
        arm: name of the arm.
        task: name of the task.
        kind: `pos`, `ner` or `classes`.
        model: folder of the model.
        tokenizer: folder of its tokenizer.
        files: the task's own options.
        out: gets `seed-N/`.
        seed: the run's seed.
        progress: called as `progress(done, total, facts)`.

    Raises:
        InputError: as `adapt.evaluate.data.load`.
    """
    given = TASKS[task].options.model_validate(files)
    finetune.run_seeds(Job(arm, task, model, tokenizer, given, options, None, out, seed, progress=progress), kind)
