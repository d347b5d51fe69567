"""Draw rows from a normal distribution with the mean and standard deviation of the old rows, dimension by dimension.

Paper: the fallback row of WECHSEL and FOCUS, and the usual baseline. Needs: the matrices. Use it as a floor that a
method must beat; never for quality.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lexigraft import InputError
from vocab.matrix import fingerprint, moments
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.method import Method, Problem


class RandomOptions(Options):
    """Options of random."""

    ddof: Literal[0, 1] = 1
    """1: the sample's standard deviation, as FOCUS takes it; 0: the population's, as WECHSEL does."""


def rows(problem: Problem, options: RandomOptions) -> Mixture:
    """Draw every wanted row, specials without a counterpart too.

    Raises:
        InputError: the problem carries no matrices.
    """
    if not problem.matrices:
        raise InputError("random rows need the source model's matrices", found="none", expected="a source model")
    wanted, known = problem.todo(specials=True), problem.source_rows()
    explicit = {}
    for place, role in enumerate(sorted(problem.matrices)):
        matrix = problem.matrices[role]
        mean, deviation = moments(matrix, known, options.ddof)
        draw = np.random.default_rng([problem.seed, place]).standard_normal((len(wanted), len(mean)))
        explicit[fingerprint(matrix, len(problem.source))] = (mean + draw * deviation).astype(np.float32)
    return Mixture.build(
        problem.source, problem.target, "random", wanted, evidence=np.zeros(len(wanted)), explicit=explicit
    )


SPEC = Method(
    name="random",
    summary="Rows drawn from N(mean, standard deviation) of the old rows.",
    paper="Minixhofer et al. 2022 (WECHSEL) and Dobler & de Melo 2023 (FOCUS), fallback rows",
    when="As the floor that other methods are compared with.",
    when_not="For quality: every other method starts better.",
    options=RandomOptions,
    rows=rows,
    convex=False,
    copies_overlap=False,
)
