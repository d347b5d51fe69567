"""Mix the old tokens that parallel text links a new token to (trans-tokenization).

Paper: Remy, Delobelle, Avetisyan, Khabibullina, de Lhoneux & Demeester (2024), "Trans-Tokenization and Cross-lingual
Vocabulary Transfers: Language Adaptation of LLMs for Low-Resource NLP", section 3. Both sides of a parallel text are
cut by their tokenizers, tokens are joined to words, the words are aligned, and a link of two words is a link of their
tokens: half of its count links every token of one with every token of the other, half links tokens in like places. The
counts of a new token, divided by their sum, are its weights. A token that both vocabularies have gets one count more
for its own old row.

The authors align by fast_align; here its model is fitted in `vocab.transplant.translate`, and its expected counts are
taken. They drop word pairs seen fewer than 20 times in millions of lines; the default here is 1, for small texts. Their
code gives tokens without links the links of tokens that contain them or that they contain; here those fall back on old
pieces.

Needs: parallel text (`parallel=`: source and target file, line by line). Use it for a source and target language that
share few tokens; thousands of lines at least.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import overlap
from vocab.transplant.method import Method, Problem
from vocab.transplant.translate import align_words, read_parallel
from vocab.view import Kind, Vocabulary


class TransTokenizationOptions(Options):
    """Options of trans-tokenization."""

    min_count: float = Field(1.0, ge=0)
    """Word pairs with fewer expected links are not looked at."""
    tension: float = Field(4.0, ge=0)
    """How much the alignment prefers words in like places; 0: not at all (IBM Model 1)."""
    rounds: int = Field(7, gt=0)
    """Rounds of expectation-maximisation."""


def words_of(vocabulary: Vocabulary, lines: Sequence[str]) -> tuple[list[np.ndarray], list[tuple[int, ...]]]:
    """Cut lines into words of tokens: word-initial tokens begin one, and what has no letter stands alone.

    Args:
        vocabulary: whose tokens.
        lines: the text.

    Returns:
        Word ids of each line, and each word's tokens.
    """
    letters = np.array([any(unicodedata.category(c)[0] in "LMN" for c in form) for form in vocabulary.forms])
    ids: dict[tuple[int, ...], int] = {}
    sentences = []
    for tokens in vocabulary.encode(lines):
        tokens = tokens[vocabulary.kind[tokens] <= Kind.BYTE]
        begins = vocabulary.word_start[tokens] | ~letters[tokens]
        begins[1:] |= ~letters[tokens[:-1]] & (vocabulary.kind[tokens[:-1]] != Kind.BYTE)
        parts = np.split(tokens, np.flatnonzero(begins))
        words = [tuple(part.tolist()) for part in parts if len(part)]
        sentences.append(np.array([ids.setdefault(word, len(ids)) for word in words], np.int64))
    return sentences, list(ids)


def token_links(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int, float]]:
    """Links of the tokens of two words that translate each other.

    Args:
        old: tokens of the source word.
        new: tokens of the target word.

    Returns:
        (new token, old token, weight): of each new token half goes evenly to all old ones, half to those in its place.
    """
    links = []
    a, b = len(old), len(new)
    for j, one in enumerate(new):
        for i, two in enumerate(old):
            shared = min((i + 1) / a, (j + 1) / b) - max(i / a, j / b)
            links.append((one, two, 0.5 / a + 0.5 * max(shared, 0.0) * b))
    return links


def rows(problem: Problem, options: TransTokenizationOptions) -> Mixture:
    """Mix linked old tokens for the tokens that the parallel text shows."""
    from scipy.sparse import coo_matrix, diags

    source, target = problem.source, problem.target
    pairs = read_parallel(problem.extra["parallel"])
    old, old_words = words_of(source, [a for a, _ in pairs])
    new, new_words = words_of(target, [b for _, b in pairs])
    left, right, counts = align_words(old, new, rounds=options.rounds, tension=options.tension)
    entries = [
        (one, two, weight * count)
        for a, b, count in zip(left.tolist(), right.tolist(), counts.tolist(), strict=True)
        if count >= options.min_count
        for one, two, weight in token_links(old_words[a], new_words[b])
    ]
    same = zip(*(part.tolist() for part in overlap(source, target)), strict=True)
    entries += [(one, two, 1.0) for one, two in same]
    wanted = np.zeros(len(target), bool)
    wanted[problem.todo()] = True
    row, column, data = (np.array(part) for part in zip(*entries, strict=True)) if entries else (np.zeros(0, int),) * 3
    keep = wanted[row] if len(row) else np.zeros(0, bool)
    total = coo_matrix((data[keep].astype(float), (row[keep], column[keep])), shape=(len(target), len(source))).tocsr()
    seen = np.asarray(total.sum(axis=1)).ravel()
    made = np.flatnonzero(seen > 0)
    weights = (diags(1 / seen[made]) @ total[made]).tocsr()
    weights.sort_indices()
    return Mixture.build(source, target, "trans-tokenization", made, weights, evidence=np.log1p(seen[made]))


SPEC = Method(
    name="trans-tokenization",
    summary="The old tokens that word-aligned parallel text links a new token to, by how often.",
    formula="`E_t = normalise(C) E_s`, `C[t, s]`: how often parallel text links `t` with `s`",
    paper="Remy et al. 2024, section 3",
    when="Thousands of lines of parallel text, and few shared tokens.",
    when_not="Without parallel text; for tokens that it does not show.",
    options=TransTokenizationOptions,
    rows=rows,
    needs=frozenset({"parallel"}),
    fallback=("subwords", "mean"),
    copies_overlap=False,
    evidence="log(1 + links counted)",
)
