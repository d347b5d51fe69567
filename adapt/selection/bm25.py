"""Lines that are like the texts of the tasks: each line's best match among them by BM25.

BM25: Robertson & Zaragoza 2009. Pretraining on what BM25 finds for the texts of a task: Yao et al. 2022
(TLM), where each of them finds as many documents; here a line counts by its best match, so that a share of
the text can be kept. Words that more than a tenth of the lines have are no evidence and left out.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from adapt.selection.criterion import Criterion, Evidence, Judge
from corpora.text import words
from vocab.options import Options

_COMMON = 0.1


class Bm25Options(Options):
    """Options of BM25."""

    k1: float = Field(1.2, ge=0)
    """How soon a word that is said again stops to count."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long lines are held back."""


def prepare(evidence: Evidence, options: Bm25Options) -> Judge:
    """Make the ranking: count in how many lines of the text each word of the tasks' texts is."""
    queries = [set(words(text)) for text in evidence.like]
    wanted = set().union(*queries)
    found: Counter[str] = Counter()
    lines = length = 0
    for portion in evidence.portions():
        for line in portion:
            parts = words(line)
            found.update(wanted.intersection(parts))
            lines, length = lines + 1, length + len(parts)
    telling = sorted(word for word, count in found.items() if count <= max(1, _COMMON * lines))
    terms = {word: column for column, word in enumerate(telling)}
    df = np.array([found[word] for word in terms])
    idf = np.log1p((lines - df + 0.5) / (df + 0.5))
    mean = length / max(1, lines)
    matches = _matrix([Counter(query) for query in queries], terms).T.tocsr()

    def judge(portion: list[str]) -> np.ndarray:
        parts = [words(line) for line in portion]
        counts = _matrix([Counter(p) for p in parts], terms)
        sizes = np.repeat([len(p) for p in parts], np.diff(counts.indptr))
        pull = options.k1 * (1 - options.b + options.b * sizes / mean)
        counts.data = idf[counts.indices] * counts.data * (options.k1 + 1) / (counts.data + pull)
        best = (counts @ matches).max(axis=1) if terms and queries else csr_matrix((len(portion), 1))
        return best.toarray()[:, 0].astype(np.float32)

    return judge


def _matrix(bags: list[Counter[str]], terms: dict[str, int]) -> csr_matrix:
    """How often each bag has each term, (bags, terms)."""
    known = [[(terms[word], count) for word, count in bag.items() if word in terms] for bag in bags]
    starts = np.cumsum([0, *map(len, known)])
    cells = np.array([cell for row in known for cell in row], dtype=np.int64).reshape(-1, 2)
    return csr_matrix((cells[:, 1].astype(np.float64), cells[:, 0], starts), shape=(len(bags), len(terms)))


SPEC = Criterion(
    name="bm25",
    summary="Keeps the lines that are most like the texts of the tasks (or others that are given)",
    paper="Robertson & Zaragoza 2009; Yao et al. 2022, TLM",
    options=Bm25Options,
    kind="ranking",
    needs="like",
    prepare=prepare,
)
