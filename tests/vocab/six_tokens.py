"""Six old and six new tokens, small enough to work every method out by hand on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.tiny_tokenizers import metaspace
from vocab.transplant.method import Problem
from vocab.view import Vocabulary

# Old: <unk> ▁a ▁b c d ▁; new: <unk> ▁b ▁bc ▁e d ▁cd. Shared: ▁b and d.
OLD = ["<unk>", "▁a", "▁b", "c", "d", "▁"]
NEW = ["<unk>", "▁b", "▁bc", "▁e", "d", "▁cd"]
E = np.array([[0, 0], [3, 4], [6, 8], [1, 0], [0, 2], [2, 0]], np.float32)
UNK, B, BC, E_, D, CD = range(6)


def six_tokens(vectors: list[list[float]], source_vectors: list[list[float]] | None = None, **more: Any) -> Problem:
    """The problem of filling the new rows, with these vectors of the new (and old) tokens."""
    old, new = (Vocabulary.of(metaspace(tokens, ["<unk>"])) for tokens in (OLD, NEW))
    source = None if source_vectors is None else np.array(source_vectors, np.float32)
    return Problem(old, new, {"input": E}, np.array(vectors, np.float32), source, seed=3, **more)
