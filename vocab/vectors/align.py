"""Turn vectors of one language into the other's space: orthogonal Procrustes over pairs of words.

As in WECHSEL (Minixhofer et al. 2022): each pair of a dictionary is tried in 3 x 3 casings, so that a pair whose
casings fall together weighs more; source @ Q, where Q is the rotation that brings the pairs nearest. Without a
dictionary, strings that both sides spell alike serve as pairs (Smith et al. 2017, "Offline bilingual word vectors,
orthogonal transformations and the inverted softmax", section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from lexigraft import InputError

Find = Callable[[str], np.ndarray | None]


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


def rotation(pairs: Iterable[tuple[str, str]], old: Find, new: Find, *, casings: bool = True) -> tuple[np.ndarray, int]:
    """Find the rotation that brings translations together.

    Args:
        pairs: (source word, target word).
        old: source word -> its vector (dim,), or None where there is none.
        new: the same for target words.
        casings: try each word as written, in small letters, and with a capital.

    Returns:
        Q (dim, dim), and the number of pairs that have vectors on both sides.

    Raises:
        InputError: there is no such pair, or the sides differ in dimensions.
    """
    left: list[np.ndarray] = []
    right: list[np.ndarray] = []
    tried = used = 0
    for one, two in pairs:
        tried += 1
        ones, twos = ((w, w.lower(), w.title()) if casings else (w,) for w in (one, two))
        olds, news = [v for w in ones if (v := old(w)) is not None], [v for w in twos if (v := new(w)) is not None]
        used += bool(olds and news)
        for a in olds:
            left += [a] * len(news)
            right += news
    if not left:
        raise InputError(
            "no pair of words has vectors on both sides", found=f"{tried} pairs",
            expected="words that both sides have vectors of",
        )  # fmt: skip
    if len(left[0]) != len(right[0]):
        raise InputError("vectors differ in dimensions", found=f"{len(left[0])} and {len(right[0])}")
    return procrustes(np.stack(left), np.stack(right)), used
