"""What a pretraining objective declares, and the registry that finds the objectives of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vocab.options import Options
from vocab.registry import Registry


@dataclass(frozen=True)
class Objective:
    """One way to turn token blocks into inputs and predicted tokens.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year, section.
        options: its options model.
        batch: `(ids, vocabulary, options, generator) -> (inputs, positions, labels)`; see adapt/pretrain/engine.py.
        loss_sum: `(model, batch) -> (sum of nats over predicted tokens, number of predicted tokens)`.
    """

    name: str
    summary: str
    paper: str
    options: type[Options]
    batch: Callable[..., Any]
    loss_sum: Callable[..., Any]


OBJECTIVES: Registry[Objective] = Registry("adapt.pretrain.objectives", "objective")
