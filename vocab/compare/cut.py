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
    plain = np.flatnonzero(~text.sample_odd)
    checked = plain[:: -(-len(plain) // _CHECKED) or 1]
    found = cut_words(view, text.lexicon, [text.sample[place] for place in checked.tolist()])
    return found.words, _count(found, text), _sample(found, text)


def _sample(found: Cut, text: Text) -> Pieces:
    if found.mark is None:
        return Pieces.of(found.view, text.sample)
    odd = np.flatnonzero(text.sample_odd)
    place = np.arange(len(text.sample))
    place[odd] = len(text.sample) + np.arange(len(odd))
    lines = found.lines(text.sample_words, text.sample_counts)
    return (lines + Pieces.of(found.view, [text.sample[n] for n in odd.tolist()])).take(place)


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
    total = text.odd_counts @ Pieces.of(view, text.odd).matrix(width)
    if not found.mark:
        return (text.inside + text.first) @ found.words.matrix(width) + total
    begins = np.flatnonzero(np.asarray(text.first.sum(axis=0)).ravel())
    return text.inside @ found.words.matrix(width) + text.first[:, begins] @ found.begin(begins).matrix(width) + total
