"""Predict new rows from shared ones by kernel ridge regression over token evidence, with a variance for each (kriging).

Our own; simple kriging of geostatistics, the posterior mean of a Gaussian process: E_new = mean + K(new, shared)
(K(shared, shared) + noise)^-1 (E_shared - mean), with K half the sum of the cosines of counts and of characters (any
other vectors: their cosine). The variance 1 - k (K + noise)^-1 k is what the row's confidence comes from: evidence is
1 less it.

Needs: vectors, and the matrices, since weights over all shared tokens are kept as finished rows, the largest for
`explain`. Use it where a confidence for each row is wanted; in our measurements it equals the default chain in
retrieval.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import apart
from vocab.transplant.dense import dense_rows
from vocab.transplant.method import Method, Problem
from vocab.vectors import as_evidence

_BLOCK = 1024


class KrigingOptions(Options):
    """Options of kriging."""

    noise: float = Field(1.0, gt=0)
    """Added to the kernel's diagonal: how much a shared token's row is noise to its neighbours."""
    anchors: int = Field(6000, gt=0)
    """At most this many shared tokens, the most frequent in the text (or the first): memory grows with the square."""
    restore_norm: bool = True
    """Bring predictions to the copied rows' median norm."""


def rows(problem: Problem, options: KrigingOptions) -> Mixture:
    """Copy the overlap and predict the rows of tokens that have evidence.

    Raises:
        InputError: the problem carries no matrices.
    """
    from scipy.linalg import cho_factor, cho_solve

    problem.needed_matrices("kriging")
    evidence = as_evidence(problem.vectors, problem.target)
    copied, anchors, column, new = apart(problem, evidence.known)
    if len(anchors) > options.anchors:
        often = np.zeros(len(problem.target)) if evidence.frequency is None else evidence.frequency
        kept = np.sort(np.argsort(-often[anchors], kind="stable")[: options.anchors])
        anchors, column = anchors[kept], column[kept]
    if not len(anchors):
        problem.notes.append("kriging needs shared tokens that have a vector and found none: its rows fall back")
    if not len(anchors) or not len(new):
        return copied
    scale = 1.0 / ((evidence.dense is not None) + (evidence.sparse is not None))
    near = evidence.against(anchors)
    kernel = np.concatenate([near(anchors[i : i + _BLOCK]).copy() for i in range(0, len(anchors), _BLOCK)]) * scale
    kernel = kernel.astype(np.float64)
    kernel[np.diag_indices_from(kernel)] += options.noise
    factor = cho_factor(kernel, lower=True, overwrite_a=True)

    def weigh(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        like = near(rows).astype(np.float64) * scale
        share = cho_solve(factor, like.T).T
        return share, np.sum(share * like, axis=1)

    predicted = dense_rows(problem, "kriging", new, column, weigh, about_mean=True, rescale=options.restore_norm)
    return copied.then(predicted)


SPEC = Method(
    name="kriging",
    summary="Kernel ridge regression from shared tokens over the evidence, with a confidence for each row.",
    formula="`E_t = m + K(new, O) (K(O, O) + noise · I)⁻¹ (E_s[O] − m)`; confidence `1 − k (K + noise · I)⁻¹ k`",
    paper="Our own; Gaussian process regression, Rasmussen & Williams 2006, section 2.2",
    when="Where a confidence for each row is wanted.",
    when_not="Mixtures that must apply to other checkpoints: its rows belong to one.",
    options=KrigingOptions,
    rows=rows,
    needs=frozenset({"vectors"}),
    fallback=("subwords", "mean"),
    convex=False,
    evidence="1 less the posterior variance: 0 for what nothing shared is like, 1 for certainty",
)
