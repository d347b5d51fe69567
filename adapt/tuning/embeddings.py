"""Only the vocabulary is trained: input embeddings, decoder, its bias, and the head between body and decoder.

Artetxe et al. 2020, "On the Cross-lingual Transferability of Monolingual Representations", section 2.1, step 2. Downey
et al. 2023 find embeddings alone much worse than full training where there is text for the latter.
"""

from __future__ import annotations

from typing import Any

from adapt.tuning.tuning import Tuning, head_parameters, train_only, vocabulary_parameters
from vocab.options import Options


class EmbeddingsOptions(Options):
    """Options of training the vocabulary alone."""

    head: bool = True
    """Train the head's transform too (needed when the head is new)."""


def prepare(model: Any, options: Any) -> Any:
    """Freeze the body except its embeddings."""
    return train_only(model, vocabulary_parameters(model) + (head_parameters(model) if options.head else []))


SPEC = Tuning(
    name="embeddings",
    summary="Only embeddings, decoder and head are trained",
    paper="Artetxe et al. 2020, section 2.1; Downey et al. 2023",
    when="A replaced vocabulary and a body that must not move (a study, or adapters stacked on it later).",
    when_not="Text enough for full training: it is clearly better.",
    options=EmbeddingsOptions,
    prepare=prepare,
    finish=lambda model: model,
)
