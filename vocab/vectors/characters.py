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
        shortest: characters in the shortest n-gram, 2 or more.
        longest: characters in the longest (the whole string counts too).

    Returns:
        CSR float32 (tokens, n-grams), rows of length 1; 0 for bytes, specials and gaps.
    """
    from scipy.sparse import csr_matrix

    tokens = np.flatnonzero(vocabulary.kind == Kind.PIECE)
    texts = [f"<{vocabulary.forms[token]}>" for token in tokens.tolist()]
    owner, column, width = _grams(texts, shortest, longest)
    whole = dict[str, int]()
    place = np.array([whole.setdefault(text, len(whole)) for text in texts], np.int64)
    longer = np.array([not shortest <= len(text) <= longest for text in texts], bool)
    ones = np.ones(len(owner) + int(longer.sum()), np.float32)
    owner, column = np.append(owner, np.flatnonzero(longer)), np.append(column, width + place[longer])
    matrix = csr_matrix((ones, (tokens[owner], column)), shape=(len(vocabulary), width + len(whole)))
    matrix.sum_duplicates()
    frequency = np.bincount(matrix.indices, minlength=matrix.shape[1])
    shared = frequency > 1
    weight = np.where(shared, np.log(max(len(tokens), 1) / np.maximum(frequency, 1)), 0)
    data = weight[matrix.indices]
    row = np.repeat(np.arange(len(vocabulary)), np.diff(matrix.indptr))
    norm = np.sqrt(np.bincount(row, data**2, minlength=len(vocabulary)))
    matrix.data = (data / np.where(norm[row] > 0, norm[row], 1)).astype(np.float32)
    matrix.eliminate_zeros()
    renumbered = (np.cumsum(shared) - 1)[matrix.indices].astype(np.int32)
    return csr_matrix((matrix.data, renumbered, matrix.indptr), shape=(len(vocabulary), int(shared.sum())))


def _grams(texts: list[str], shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Find the n-grams that stand more than once anywhere: nothing longer than one that does not needs a look.

    Returns:
        Text and column of each, int64, and how many columns there are.
    """
    lengths = np.array([len(text) for text in texts], np.int64)
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
    codes, letter = np.unique(letters, return_inverse=True)
    text = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(letters))  # characters from here to the text's end
    owners, columns, width = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    place, gram = np.arange(len(letters)), letter
    for size in range(2, longest + 1):
        fits = left[place] >= size
        place, gram = place[fits], gram[fits]
        found, gram = np.unique(gram * len(codes) + letter[place + size - 1], return_inverse=True)
        often = np.bincount(gram, minlength=1)[gram] > 1
        place, gram = place[often], gram[often]
        if size >= shortest:
            owners.append(text[place])
            columns.append(width + gram)
            width += len(found)
    return np.concatenate(owners), np.concatenate(columns), width
