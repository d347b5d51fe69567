"""Token vectors: evidence about the tokens of a new vocabulary, for methods that compare tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.vectors.evidence import Evidence

_VERSION = 1  # a change in how vectors are made: kept ones no longer count
KINDS = ("counts+characters", "counts", "characters", "fasttext")


def token_vectors(
    tokenizer: Any,
    texts: Any = None,
    kind: str = "counts+characters",
    *,
    seed: int = 0,
    cache: bool | Path | None = None,
    progress: Callable[[float, float, dict[str, Any]], None] | None = None,
    **options: Any,
) -> Evidence:
    """Make evidence about the tokens of a tokenizer.

    Args:
        tokenizer: a tokenizer, folder, file, hub id or `Vocabulary`.
        texts: paths or a re-iterable of lines in the language; `characters` needs none.
        kind: counts+characters (the default evidence), counts, characters, or fasttext (as FOCUS published).
        seed: seed of what is drawn (fastText's own is fixed).
        cache: keep vectors by content and use kept ones: a folder, or True for the user's cache folder. Nothing
            means True for fasttext, which takes long, and False else.
        progress: called with lines done.
        options: for fasttext: dim, epochs, min_count, model, buckets, threads; for counts: contexts, rank.

    Returns:
        Evidence of shape (tokens, columns), an array-like; rows are 0 where nothing is known of a token.

    Raises:
        InputError: unknown kind, missing or empty text.
    """
    from vocab.view import Vocabulary

    if kind not in KINDS:
        raise InputError(f"unknown kind of token vectors {kind!r}", expected=f"one of {', '.join(KINDS)}")
    vocabulary = Vocabulary.of(tokenizer)
    characters = None
    if "characters" in kind:
        from vocab.vectors.characters import character_vectors

        characters = character_vectors(vocabulary)
        if kind == "characters" and texts is None:
            return Evidence(sparse=characters, kind=kind)
    if texts is None:
        raise InputError(f"{kind} vectors need text", expected="texts=: paths or a re-iterable of lines")
    from vocab.vectors.counts import encode

    ids, starts = encode(vocabulary, texts, progress)
    if not len(ids):
        raise InputError("the text is empty", found="no token in it", expected="lines in the language")
    frequency = np.bincount(ids, minlength=len(vocabulary))
    if kind == "characters":
        return Evidence(sparse=characters, frequency=frequency, kind=kind)
    dense = _stored(vocabulary, ids, starts, kind.split("+")[0], seed, cache, options)
    return Evidence(dense, characters, frequency, kind)


def _stored(
    vocabulary: Any, ids: np.ndarray, starts: np.ndarray, kind: str, seed: int, cache: Any, options: dict[str, Any]
) -> np.ndarray:
    """Dense vectors, from the store where they are kept."""
    from vocab.vectors import cache as store

    cache = kind == "fasttext" if cache is None else cache
    where = store.folder() if cache is True else Path(cache) if cache else None
    name = store.key(vocabulary.fingerprint, ids, starts, {"version": _VERSION, "kind": kind, "seed": seed, **options})
    found = store.find(where, name) if where is not None else None
    if found is not None:
        return found
    if kind == "fasttext":
        from vocab.vectors.fasttext import fasttext_vectors

        vectors = fasttext_vectors(vocabulary, ids, starts, **options)
    else:
        from vocab.vectors.counts import count_vectors

        vectors = count_vectors(vocabulary, ids, starts, seed=seed, **options)
    if where is not None:
        store.keep(where, name, vectors)
    return vectors
