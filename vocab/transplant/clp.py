"""Mix all shared tokens as a second, smaller model of the language relates them to a new token (CLP-Transfer).

Paper: Ostendorff & Rehm (2023), "Efficient Language Model Training through Cross-Lingual and Progressive Transfer
Learning", section 3. The overlap is copied. A new token's weights are the cosines of its row in a small model that has
the target's tokenizer with that model's rows of all shared tokens, divided by their sum; negative cosines count 0
(the authors' code keeps them, which lets the sum come near 0: option `clip`).

Needs: such a model (`helper=`), and the matrices: weights run over all shared tokens, so the rows are kept as they are,
the 20 largest weights beside them for `explain`. Use it where a small model of the language exists; weights that are
nearly even draw every row towards the mean of the overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vocab.device import here
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import apart
from vocab.transplant.dense import dense_rows
from vocab.transplant.helper import helper_rows
from vocab.transplant.method import Method, Problem
from vocab.transplant.nearest import nearest
from vocab.vectors.evidence import unit


class ClpOptions(Options):
    """Options of clp."""

    clip: bool = True
    """Negative cosines count 0, as in the paper; False keeps them, as the authors' code does."""


def rows(problem: Problem, options: ClpOptions) -> Mixture:
    """Copy the overlap and mix it for tokens that the second model has.

    Raises:
        InputError: the problem carries no matrices.
    """
    space = unit(helper_rows(problem))
    copied, anchors, column, new = apart(problem, np.asarray(space.any(axis=1)))
    if not len(anchors):
        problem.notes.append("clp needs shared tokens that the second model has and found none: its rows fall back")
        return copied
    if options.clip and len(new):
        # Without a positive cosine there are no weights: such a token is left to the fallback.
        new = new[nearest(space[new], np.ascontiguousarray(space[anchors].T), 1)[1][:, 0] > 0]
    on = here()
    near = space[anchors].astype(np.float64)
    put: Any = on.put if on is not None else np.asarray
    table = put(near.T)

    def weigh(rows: np.ndarray) -> tuple[Any, Any]:
        cosine = put(space[rows].astype(np.float64)) @ table
        share = cosine.clip(min=0) if options.clip else cosine
        return share / share.sum(axis=1)[:, None], cosine.max(axis=1) if on is None else cosine.amax(dim=1)

    return copied.then(dense_rows(problem, "clp", new, column, weigh))


SPEC = Method(
    name="clp",
    summary="Shared tokens are copied; others are averages of all of them, weighted as a small model relates them.",
    formula="`E_t[t] = Σ_o w_o E_s[o]`, `w_o = max(cos(H[t], H[o]), 0) / Σ`, over all `o` in `O`; `H`: "
    "the second model's rows",
    paper="Ostendorff & Rehm 2023, section 3",
    when="A small model with the target's tokenizer exists.",
    when_not="Mixtures that must apply to other checkpoints; without such a model.",
    options=ClpOptions,
    rows=rows,
    needs=frozenset({"helper"}),
    fallback=("random",),
    fallback_options={"random": {"ddof": 0}},
    evidence="the best cosine in the second model",
)
