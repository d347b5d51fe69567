"""Token vectors of both vocabularies brought into one space, for methods that compare across them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lexigraft import InputError
from vocab.transplant.dictionary import pairs_of
from vocab.transplant.method import Problem
from vocab.vectors import as_evidence
from vocab.vectors.align import Find, rotation
from vocab.vectors.evidence import Evidence
from vocab.view import SPACE, Kind, Vocabulary


def in_one_space(problem: Problem, identical: bool = False) -> tuple[Evidence, Evidence]:
    """Take the vectors of target and source tokens, the source's turned into the target's space where they are not.

    With a dictionary the rotation is found over its pairs: of words, where both sides' vectors came from files of word
    vectors, else of words that are one token on each side.

    Args:
        problem: its vectors, source vectors and dictionary.
        identical: use strings that both sides spell alike, where there is no dictionary.

    Returns:
        Evidence of target tokens and of source tokens, dense, of the same dimensions; none of source specials.

    Raises:
        InputError: the vectors are not dense or differ in dimensions, or no pair has vectors.
    """
    new, old = as_evidence(problem.vectors, problem.target), as_evidence(problem.source_vectors, problem.source)
    plain = problem.source.kind <= Kind.BYTE
    if old.dense is not None and old.dense[~plain].any():  # given for specials or gaps, too
        old = replace(old, dense=np.where(plain[:, None], old.dense, 0))
    if new.dense is None or old.dense is None or new.dense.shape[1] != old.dense.shape[1]:
        raise InputError(
            "vectors of source and target tokens must lie in one space",
            found=f"{new.shape[1]} and {old.shape[1]} dimensions",
            expected="dense vectors of the same number of dimensions",
        )
    dictionary = problem.extra.get("dictionary")
    if dictionary is None and not identical:
        return new, old
    if new.words is not None and old.words is not None:
        strings = list(old.words.vectors.index)
        find_old: Find = old.words.vectors.vector
        find_new: Find = new.words.vectors.vector
    else:
        strings = [form[1:] for form in problem.source.ids if form[:1] == SPACE]
        find_old, find_new = _finder(old.dense, problem.source), _finder(new.dense, problem.target)
    if dictionary is None:
        turn, used = rotation(((w, w) for w in strings if w), find_old, find_new, casings=False)
    else:
        turn, used = rotation(pairs_of(dictionary), find_old, find_new)
    kind = "identical strings" if dictionary is None else "dictionary pairs"
    problem.notes.append(f"vectors aligned by {used} {kind}")
    return new, replace(old, dense=(old.dense @ turn).astype(np.float32))


def _finder(vectors: np.ndarray, vocabulary: Vocabulary) -> Find:
    """Word -> vector of the token that is the word, or None."""

    def find(word: str) -> np.ndarray | None:
        token = vocabulary.ids.get(SPACE + word)
        return None if token is None or not vectors[token].any() else vectors[token]

    return find
