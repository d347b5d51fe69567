"""Give every new token the mean of the old rows.

Paper: Hewitt (2021), "Initializing new word embeddings for pretrained language models" (there with noise). Needs:
nothing. Use it as the last link of a chain; alone all new tokens are the same to the model until training tells them
apart.
"""

from __future__ import annotations

import numpy as np

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.method import Method, Problem

BASIS = "mean of all rows"


class MeanOptions(Options):
    """Options of mean: none."""


def rows(problem: Problem, options: MeanOptions) -> Mixture:
    """Fill every wanted row, specials without a counterpart too."""
    from scipy.sparse import csr_matrix

    wanted, known = problem.todo(specials=True), problem.source_rows()
    size = len(problem.source)
    share = np.full(len(known), 1 / max(len(known), 1), np.float32)
    basis = csr_matrix((share, known, [0, len(known)]), shape=(1, size))
    weights = csr_matrix(
        (np.ones(len(wanted), np.float32), np.full(len(wanted), size), np.arange(len(wanted) + 1)),
        shape=(len(wanted), size + 1),
    )
    return Mixture.build(
        problem.source, problem.target, "mean", wanted, weights,
        basis=basis, basis_names=(BASIS,), evidence=np.zeros(len(wanted)),
    )  # fmt: skip


SPEC = Method(
    name="mean",
    summary="Every new token gets the mean of the old rows.",
    formula="`E_t[t] = mean(E_s)`",
    paper="Hewitt 2021",
    when="As the last link of a chain, for tokens that nothing is known of.",
    when_not="Alone, where anything better has evidence.",
    options=MeanOptions,
    rows=rows,
    copies_overlap=False,
    evidence="0: nothing is known of the token",
)
