"""Count the tokens of a counted text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vocab.compare.text import Text
from vocab.tokenizer.cut import Cut, cut_words
from vocab.tokenizer.pieces import Pieces
from vocab.view import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CELLS = 4_000_000  # counted at a time
_CHECKED = 500  # plain lines on which it is checked that words are cut alike alone


def cut(view: Vocabulary, text: Text) -> tuple[Pieces, csr_matrix, Pieces]:
    """Cut a counted text.

    Args:
        view: the tokenizer.
        text: the counted text.

    Returns:
        Its words behind a space; how often each token occurs in each block, CSR float64 (blocks, ids of the
        vocabulary); and its sampled lines.
    """
    plain = np.flatnonzero(text.sample_plain)
    checked = plain[:: -(-len(plain) // _CHECKED) or 1]
    found = cut_words(view, text.lexicon, [text.sample[place] for place in checked.tolist()])
    return found.words, _count(found, text), _sample(found, text)


def _sample(found: Cut, text: Text) -> Pieces:
    if found.mark is None:
        return Pieces.of(found.view, text.sample)
    return found.lines(text.sample_items, text.sample_counts)


def _count(found: Cut, text: Text) -> csr_matrix:
    from scipy.sparse import csr_matrix

    view, width = found.view, len(found.view)
    if found.mark is None:
        total = csr_matrix((text.blocks, width))
        for blocks, lines in text.again():
            pieces = Pieces.of(view, lines)
            keys = np.repeat(blocks, pieces.lengths)
            total = total + csr_matrix((np.ones(len(pieces.ids)), (keys, pieces.ids)), shape=total.shape)
        return total
    total = text.spans @ found.spans.matrix(width)
    if not found.mark:
        return _weighed(text.plain, found.words, width) + total
    begins = np.flatnonzero(np.asarray(text.first.sum(axis=0)).ravel())
    first = _weighed(text.first[:, begins], found.begin(begins), width)
    return _weighed(text.inside, found.words, width) + first + total


def _weighed(cells: csr_matrix, words: Pieces, width: int) -> csr_matrix:
    """Count the tokens of words that stand so often in each block; as `cells @ words.matrix(width)`, but faster.

    Args:
        cells: (blocks, words).
        words: their tokens.
        width: ids of the vocabulary.

    Returns:
        CSR float64 (blocks, width).
    """
    from scipy.sparse import csr_matrix, vstack

    used = np.flatnonzero(np.bincount(words.ids, minlength=width))
    column = np.zeros(width, dtype=np.int64)
    column[used] = np.arange(len(used))
    step = max(1, _CELLS // max(1, len(used)))
    parts = []
    for start in range(0, cells.shape[0], step):
        part = cells[start : start + step]
        tokens = words.take(part.indices)
        rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        lengths = words.lengths[part.indices]
        keys = np.repeat(rows * len(used), lengths) + column[tokens.ids]
        filled = np.bincount(keys, weights=np.repeat(part.data, lengths), minlength=part.shape[0] * len(used))
        where = np.flatnonzero(filled)
        row, place = np.divmod(where, max(1, len(used)))
        edges = np.searchsorted(row, np.arange(part.shape[0] + 1))
        parts.append(csr_matrix((filled[where], used[place], edges), shape=(part.shape[0], width)))
    return vstack(parts, format="csr")
