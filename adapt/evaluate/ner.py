"""Named entities: F1 over whole spans, strict IOB2, each word read at its first piece.

Heads decode with the transitions that IOB2 forbids left out. The metric wraps seqeval (metrics.py). Source: Adelani et
al. 2022, MasakhaNER 2.0; Nakayama 2018, seqeval; Ratinov & Roth 2009, section 3.1, on what decoding does to spans.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adapt.evaluate import floors, labelled, statistics
from adapt.evaluate.job import Job
from adapt.evaluate.task import Task, TaskFiles


class NER(TaskFiles):
    """Labelled files of named-entity recognition: two columns (token, BIO tag)."""


def run(job: Job) -> None:
    """Measure one arm."""
    labelled.run(job, "ner")


def run_floors(job: Job) -> None:
    """Majority class (no entity at all); CRF over characters and words."""
    floors.run(job, "ner", ("majority", "crf"))


def items(records: list[dict[str, Any]]) -> np.ndarray:
    """Count (true positives, predicted spans, gold spans) of each sentence."""
    return statistics.span_parts([r["gold"] for r in records], [r["predicted"] for r in records])


SPEC = Task(
    name="ner",
    summary="named entities: F1 over whole spans (strict IOB2), read at each word's first piece",
    paper="Adelani et al. 2022, MasakhaNER 2.0: Africa-centric transfer learning for named entity recognition",
    metric="span_f1",
    better="higher",
    unit="%",
    options=NER,
    run=run,
    floors=run_floors,
    predict=labelled.predict,
    items=items,
    score=statistics.span_f1,
    inspect=labelled.inspect("ner"),
)
