"""Draw rows from a normal distribution with the mean and standard deviation of the old rows, dimension by dimension.

Paper: the fallback row of WECHSEL and FOCUS, and the usual baseline. Needs: the matrices. Use it as a floor that a
method must beat; never for quality.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from vocab.matrix import moments
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.drawn import drawn
from vocab.transplant.method import Method, Problem


class RandomOptions(Options):
    """Options of random."""

    ddof: Literal[0, 1] | None = None
    """1: the sample's standard deviation, as FOCUS takes it; 0: the population's, as WECHSEL, OFA and CLP do; nothing
    means as the method whose fallback it is, 1 alone."""


def rows(problem: Problem, options: RandomOptions) -> Mixture:
    """Draw every wanted row, specials without a counterpart too.

    Raises:
        InputError: the problem carries no matrices.
    """
    known = problem.source_rows()

    def shape(matrix: Any, normal: np.ndarray) -> np.ndarray:
        mean, deviation = moments(matrix, known, 1 if options.ddof is None else options.ddof)
        normal *= deviation  # in place: the draws of a whole vocabulary, in float64, are large
        normal += mean
        return normal

    return drawn(problem, "random", problem.todo(specials=True), shape)


SPEC = Method(
    name="random",
    summary="Rows drawn from N(mean, standard deviation) of the old rows.",
    formula="`E_t[t] ~ N(mean(E_s), std(E_s))`, dimension by dimension",
    paper="Minixhofer et al. 2022 (WECHSEL) and Dobler & de Melo 2023 (FOCUS), fallback rows",
    when="As the floor that other methods are compared with.",
    when_not="For quality: every other method starts better.",
    options=RandomOptions,
    rows=rows,
    convex=False,
    copies_overlap=False,
    evidence="0: nothing is known of the token",
)
