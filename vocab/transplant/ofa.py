"""Copy the overlap and mix the ten nearest source tokens in a multilingual vector space for the rest (OFA).

Paper: Liu et al. (2024), "OFA: A Framework of Initializing Unseen Subword Embeddings for Efficient Large-scale
Multilingual Continued Pretraining", section 3; here without factorisation. Shared tokens (case ignored) are copied;
others are softmax(cosine / 0.1) over k = 10. A token without a vector takes a random row.

Needs: vectors of target and source tokens in one multilingual space. Use it when such vectors exist for the language.
"""

from __future__ import annotations

from pydantic import Field

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import copy_overlap
from vocab.transplant.method import Method, Problem
from vocab.transplant.nearest import softmax_of_nearest
from vocab.transplant.space import in_one_space


class OfaOptions(Options):
    """Options of ofa."""

    neighbours: int = Field(10, gt=0)
    """Source tokens that are mixed."""
    temperature: float = Field(0.1, gt=0)
    """Temperature of the softmax."""


def rows(problem: Problem, options: OfaOptions) -> Mixture:
    """Copy shared tokens and mix nearest ones for the rest."""
    source, target = problem.source, problem.target
    new, old = in_one_space(problem)
    copied = copy_overlap(problem, "caseless")
    todo = problem.todo()
    made, weights, best = softmax_of_nearest(
        new,
        old,
        (len(target), len(source)),
        todo[~copied.filled[todo]],
        options.neighbours,
        options.temperature,
    )
    return copied.then(Mixture.build(source, target, "ofa", made, weights, evidence=best))


SPEC = Method(
    name="ofa",
    summary="Shared tokens are copied; others mix the ten nearest source tokens in a multilingual space.",
    paper="Liu et al. 2024, section 3 (without factorisation)",
    when="Multilingual word vectors cover the language.",
    when_not="Without such vectors.",
    options=OfaOptions,
    rows=rows,
    needs=frozenset({"vectors", "source_vectors"}),
    fallback=("random",),
    evidence="the best cosine to a source token",
)
