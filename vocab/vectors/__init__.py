"""Token vectors: evidence about the tokens of a new vocabulary, for methods that compare tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.memory import give_back
from vocab.vectors.evidence import Evidence
from vocab.vectors.words import WordFile

_VERSION = 1  # a change in how vectors are made: kept ones no longer count
KINDS = ("counts+characters", "counts", "characters", "fasttext", "skipgram", "words")
_MODELS = {"fasttext": "cbow", "skipgram": "skipgram"}


def token_vectors(
    tokenizer: Any,
    texts: Any = None,
    kind: str | Path = "counts+characters",
    *,
    via: Any = None,
    seed: int = 0,
    cache: bool | Path | None = None,
    progress: Callable[[float, float, dict[str, Any]], None] | None = None,
    **options: Any,
) -> Evidence:
    """Make evidence about the tokens of a tokenizer.

    Args:
        tokenizer: a tokenizer, folder, file, hub id or `Vocabulary`.
        texts: paths or a re-iterable of lines in the language; `characters` needs none.
        kind: counts+characters (the default evidence), counts, characters, fasttext (as FOCUS published), skipgram (the
            same by fastText's other model) or words (fastText on words, turned to token vectors, as WECHSEL published);
            or a file of word vectors (fastText .bin or .vec, word2vec, GloVe), which are turned to token vectors.
        via: cut the text with this tokenizer instead and give its vectors to the tokens that it shares with
            `tokenizer`, others none: for an extended vocabulary, the tokenizer of the language alone (FOCUS's extension
            mode).
        seed: seed of what is drawn (fastText's own is fixed).
        cache: keep vectors by content and use kept ones: a folder, or True for the user's cache folder. Nothing
            means True for fastText and word vectors, which take long, and False else.
        progress: called with lines done.
        options: for fasttext and skipgram: dim, epochs, min_count, buckets, threads; for counts: contexts, rank; for
            words: dim, epochs, min_count, buckets, threads, rule; for a file of word vectors: rule (see
            `vocab.vectors.from_words`).

    Returns:
        Evidence of shape (tokens, columns), an array-like; rows are 0 where nothing is known of a token.

    Raises:
        InputError: unknown kind, missing or empty text.
    """
    from vocab.view import Vocabulary

    vocabulary = Vocabulary.of(tokenizer)
    if via is not None:
        own = Vocabulary.of(via)
        made = token_vectors(own, texts, kind, seed=seed, cache=cache, progress=progress, **options)
        return made.onto(own, vocabulary)
    if kind not in KINDS:
        if not Path(kind).is_file():
            raise InputError(
                f"unknown kind of token vectors {str(kind)!r}",
                expected=f"one of {', '.join(KINDS)}, or a file of word vectors",
            )
        return _of_words(vocabulary, texts, WordFile(Path(kind)), cache, f"word vectors ({Path(kind).name})", **options)
    characters = None
    if "characters" in kind:
        from vocab.vectors.characters import character_vectors

        characters = character_vectors(vocabulary)
        if kind == "characters" and texts is None:
            return Evidence(sparse=characters, kind=kind)
    if texts is None:
        raise InputError(f"{kind} vectors need text", expected="texts=: paths or a re-iterable of lines")
    if kind == "words":
        return _of_own_words(vocabulary, texts, cache, options)
    from vocab.vectors.counts import encode

    ids, starts = encode(vocabulary, texts, progress)
    give_back()
    if not len(ids):
        raise InputError("the text is empty", found="no token in it", expected="lines in the language")
    frequency = np.bincount(ids, minlength=len(vocabulary))
    if kind == "characters":
        return Evidence(sparse=characters, frequency=frequency, kind=kind)
    dense = _stored(vocabulary, ids, starts, kind.split("+")[0], seed, cache, options)
    return Evidence(dense, characters, frequency, kind)


def as_evidence(vectors: Any, vocabulary: Any, texts: Any = None) -> Evidence:
    """Take vectors as users give them.

    Args:
        vectors: `Evidence`, an array (tokens, k), or what `token_vectors` takes as its kind: a file of word vectors.
        vocabulary: whose tokens they are for.
        texts: text in the language, to weigh words by their frequency.

    Raises:
        InputError: wrong shape, NaN or inf, or a file that is none of word vectors.
    """
    if isinstance(vectors, str | Path):
        return token_vectors(vocabulary, texts, vectors)
    return Evidence.of(vectors, len(vocabulary))


def _of_own_words(vocabulary: Any, texts: Any, cache: Any, options: dict[str, Any]) -> Evidence:
    """Token vectors from word vectors trained on the text."""
    import tempfile

    from vocab.vectors import cache as store
    from vocab.vectors.fasttext import train_words

    rule = options.pop("rule", None)
    if cache is None or cache is True:
        cache = store.folder()
    if cache:
        return _of_words(vocabulary, texts, train_words(texts, Path(cache), **options), cache, "words", rule)
    with tempfile.TemporaryDirectory() as folder:
        file = train_words(texts, Path(folder), **options)
        _ = file.vectors  # read while the file is there
        return _of_words(vocabulary, texts, file, False, "words", rule)


def _of_words(vocabulary: Any, texts: Any, file: WordFile, cache: Any, kind: str, rule: str | None = None) -> Evidence:
    """Token vectors from a file of word vectors."""
    from vocab.vectors.from_words import from_words, word_counts

    often = None if texts is None else word_counts(file.vectors, texts)
    content = np.zeros(0, np.int64) if often is None else often
    # Which words hold a token hangs on how the tokenizer cuts them, which its tokens alone do not say.
    cuts = hashlib.sha256(vocabulary.backend.to_str().encode()).hexdigest()
    name = {"version": _VERSION, "words": file.digest, "rule": rule, "tokenizer": cuts}
    dense = _kept(
        True if cache is None else cache, vocabulary.fingerprint, np.zeros(0, np.int32), content, name,
        lambda: from_words(file.vectors, vocabulary, rule, often),
    )  # fmt: skip
    frequency = None
    if texts is not None:
        from vocab.vectors.counts import encode

        frequency = np.bincount(encode(vocabulary, texts)[0], minlength=len(vocabulary))
    return Evidence(dense, frequency=frequency, kind=kind, words=file)


def _kept(
    cache: Any, fingerprint: str, ids: np.ndarray, starts: np.ndarray, options: dict[str, Any], make: Callable[[], Any]
) -> np.ndarray:
    """Vectors from the store where they are kept, else made and stored."""
    from vocab.vectors import cache as store

    where = store.folder() if cache is True else Path(cache) if cache else None
    name = store.key(fingerprint, ids, starts, options)
    found = store.find(where, name) if where is not None else None
    if found is None:
        found = make()
        if where is not None:
            store.keep(where, name, found)
    return found


def _stored(
    vocabulary: Any, ids: np.ndarray, starts: np.ndarray, kind: str, seed: int, cache: Any, options: dict[str, Any]
) -> np.ndarray:
    """Dense vectors of the encoded text."""

    def make() -> np.ndarray:
        if kind in _MODELS:
            from vocab.vectors.fasttext import fasttext_vectors

            return fasttext_vectors(vocabulary, ids, starts, model=_MODELS[kind], **options)
        from vocab.vectors.counts import count_vectors

        return count_vectors(vocabulary, ids, starts, seed=seed, **options)

    cache = kind in _MODELS if cache is None else cache
    name = {"version": _VERSION, "kind": kind, "seed": seed, **options}
    return _kept(cache, vocabulary.fingerprint, ids, starts, name, make)
