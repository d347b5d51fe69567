"""Turn source vectors into the target's space: orthogonal Procrustes over dictionary pairs.

As in WECHSEL (Minixhofer et al. 2022): each pair is tried in 3 x 3 casings, and a word matched in two spellings counts
twice; source @ Q, where Q is the rotation that brings the pairs nearest.
"""

from __future__ import annotations

import numpy as np

from lexigraft import InputError
from vocab.view import SPACE, Vocabulary


def procrustes(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Find the orthogonal Q that makes source @ Q nearest to target (Schoenemann 1966).

    Args:
        source: (pairs, dim).
        target: (pairs, dim).

    Returns:
        (dim, dim).
    """
    left, _, right = np.linalg.svd(source.T.astype(np.float64) @ target.astype(np.float64))
    return left @ right


def align(
    source: np.ndarray,
    target: np.ndarray,
    old: Vocabulary,
    new: Vocabulary,
    pairs: list[tuple[str, str]],
    notes: list[str] | None = None,
) -> np.ndarray:
    """Rotate token vectors of the source into the target's space.

    Args:
        source: vectors of source tokens (source, dim).
        target: vectors of target tokens (target, dim).
        old: the source vocabulary.
        new: the target vocabulary.
        pairs: (source word, target word).
        notes: where to say how many pairs were used.

    Returns:
        (source, dim).

    Raises:
        InputError: dimensions differ, or no pair has vectors on both sides.
    """
    if source.shape[1] != target.shape[1]:
        raise InputError("vectors differ in dimensions", found=f"{source.shape[1]} and {target.shape[1]}")
    left, right = [], []
    for one, two in pairs:
        for a in dict.fromkeys((one, one.lower(), one.title())):
            for b in dict.fromkeys((two, two.lower(), two.title())):
                i, j = old.ids.get(SPACE + a), new.ids.get(SPACE + b)
                if i is not None and j is not None and source[i].any() and target[j].any():
                    left.append(i)
                    right.append(j)
    if not left:
        raise InputError(
            "no pair of the dictionary has vectors on both sides", found=f"{len(pairs)} pairs",
            expected="words that are tokens of both vocabularies",
        )  # fmt: skip
    if notes is not None:
        notes.append(f"vectors aligned by {len(left)} dictionary pairs")
    return (source @ procrustes(source[left], target[right])).astype(np.float32)
