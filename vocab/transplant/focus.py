"""Mix the rows of shared tokens that new tokens resemble (FOCUS).

Paper: Dobler & de Melo (2023), "FOCUS: Effective Embedding Initialization for Monolingual Specialization of
Multilingual Models", section 3. The overlap is copied; a new token's weights are the sparsemax of its cosines to every
overlapping token that has a vector; no temperature, no k. Tokens without a vector take the fallback. As published the
vectors are fastText's (`vocab.token_vectors(..., kind="fasttext")`), the fallback is random.

With fastText vectors it did not beat `subwords` for two of three languages in our measurements without training (Hausa
and Yoruba); with counts and characters, the norm restored, it did in all three. That is the default chain's evidence.

Extension mode (the vocabulary keeps the old tokens and gains some): the same call, with vectors made by a
tokenizer of the language alone, `vocab.token_vectors(extended, texts, "fasttext", via=language_tokenizer)`. All old
tokens are copied; those that the language's tokenizer lacks have no vector and are not mixed into the new rows.

Needs: vectors, or text to make them from. Use it wherever some text and some shared tokens exist; without overlap it
has nothing to mix, says so, and leaves every row to the fallback.
"""

from __future__ import annotations

import numpy as np

from vocab.device import back, here
from vocab.matrix import blocks
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import Match, copy_overlap, overlap
from vocab.transplant.method import Method, Problem
from vocab.transplant.sparsemax import sparsemax
from vocab.vectors.evidence import Evidence

_CELLS = 1_200_000  # similarities made at once: few, so that they stay near the processor
_BYTES = 12  # that one takes with torch: itself, and what sparsemax compares


class FocusOptions(Options):
    """Options of focus."""

    match: Match = "exact"
    """Which tokens count as shared; see `copy`."""
    restore_norm: bool | None = None
    """Bring the mixtures, which are shorter than what they mix, to the copied rows' median norm; nothing means yes in
    the default chain and no where the published method is asked for."""


def rows(problem: Problem, options: FocusOptions) -> Mixture:
    """Copy the overlap and mix it for new tokens that have a vector."""
    from scipy.sparse import csr_matrix

    source, target = problem.source, problem.target
    evidence = Evidence.of(problem.vectors, len(target))
    shared, old = overlap(source, target, options.match)
    copied = copy_overlap(problem, pairs=(shared, old))
    known = evidence.known
    # All shared tokens serve, those too whose rows an earlier link of the chain has filled.
    anchors, column = shared[known[shared]], old[known[shared]]
    order = np.argsort(column, kind="stable")  # so that each row's indices come out nearly sorted
    order = order[evidence.seen_first(anchors[order])]
    anchors, column = anchors[order], column[order]
    fresh = known.copy()
    fresh[shared] = False
    todo = problem.todo()
    new = todo[fresh[todo]]
    if not len(anchors):
        problem.notes.append("focus needs shared tokens that have a vector and found none: its rows fall back")
        return copied
    on = here()
    similarity = evidence.against(anchors, on)
    order = evidence.seen_first(new)

    def mix(part: slice) -> tuple[np.ndarray, ...]:
        scores = similarity(new[order[part]])
        indptr, found, weight = sparsemax(scores)
        # The best score of a row is its largest weight and the threshold, which any score less its weight is.
        first = indptr[:-1]
        threshold = back(scores[np.arange(len(scores)), found[first]]) - weight[first]
        return np.diff(indptr), column[found], weight, np.maximum.reduceat(weight, first) + threshold

    if on is None:
        made = [mix(part) for part in blocks(len(new), max(_CELLS // len(anchors), 64))]
    else:
        made = on.in_blocks(len(new), _BYTES * len(anchors), mix)
    joined = [np.concatenate(part) for part in zip(*made, strict=True)] if made else [np.zeros(0)] * 4
    weights = csr_matrix(
        (
            joined[2].astype(np.float32, copy=False),
            joined[1].astype(np.int64, copy=False),
            np.concatenate([[0], np.cumsum(joined[0])]),
        ),
        shape=(len(new), len(source)),
    )
    weights.sum_duplicates()
    place = np.argsort(order)
    mixed = Mixture.build(
        source, target, "focus", new, weights[place], rescale=bool(options.restore_norm), evidence=joined[3][place]
    )
    return copied.then(mixed)


SPEC = Method(
    name="focus",
    summary="Shared tokens are copied; new ones are sparse mixtures of the shared tokens they resemble.",
    formula="`E_t[t] = Σ_o w_o E_s[o]`, `w = sparsemax(cos(f(t), f(o)))` over all `o` in `O`",
    paper="Dobler & de Melo 2023, section 3",
    when="Some text in the language and some tokens shared with the source.",
    when_not="No shared tokens (another script with nothing in common): use subwords.",
    options=FocusOptions,
    rows=rows,
    needs=frozenset({"vectors"}),
    fallback=("random",),
    evidence="the largest similarity to a shared token",
)
