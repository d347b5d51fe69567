"""Characters: how alike two tokens are spelled. Our own evidence; no text is needed.

Binary 2- to 5-grams of `<token>`, the word-initial mark kept and the whole string included; n-grams that only one token
has are dropped; the rest weigh log(V / df), and rows are brought to length 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def character_vectors(vocabulary: Vocabulary, shortest: int = 2, longest: int = 5) -> csr_matrix:
    """Make sparse vectors of the tokens' spelling.

    Args:
        vocabulary: the tokens.
        shortest: characters in the shortest n-gram.
        longest: characters in the longest (the whole string counts too).

    Returns:
        CSR float32 (tokens, n-grams), rows of length 1; 0 for bytes, specials and gaps.
    """
    from scipy.sparse import csr_matrix

    column: dict[str, int] = {}
    indices: list[int] = []
    lengths = np.zeros(len(vocabulary) + 1, np.int64)
    for token in np.flatnonzero(vocabulary.kind == Kind.PIECE).tolist():
        text = f"<{vocabulary.forms[token]}>"
        grams = {text[i : i + n] for n in range(shortest, longest + 1) for i in range(len(text) - n + 1)} | {text}
        row = sorted(column.setdefault(gram, len(column)) for gram in sorted(grams))
        indices += row
        lengths[token + 1] = len(row)
    found = np.array(indices, np.int64)
    frequency = np.bincount(found, minlength=len(column))
    shared = frequency > 1
    new_column = np.cumsum(shared) - 1
    weight = np.log(max(int(np.sum(vocabulary.kind == Kind.PIECE)), 1) / np.maximum(frequency, 1))
    keep = shared[found]
    owner = np.repeat(np.arange(len(vocabulary)), lengths[1:])[keep]
    data = weight[found[keep]]
    norm = np.sqrt(np.bincount(owner, data**2, minlength=len(vocabulary)))
    data = data / np.where(norm[owner] > 0, norm[owner], 1)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(vocabulary)))])
    matrix = csr_matrix(
        (data.astype(np.float32), new_column[found[keep]].astype(np.int32), indptr),
        shape=(len(vocabulary), int(shared.sum())),
    )
    matrix.eliminate_zeros()
    return matrix
