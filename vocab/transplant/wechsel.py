"""Mix the ten source tokens that lie nearest in a space both languages share (WECHSEL).

Paper: Minixhofer, Paischer & Rekabsaz (2022), "WECHSEL: Effective initialization of subword embeddings for
cross-lingual transfer", section 3. Every target token is made anew, shared ones included; only specials are copied: k
= 10 nearest by cosine, softmax(cosine / 0.1). A token without a vector takes a random row, drawn with the
population's standard deviation.

The authors' code (wechsel 0.0.4) also mixes rows of source specials, and breaks ties as numpy's partition leaves them;
here specials are no neighbours, and of equals the first ids win.

Needs: vectors of target and source tokens. With a dictionary the source vectors are turned into the target's space
first (orthogonal Procrustes): over pairs of words, each tried in 3 x 3 casings, where both sides' vectors come from
files of word vectors, as the authors do it; else over pairs that are one token on each side. Use it where the languages
share few tokens and good word vectors exist; not where there are neither vectors nor a dictionary.
"""

from __future__ import annotations

from pydantic import Field

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.method import Method, Problem
from vocab.transplant.nearest import softmax_of_nearest
from vocab.transplant.space import in_one_space


class WechselOptions(Options):
    """Options of wechsel."""

    neighbours: int = Field(10, gt=0)
    """Source tokens that are mixed."""
    temperature: float = Field(0.1, gt=0)
    """Temperature of the softmax."""
    identical: bool = False
    """Without a dictionary, align by the strings that both sides spell alike; without either the vectors are taken as
    aligned."""


def rows(problem: Problem, options: WechselOptions) -> Mixture:
    """Mix the nearest source tokens for every wanted token that has a vector."""
    source, target = problem.source, problem.target
    new, old = in_one_space(problem, options.identical)
    made, weights, best = softmax_of_nearest(
        new, old, (len(target), len(source)), problem.todo(), options.neighbours, options.temperature
    )
    return Mixture.build(source, target, "wechsel", made, weights, evidence=best)


SPEC = Method(
    name="wechsel",
    summary="Mixtures of the ten nearest source tokens in a shared vector space, shared tokens included.",
    formula="`E_t[t] = Σ_j softmax(cos(f(t), Q f(s_j)) / 0.1) E_s[s_j]` over the 10 nearest `s_j`, `Q` from Procrustes",
    paper="Minixhofer et al. 2022, section 3",
    when="Few shared tokens, but word vectors of both languages, aligned or with a dictionary.",
    when_not="Without word vectors of both languages; where most tokens are shared.",
    options=WechselOptions,
    rows=rows,
    needs=frozenset({"vectors", "source_vectors"}),
    uses=frozenset({"dictionary"}),
    fallback=("random",),
    fallback_options={"random": {"ddof": 0}},
    copies_overlap=False,
    evidence="the best cosine to a source token",
)
