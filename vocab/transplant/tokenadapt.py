"""Join two guesses: the old pieces, weighted by meaning and length, and the old tokens nearest in meaning (TokenAdapt).

Paper: Sharthak, Pahalwan, Kamath & Shirawalmath (2025), "Achieving Tokenizer Flexibility in Language Models through
Heuristic Adaptation and Supertoken Learning", section 3. Shared tokens are copied. Local: over the old pieces of a new
token, softmax of ((softmax(cosine) + characters of the piece / characters of the token) / 2) / T. Global: the k = 3
nearest old tokens, softmax(cosine / T). The row is 0.7 local + 0.3 global, T = 0.3; where one of them has nothing, the
other stands alone.

Needs: vectors of target and source tokens in one space. The authors take a text encoder's for the tokens' surfaces;
word vectors of both languages, aligned, stand in. Use it where pieces mean something; with T = 0.3 the local weights
are nearly even, so it stays close to `subwords`.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from vocab.matrix import stack
from vocab.mixture import Mixture
from vocab.mixture_join import blend
from vocab.options import Options
from vocab.transplant.copy_ import copy_overlap
from vocab.transplant.method import Method, Problem
from vocab.transplant.nearest import softmax_of_nearest
from vocab.transplant.space import in_one_space
from vocab.transplant.subwords import old_pieces


class TokenadaptOptions(Options):
    """Options of tokenadapt."""

    temperature: float = Field(0.3, gt=0)
    """Temperature of both softmaxes."""
    global_weight: float = Field(0.3, gt=0, lt=1)
    """Share of the nearest old tokens; the old pieces have the rest."""
    neighbours: int = Field(3, gt=0)
    """Nearest old tokens that are mixed."""


def rows(problem: Problem, options: TokenadaptOptions) -> Mixture:
    """Copy shared tokens and mix pieces and nearest tokens for those that have a vector."""
    source, target = problem.source, problem.target
    new_space, old_space = in_one_space(problem)
    copied = copy_overlap(problem)
    todo = problem.todo()
    todo = todo[~copied.filled[todo]]
    made, weights, best = softmax_of_nearest(
        new_space, old_space, (len(target), len(source)), todo, options.neighbours, options.temperature
    )
    near = Mixture.build(source, target, "tokenadapt", made, weights, evidence=best)
    new, old = np.asarray(new_space.dense), np.asarray(old_space.dense)
    rows, pieces, shares, evidence = [], [], [], []
    for token in todo[new_space.known[todo]].tolist():
        cut = [piece for piece in old_pieces(source, target, token) if old[piece].any()]
        if not cut:
            continue
        cosine = old[cut] @ new[token]
        meaning = np.exp(cosine - cosine.max())
        length = np.array([_characters(source.text[piece]) for piece in cut]) / max(_characters(target.text[token]), 1)
        power = (meaning / meaning.sum() + length) / 2 / options.temperature
        power = np.exp(power - power.max())
        rows.append(token)
        pieces.append(cut)
        shares.append((power / power.sum()).tolist())
        evidence.append(float(cosine.max()))
    local = Mixture.build(
        source, target, "tokenadapt", np.array(rows, np.int64), stack(pieces, len(source), shares),
        evidence=np.array(evidence),
    )  # fmt: skip
    parts = [(1 - options.global_weight, local), (options.global_weight, near)]
    return copied.then(blend(parts, "tokenadapt", problem.matrices))


def _characters(text: bytes) -> int:
    return len(text.decode("utf-8", "replace"))


SPEC = Method(
    name="tokenadapt",
    summary="Old pieces weighted by meaning and length (0.7) and the three nearest old tokens (0.3).",
    formula="`E_t[t] = 0.7 Σ_p u_p E_s[p] + 0.3 Σ_j v_j E_s[s_j]` over old pieces `p` and the 3 nearest tokens `s_j`",
    paper="Sharthak et al. 2025, section 3",
    when="Vectors of both vocabularies in one space, and pieces that mean something.",
    when_not="Without such vectors, or where the old tokenizer falls apart into letters.",
    options=TokenadaptOptions,
    rows=rows,
    needs=frozenset({"vectors", "source_vectors"}),
    uses=frozenset({"dictionary"}),
    fallback=("random",),
    evidence="the best cosine among the pieces (0.7) and to the nearest old token (0.3)",
)
