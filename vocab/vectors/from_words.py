"""Word vectors turned to token vectors, as WECHSEL and OFA do it.

`subwords` (WECHSEL; a fastText model with n-grams): the mean of the n-gram rows of the token's surface. `words`
(WECHSEL without n-grams): the mean of the vectors of the words whose cut, written alone or after a space, contains the
token, weighted by the words' frequency; a word that contains it in both spellings counts twice. `plain` (OFA): the
same with the capitalised word as a third spelling, and every word alike.

By `subwords` every string gets a vector, also one whose n-grams the text never showed: their rows were drawn and never
trained. For a multilingual source vocabulary, most of which no text of one language shows, `words` is the safer rule.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.texts import Lines
from vocab.vectors.evidence import unit
from vocab.vectors.words import WordVectors
from vocab.view import Kind, Vocabulary

RULES = ("subwords", "words", "plain")
_BATCH = 50_000


def word_counts(words: WordVectors, texts: Any) -> np.ndarray:
    """How often a text shows each word, between spaces: int64 (words,)."""
    counts = np.zeros(len(words.words), np.int64)
    for word, count in Counter(word for line in Lines(texts) for word in line.split()).items():
        place = words.index.get(word)
        if place is not None:
            counts[place] = count
    return counts


def from_words(
    words: WordVectors, vocabulary: Vocabulary, rule: str | None = None, frequency: np.ndarray | None = None
) -> np.ndarray:
    """Make token vectors.

    Args:
        words: the word vectors.
        vocabulary: the tokens.
        rule: subwords, words or plain; nothing means subwords where there are n-grams and words elsewhere.
        frequency: weights of the words, (words,), for the rule `words`; nothing means the file's own, or all alike.

    Returns:
        float32 (tokens, dim), rows of length 1; 0 for specials and where no word has the token.

    Raises:
        InputError: unknown rule, or `subwords` without n-grams.
    """
    rule = rule or ("subwords" if words.has_subwords else "words")
    if rule not in RULES or (rule == "subwords" and not words.has_subwords):
        raise InputError(
            f"token vectors cannot be made by {rule!r}", expected="words or plain, or a fastText .bin with n-grams"
        )
    usable = vocabulary.kind == Kind.PIECE
    if rule == "subwords":
        result = np.zeros((len(vocabulary), words.dim), np.float64)
        for token in np.flatnonzero(usable).tolist():
            result[token] = words.made_of(vocabulary.text[token].decode("utf-8", "replace").strip())
        return unit(result)
    spellings = [words.words, [f" {word}" for word in words.words]]
    weight = np.ones(len(words.words))
    if rule == "plain":
        spellings.append([f" {word[:1].upper()}{word[1:]}" for word in words.words])
    elif frequency is not None or words.frequency is not None:
        weight = np.asarray(words.frequency if frequency is None else frequency, np.float64)
    found = sum(_contains(vocabulary, spelling) for spelling in spellings)
    weighted = found.multiply(weight).tocsr()
    total = np.asarray(weighted.sum(axis=1)).ravel()
    made = np.asarray(weighted @ words.rows()) / np.where(total > 0, total, 1)[:, None]
    made[~usable] = 0
    return unit(made)


def _contains(vocabulary: Vocabulary, spellings: list[str]) -> Any:
    """CSR (tokens, words): 1 where the cut of a word's spelling contains the token."""
    from scipy.sparse import csr_matrix

    rows, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(spellings), _BATCH):
        cut = [np.unique(ids) for ids in vocabulary.encode(spellings[start : start + _BATCH])]
        rows += cut
        columns.append(np.repeat(np.arange(start, start + len(cut)), [len(ids) for ids in cut]))
    row, column = np.concatenate(rows), np.concatenate(columns)
    return csr_matrix((np.ones(len(row)), (row, column)), shape=(len(vocabulary), len(spellings)))
