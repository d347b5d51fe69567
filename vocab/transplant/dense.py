"""Methods whose weights run over all shared tokens: they are made block by block, and only the rows are kept.

The rows are explicit rows of the mixture, each matrix's own; the largest weights stay beside them, for `explain`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vocab.device import back, here, largest_columns
from vocab.matrix import blocks, fingerprint, take
from vocab.mixture import Mixture
from vocab.transplant.method import Problem

_SHOWN = 20
_BLOCK = 1024
_BYTES = 48  # that a weight takes with torch: what it is made of, itself, and what is compared

Weigh = Callable[[np.ndarray], tuple[Any, Any]]


def dense_rows(
    problem: Problem,
    method: str,
    new: np.ndarray,
    column: np.ndarray,
    weigh: Weigh,
    *,
    about_mean: bool = False,
    rescale: bool = False,
) -> Mixture:
    """Mix the rows of shared tokens by dense weights.

    Args:
        problem: what to transplant; its matrices give the rows.
        method: name that the rows carry.
        new: (n,) target ids to fill, ascending.
        column: (m,) source ids of the shared tokens.
        weigh: target ids -> weights float64 (ids, m), evidence (ids,); tensors on what is computed on, where that is a
            device.
        about_mean: the weights are on the differences from the shared tokens' mean.
        rescale: bring the rows to the copied rows' median norm when applied.

    Returns:
        A mixture of explicit rows.

    Raises:
        InputError: the problem carries no matrices.
    """
    from scipy.sparse import csr_matrix

    matrices = problem.needed_matrices(method)
    old = {role: take(matrix, column).astype(np.float64) for role, matrix in matrices.items()}
    means = {role: rows.mean(axis=0) if about_mean else np.zeros(rows.shape[1]) for role, rows in old.items()}
    on, size = here(), min(_SHOWN, len(column))
    about = {role: rows - means[role] if on is None else on.put(rows - means[role]) for role, rows in old.items()}

    def mix(part: slice) -> tuple[np.ndarray, ...]:
        share, evidence = weigh(new[part])
        if on is None:
            top = np.argsort(-np.abs(share), axis=1, kind="stable")[:, :size]
        else:
            top = back(largest_columns(share.abs(), size))
        top = np.sort(top, axis=1)
        largest = back(share[np.arange(len(top))[:, None], top])
        made = (means[role] + back(share @ rows) for role, rows in about.items())
        return column[top].ravel(), largest.ravel(), back(evidence), *made

    if on is None:
        parts = [mix(part) for part in blocks(len(new), _BLOCK)]
    else:
        parts = on.in_blocks(len(new), _BYTES * len(column), mix)
    none = [np.zeros((0, rows.shape[1])) for rows in old.values()]
    nothing = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0), *none)
    indices, data, sure, *made = (np.concatenate(part) for part in zip(nothing, *parts, strict=True))
    weights = csr_matrix(
        (data.astype(np.float32), indices, size * np.arange(len(new) + 1)),
        shape=(len(new), len(problem.source)),
    )
    weights.sum_duplicates()
    sums = (fingerprint(matrices[role], len(problem.source)) for role in old)
    return Mixture.build(
        problem.source, problem.target, method, new, weights,
        rescale=rescale, evidence=sure, explicit=dict(zip(sums, made, strict=True)),
    )  # fmt: skip
