"""Draw rows from a narrow normal distribution with the old rows' full covariance.

Paper: Hewitt (2021); Mundra et al. (2024): N(mu, 1e-5 * Sigma). New rows lie near the mean and differ a little.
Needs: the matrices. Use it instead of `mean` where new tokens must not be equal, or as a floor; for quality take a
method that knows something of the tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from vocab.matrix import parts, take
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.drawn import drawn
from vocab.transplant.method import Method, Problem


class MultivariateOptions(Options):
    """Options of multivariate."""

    scale: float = Field(1e-5, gt=0)
    """Factor on the covariance."""


def covariance(matrix: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dim,) and covariance (dim, dim) of some rows, in float64, with ddof 1."""
    dim = int(matrix.shape[1])
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for part in parts(matrix, len(rows)):
        chunk = take(matrix, rows[part]).astype(np.float64)
        total += chunk.sum(axis=0)
        products += chunk.T @ chunk
    mean = total / len(rows)
    return mean, (products - len(rows) * np.outer(mean, mean)) / max(len(rows) - 1, 1)


def rows(problem: Problem, options: MultivariateOptions) -> Mixture:
    """Draw every wanted row, specials without a counterpart too.

    Raises:
        InputError: the problem carries no matrices.
    """
    known = problem.source_rows()

    def shape(matrix: Any, normal: np.ndarray) -> np.ndarray:
        mean, spread = covariance(matrix, known)
        values, vectors = np.linalg.eigh(spread)
        found: np.ndarray = normal @ (vectors * np.sqrt(np.maximum(values, 0) * options.scale)).T
        found += mean
        return found

    return drawn(problem, "multivariate", problem.todo(specials=True), shape)


SPEC = Method(
    name="multivariate",
    summary="Rows drawn from N(mean, 1e-5 covariance) of the old rows.",
    formula="`E_t[t] ~ N(mean(E_s), 1e-5 · Cov(E_s))`",
    paper="Hewitt 2021; Mundra et al. 2024",
    when="Where new rows should sit near the mean without being equal.",
    when_not="For quality: it knows nothing of the tokens.",
    options=MultivariateOptions,
    rows=rows,
    convex=False,
    copies_overlap=False,
    evidence="0: nothing is known of the token",
)
