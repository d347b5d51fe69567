"""What a pretraining objective declares, and the registry that finds the objectives of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vocab.options import Options
from vocab.registry import Registry


@dataclass(frozen=True)
class Batch:
    """What one optimiser step reads and what it must predict (numpy arrays, whole step).

    Attributes:
        inputs: (rows, length) int64, what the model sees.
        documents: (rows, length) int, what attends to what, as in `Blocks`.
        rows: (predicted,) int64, row of each predicted token, ascending.
        columns: (predicted,) int64, position whose hidden state predicts it.
        labels: (predicted,) int64, the token to predict.
    """

    inputs: Any
    documents: Any
    rows: Any
    columns: Any
    labels: Any

    @property
    def attention(self) -> Any:
        """(rows, length) bool, False at padding."""
        return self.documents > 0

    def part(self, first: int, last: int) -> Batch:
        """Rows first..last (last excluded) as a batch of their own: one micro-batch."""
        keep = (self.rows >= first) & (self.rows < last)
        return Batch(
            self.inputs[first:last],
            self.documents[first:last],
            self.rows[keep] - first,
            self.columns[keep],
            self.labels[keep],
        )


@dataclass(frozen=True)
class Objective:
    """One way to turn token blocks into inputs and predicted tokens.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year, section.
        options: its options model.
        batch: `(blocks, symbols, options, generator) -> Batch`; blocks and symbols as in adapt/pretrain/data.py, the
            generator is numpy's and belongs to the step: what is drawn does not depend on how the step is cut up.
        auto_class: the class of transformers that loads a model with this objective's head.
        bidirectional: True when hidden states see both sides.
        prepare: `(model, tokenizer, tokens, symbols, options) -> symbols`, called once before training with the model
            as it is then, the training text's tokens and the symbols that `batch` will get; or None.
    """

    name: str
    summary: str
    paper: str
    options: type[Options]
    batch: Callable[[Any, Any, Any, Any], Batch]
    auto_class: str
    bidirectional: bool
    prepare: Callable[[Any, Any, Any, Any, Any], Any] | None = None


OBJECTIVES: Registry[Objective] = Registry("adapt.pretrain.objectives", "objective")
