"""Average what the old tokenizer writes in the places where the text shows a new token.

Paper: Yamaguchi, Villavicencio & Aletras (2024), "How can we effectively expand the vocabulary of LLMs with 0.01GB of
target language text?", "Align". The text is cut by both tokenizers; the old pieces that lie under a new token form a
sequence; the row is the mean of the sequences' means, weighted by how often each was seen.

Needs: text. Unlike `subwords` it sees pieces in their place, so a token that the old tokenizer cuts differently from
word to word is described as it is used. Use it where there is text; rare tokens take the fallback.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.tokenizer.texts import Lines
from vocab.transplant.copy_ import copy_overlap
from vocab.transplant.method import Method, Problem
from vocab.view import Kind


class AlignOptions(Options):
    """Options of align: none."""


def rows(problem: Problem, options: AlignOptions) -> Mixture:
    """Copy the overlap and average aligned sequences for tokens that the text shows."""
    from scipy.sparse import coo_matrix, diags

    source, target = problem.source, problem.target
    copied = copy_overlap(problem)
    wanted = np.zeros(len(target), bool)
    wanted[problem.todo()] = True
    wanted &= ~copied.filled
    text = problem.extra["texts"]
    lines = iter(text if isinstance(text, Lines) else Lines(text))
    total = coo_matrix((len(target), len(source)), dtype=np.float64).tocsr()
    seen = np.zeros(len(target))
    usable = source.kind <= Kind.BYTE
    while batch := list(islice(lines, 4096)):
        parts = [
            _under(np.array(n.ids), np.array(n.offsets), np.array(o.ids), np.array(o.offsets), wanted, usable)
            for n, o in zip(target.encodings(batch), source.encodings(batch), strict=True)
            if n.ids and o.ids
        ]
        if not parts:
            continue
        row, column, weight = (np.concatenate([part[i] for part in parts]) for i in range(3))
        total = total + coo_matrix((weight, (row, column)), shape=total.shape).tocsr()
        seen += np.bincount(row, weight, minlength=len(target))
    made = np.flatnonzero(seen > 0)
    weights = (diags(1 / seen[made]) @ total[made]).tocsr()
    return copied.then(Mixture.build(source, target, "align", made, weights, evidence=np.log1p(seen[made])))


def _under(
    new: np.ndarray, new_at: np.ndarray, old: np.ndarray, old_at: np.ndarray, wanted: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Old pieces under each new token of a line: new id, old id, share of the sequence."""
    keep = usable[old] & (old_at[:, 0] < old_at[:, 1])
    old, old_at = old[keep], old_at[keep]
    use = wanted[new] & (new_at[:, 0] < new_at[:, 1])
    new, new_at = new[use], new_at[use]
    first = np.searchsorted(old_at[:, 1], new_at[:, 0], "right")
    last = np.searchsorted(old_at[:, 0], new_at[:, 1], "left")
    lengths = np.maximum(last - first, 0)
    row = np.repeat(new, lengths)
    start = np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
    return row, old[np.arange(len(row)) + start], np.repeat(1 / np.maximum(lengths, 1), lengths)


SPEC = Method(
    name="align",
    summary="The mean of the old pieces that lie under a new token in running text.",
    formula="`E_t[t] = Σ_s freq(s) · mean(E_s[s]) / Σ_s freq(s)` over the old-id sequences `s` that "
    "cover `t` in the text",
    paper="Yamaguchi et al. 2024, Align",
    when="There is text, and old and new pieces do not nest.",
    when_not="Without text, or where most tokens are rare.",
    options=AlignOptions,
    rows=rows,
    needs=frozenset({"texts"}),
    fallback=("mean",),
    evidence="log(1 + times seen)",
)
