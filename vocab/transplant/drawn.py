"""Rows that are drawn: one draw for every wanted row of every matrix, seeded, kept as finished rows of a mixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vocab.matrix import fingerprint
from vocab.mixture import Mixture
from vocab.transplant.method import Problem

Shape = Callable[[Any, np.ndarray], np.ndarray]


def drawn(problem: Problem, method: str, wanted: np.ndarray, shape: Shape) -> Mixture:
    """Draw rows for the wanted tokens, from a generator of its own for each matrix.

    Args:
        problem: what to transplant; its matrices say what rows look like.
        method: name that the rows carry.
        wanted: (n,) target ids, ascending.
        shape: `(matrix, standard normal (n, dim)) -> (n, dim)`: gives the draw its mean and spread, if it likes
            in place.

    Returns:
        A mixture of finished rows without evidence.

    Raises:
        InputError: the problem carries no matrices.
    """
    explicit = {}
    for place, role in enumerate(sorted(problem.needed_matrices(method))):
        matrix = problem.matrices[role]
        normal = np.random.default_rng([problem.seed, place]).standard_normal((len(wanted), int(matrix.shape[1])))
        explicit[fingerprint(matrix, len(problem.source))] = shape(matrix, normal).astype(np.float32)
    return Mixture.build(
        problem.source, problem.target, method, wanted, evidence=np.zeros(len(wanted)), explicit=explicit
    )
