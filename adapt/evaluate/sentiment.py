"""Sentiment of a text: macro F1 (main), weighted F1 and accuracy, on the mean state of all its pieces.

Source: Muhammad et al. 2023, AfriSenti; mean pooling as in Reimers & Gurevych 2019, table 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adapt.evaluate import floors, labelled, statistics
from adapt.evaluate.job import Job
from adapt.evaluate.task import Task, TaskFiles


class Sentiment(TaskFiles):
    """Labelled files of text classification: `text<TAB>label`, or CSV."""


def run(job: Job) -> None:
    """Measure one arm."""
    labelled.run(job, "classes")


def run_floors(job: Job) -> None:
    """Majority class; TF-IDF with logistic regression; fastText."""
    floors.run(job, "classes", ("majority", "tfidf", "fasttext"))


def items(records: list[dict[str, Any]]) -> np.ndarray:
    """Mark (true positive, predicted, gold) of each text for each class of the test set."""
    gold = [r["gold"] for r in records]
    return statistics.class_parts(gold, [r["predicted"] for r in records], sorted(set(gold)))


SPEC = Task(
    name="sentiment",
    summary="sentiment of a text: macro F1 over the classes",
    paper="Muhammad et al. 2023, AfriSenti: a Twitter sentiment analysis benchmark for African languages",
    metric="macro_f1",
    better="higher",
    unit="%",
    options=Sentiment,
    run=run,
    floors=run_floors,
    predict=labelled.predict,
    items=items,
    score=statistics.macro_f1,
    inspect=labelled.inspect("classes"),
)
