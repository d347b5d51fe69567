"""The published scores, as metrics of the `evaluate` library that need no hub.

`evaluate.load("seqeval")` downloads a script; the subclasses of `evaluate.Metric` made here do not. They give the
numbers in scores.json; `statistics` counts the same things sentence by sentence for the intervals, and a test holds
the two equal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from typing import Any


@cache
def _classes() -> dict[str, type]:
    """Make the classes when first asked for: `evaluate` and scikit-learn take seconds to import."""
    import datasets
    import evaluate

    def info(description: str, citation: str, sequences: bool) -> evaluate.MetricInfo:
        value: Any = datasets.Value("string")
        feature = datasets.Sequence(value) if sequences else value
        return evaluate.MetricInfo(
            description=description,
            citation=citation,
            inputs_description="predictions and references, the same number of each",
            features=datasets.Features({"predictions": feature, "references": feature}),
        )

    class Spans(evaluate.Metric):
        """Micro precision, recall and F1 of whole spans by seqeval, strict IOB2."""

        def _info(self) -> evaluate.MetricInfo:
            return info("Span F1, strict IOB2.", "Nakayama 2018, seqeval; Tjong Kim Sang & De Meulder 2003", True)

        def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
            from seqeval.metrics import f1_score, precision_score, recall_score
            from seqeval.scheme import IOB2

            how: dict[str, Any] = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
            if not any(tag != "O" for tags in [*predictions, *references] for tag in tags):
                return {"span_f1": 0.0, "precision": 0.0, "recall": 0.0}  # seqeval refuses data without any span
            return {
                "span_f1": float(f1_score(references, predictions, **how)),
                "precision": float(precision_score(references, predictions, **how)),
                "recall": float(recall_score(references, predictions, **how)),
            }

    class Tags(evaluate.Metric):
        """Share of words whose tag is right."""

        def _info(self) -> evaluate.MetricInfo:
            return info("Accuracy over words.", "", True)

        def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
            right = sum(p == r for a, b in zip(predictions, references, strict=True) for p, r in zip(a, b, strict=True))
            return {"accuracy": right / max(1, sum(map(len, references)))}

    class Classes(evaluate.Metric):
        """Macro F1 over the classes of the references, weighted F1 and accuracy."""

        def _info(self) -> evaluate.MetricInfo:
            return info("F1 and accuracy of classes.", "Muhammad et al. 2023, AfriSenti", False)

        def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
            from sklearn.metrics import accuracy_score, f1_score

            how: dict[str, Any] = {"labels": sorted(set(references)), "zero_division": 0}
            return {
                "macro_f1": float(f1_score(references, predictions, average="macro", **how)),
                "weighted_f1": float(f1_score(references, predictions, average="weighted", **how)),
                "accuracy": float(accuracy_score(references, predictions)),
            }

    return {"spans": Spans, "tags": Tags, "classes": Classes}


def compute(kind: str, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    """Score predictions.

    Args:
        kind: `spans` (NER), `tags` (POS) or `classes` (sentiment).
        predictions: tags of each sentence, or one class an item.
        references: the same for the gold labels.

    Returns:
        The metrics by name, as shares from 0 to 1.
    """
    with tempfile.TemporaryDirectory() as folder:  # evaluate makes its cache folder even when it keeps all in memory
        metric = _classes()[kind](keep_in_memory=True, cache_dir=folder)
        return dict(metric.compute(predictions=list(predictions), references=list(references)))
