"""Copy the overlap and mix the ten nearest source tokens in a multilingual vector space for the rest (OFA).

Paper: Liu et al. (2024), "OFA: A Framework of Initializing Unseen Subword Embeddings for Efficient Large-scale
Multilingual Continued Pretraining", section 3. Shared tokens (case ignored) are copied; others are softmax(cosine /
0.1) over k = 10. A token without a vector takes a random row, drawn with the population's standard deviation. With
`rank` the rows are mixed on coordinates U S of E = U S V^T: mixing is linear, so the new matrix is the mixture of E
brought to that rank, which is what a plain model can hold.

Needs: vectors of target and source tokens in one multilingual space; from a file of word vectors take the paper's rule,
`vocab.token_vectors(tokenizer, None, file, rule="plain")`. Use it when such vectors exist for the language.
"""

from __future__ import annotations

from pydantic import Field

from lexigraft import InputError
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
    rank: int | None = Field(None, gt=0)
    """Bring all rows to this rank (d' in the paper: 100, 200, 400), as factorised embeddings have it; nothing means no
    factorisation. `lexigraft transplant factorise` makes the smaller model of it."""


def rows(problem: Problem, options: OfaOptions) -> Mixture:
    """Copy shared tokens and mix nearest ones for the rest.

    Raises:
        InputError: the rank is above the matrices' dimensions.
    """
    source, target = problem.source, problem.target
    dims = min((int(matrix.shape[1]) for matrix in problem.matrices.values()), default=options.rank or 0)
    if options.rank is not None and options.rank > dims:
        raise InputError("the rank is above the embeddings' dimensions", found=options.rank, expected=f"at most {dims}")
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
    mixture = copied.then(Mixture.build(source, target, "ofa", made, weights, evidence=best))
    mixture.rank = options.rank or 0
    return mixture


SPEC = Method(
    name="ofa",
    summary="Shared tokens are copied; others mix the ten nearest source tokens in a multilingual space.",
    formula="`E_t[t] = Σ_j softmax(cos(f(t), f(s_j)) / 0.1) E_s[s_j]` over the 10 nearest `s_j`; with "
    "a rank, of `E_s`'s leading directions",
    paper="Liu et al. 2024, section 3",
    when="Multilingual word vectors cover the language.",
    when_not="Without such vectors.",
    options=OfaOptions,
    rows=rows,
    needs=frozenset({"vectors", "source_vectors"}),
    uses=frozenset({"dictionary"}),
    fallback=("random",),
    fallback_options={"random": {"ddof": 0}},
    evidence="the best cosine to a source token",
)
