"""Methods whose weights run over all shared tokens: they are made block by block, and only the rows are kept.

The rows are explicit rows of the mixture, each matrix's own; the largest weights stay beside them, for `explain`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vocab.matrix import fingerprint, take
from vocab.mixture import Mixture
from vocab.transplant.method import Problem

_SHOWN = 20
_BLOCK = 1024

Weigh = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


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
        weigh: target ids -> weights float64 (ids, m), evidence (ids,).
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
    made: dict[str, list[np.ndarray]] = {role: [np.zeros((0, rows.shape[1]))] for role, rows in old.items()}
    sure, indices, data = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0)]
    size = min(_SHOWN, len(column))
    for start in range(0, len(new), _BLOCK):
        share, evidence = weigh(new[start : start + _BLOCK])
        top = np.sort(np.argsort(-np.abs(share), axis=1, kind="stable")[:, :size], axis=1)
        indices.append(column[top].ravel())
        data.append(np.take_along_axis(share, top, axis=1).ravel())
        sure.append(evidence)
        for role, rows in old.items():
            made[role].append(means[role] + share @ (rows - means[role]))
    weights = csr_matrix(
        (np.concatenate(data).astype(np.float32), np.concatenate(indices), size * np.arange(len(new) + 1)),
        shape=(len(new), len(problem.source)),
    )
    weights.sum_duplicates()
    explicit = {fingerprint(matrices[role], len(problem.source)): np.concatenate(rows) for role, rows in made.items()}
    return Mixture.build(
        problem.source, problem.target, method, new, weights,
        rescale=rescale, evidence=np.concatenate(sure), explicit=explicit,
    )  # fmt: skip
