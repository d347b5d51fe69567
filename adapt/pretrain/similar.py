"""Tokens like a token, to stand in its place: nearest in the model's own input embeddings (after Cui et al. 2020)."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from vocab.transplant.nearest import largest
from vocab.view import SPACE, Kind, Vocabulary

NEIGHBOURS = 8  # a token's stand-ins, one of which is drawn each time
_ROWS = 256  # tokens that are compared with all others at once


def similar_tokens(embeddings: Any, vocabulary: Vocabulary, counts: np.ndarray) -> np.ndarray:
    """Find the nearest tokens of equal kind: all begin a word or none does, all letters, digits or signs.

    Only tokens that the text has stand in or are stood in for: those of other languages and scripts stay out, and the
    work grows with the square of the text's vocabulary, not of the model's.

    Args:
        embeddings: (V, d) float, the input embeddings.
        vocabulary: the tokenizer's.
        counts: (ids,) how often the text has each token.

    Returns:
        (ids, NEIGHBOURS) int64, by falling cosine, of equals the lower id first; -1 where there is none.
    """
    found = np.full((len(counts), NEIGHBOURS), -1, dtype=np.int64)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index in np.flatnonzero(counts).tolist():
        if vocabulary.kind[index] == Kind.PIECE:
            form = vocabulary.forms[index]
            letter = form.lstrip(SPACE)[:1]
            groups.setdefault((form[:1] == SPACE, unicodedata.category(letter)[0] if letter else ""), []).append(index)
    for group in groups.values():
        ids = np.array(group)
        rows = np.asarray(embeddings[ids], dtype=np.float32)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        across = np.ascontiguousarray(rows.T)
        count = min(NEIGHBOURS, len(ids) - 1)
        for first in range(0, len(ids), _ROWS):
            own = np.arange(first, min(first + _ROWS, len(ids)))
            near = largest(rows[own], across, count + 1)[0]
            # Each is its own nearest, unless others equal it: then the last one goes.
            other = near != own[:, None]
            other[other.all(1), -1] = False
            found[ids[own], :count] = ids[near[other].reshape(len(own), count)]
    return found
