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

from typing import Any

import numpy as np
from pydantic import Field

from vocab.device import Place, here
from vocab.matrix import blocks
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import apart
from vocab.transplant.dense import Weigh, dense_rows
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
    on = here()
    near = evidence.against(anchors, on)
    weigh = (_weigh if on is None else _weigh_on(on))(near, anchors, scale, options.noise)
    predicted = dense_rows(problem, "kriging", new, column, weigh, about_mean=True, rescale=options.restore_norm)
    return copied.then(predicted)


def _weigh(near: Any, anchors: np.ndarray, scale: float, noise: float) -> Weigh:
    """Prepare the weights of shared tokens in new rows.

    Args:
        near: ids -> similarities to the shared tokens (ids, m).
        anchors: the shared tokens' ids (m,).
        scale: what similarities are multiplied by, so that a token's own is 1.
        noise: added to the kernel's diagonal.

    Returns:
        What `dense_rows` takes.
    """
    from scipy.linalg import cho_factor, cho_solve

    kernel = np.concatenate([near(anchors[part]).copy() for part in blocks(len(anchors), _BLOCK)]) * scale
    kernel = kernel.astype(np.float64)
    kernel[np.diag_indices_from(kernel)] += noise
    factor = cho_factor(kernel, lower=True, overwrite_a=True)

    def weigh(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        like = near(rows).astype(np.float64) * scale
        share = cho_solve(factor, like.T).T
        return share, np.sum(share * like, axis=1)

    return weigh


def _weigh_on(on: Place) -> Any:
    """As `_weigh`, on a device."""
    import torch

    def prepare(near: Any, anchors: np.ndarray, scale: float, noise: float) -> Weigh:
        kernel = torch.empty((len(anchors), len(anchors)), dtype=torch.float64, device=on.device)
        for part in blocks(len(anchors), _BLOCK):
            kernel[part] = near(anchors[part]) * scale
        kernel.diagonal().add_(noise)
        factor = torch.linalg.cholesky(kernel)

        def weigh(rows: np.ndarray) -> tuple[Any, Any]:
            like = near(rows).double() * scale
            share = torch.cholesky_solve(like.T, factor).T
            return share, (share * like).sum(dim=1)

        return weigh

    return prepare


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
