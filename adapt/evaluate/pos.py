"""Part-of-speech tagging: accuracy over words, each read at its first piece.

Words are those of the file, so two tokenizers are measured on the same words. The metric is `evaluate.Metric`'s (see
metrics.py). Source: Dione et al. 2023, MasakhaPOS; first-piece reading as in Devlin et al. 2019, section 5.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adapt.evaluate import floors, labelled, statistics
from adapt.evaluate.job import Job
from adapt.evaluate.task import Task, TaskFiles


class POS(TaskFiles):
    """Labelled files of part-of-speech tagging: two columns (token, UPOS) or CoNLL-U."""


def run(job: Job) -> None:
    """Measure one arm."""
    labelled.run(job, "pos")


def run_floors(job: Job) -> None:
    """Majority class; CRF over characters and words."""
    floors.run(job, "pos", ("majority", "crf"))


def items(records: list[dict[str, Any]]) -> np.ndarray:
    """Count (right words, words) of each sentence."""
    return statistics.tag_parts([r["gold"] for r in records], [r["predicted"] for r in records])


SPEC = Task(
    name="pos",
    summary="part-of-speech tags: accuracy over words, read at each word's first piece",
    paper="Dione et al. 2023, MasakhaPOS: part-of-speech tagging for typologically diverse African languages",
    metric="accuracy",
    better="higher",
    unit="%",
    options=POS,
    run=run,
    floors=run_floors,
    predict=labelled.predict,
    items=items,
    score=statistics.ratio,
    inspect=labelled.inspect("pos"),
)
