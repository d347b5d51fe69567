"""Undo a new token's BPE merges until old tokens are reached, and average back up.

Paper: Yamaguchi, Villavicencio & Aletras (2024), "Merge". A token that the source has is its row; another is the mean
of the two parts it was merged from, each made the same way: a mean of means.

Needs: nothing; the new tokenizer must be BPE, for others no row is made. Use it instead of `subwords` for BPE
tokenizers.
"""

from __future__ import annotations

import json

import numpy as np

from vocab.matrix import stack
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import copy_overlap, overlap
from vocab.transplant.method import Method, Problem
from vocab.view import Vocabulary


class MergeOptions(Options):
    """Options of merge: none."""


def merges_of(vocabulary: Vocabulary) -> dict[int, tuple[int, int]]:
    """Read which two tokens each token is merged from, by the first merge that gives it; {} where there are none."""
    model = json.loads(vocabulary.backend.to_str())["model"]
    place = {token: index for index, token in enumerate(vocabulary.tokens) if token}
    found: dict[int, tuple[int, int]] = {}
    for pair in model.get("merges") or []:
        left, right = pair.split(" ") if isinstance(pair, str) else pair
        prefix = model.get("continuing_subword_prefix") or ""
        whole = left + right.removeprefix(prefix)
        if {left, right, whole} <= place.keys():
            found.setdefault(place[whole], (place[left], place[right]))
    return found


def rows(problem: Problem, options: MergeOptions) -> Mixture:
    """Copy the overlap and average merged parts for the rest."""
    source, target = problem.source, problem.target
    copied = copy_overlap(problem)
    merges = merges_of(target)
    if not merges:
        problem.notes.append("merge made no row: the new tokenizer has no merges to undo (it is no BPE)")
    shared = dict(zip(*(part.tolist() for part in overlap(source, target)), strict=True))
    known: dict[int, dict[int, float]] = {new: {old: 1.0} for new, old in shared.items()}

    def make(token: int) -> dict[int, float]:
        if token not in known:
            known[token] = {}  # a merge cannot lead back to itself, but a file may say so
            parts = [part for half in merges.get(token, ()) if (part := make(half))]
            mixed: dict[int, float] = {}
            for part in parts:
                for old, weight in part.items():
                    mixed[old] = mixed.get(old, 0.0) + weight / len(parts)
            known[token] = mixed
        return known[token]

    made = {token: mixed for token in problem.todo().tolist() if not copied.filled[token] and (mixed := make(token))}
    weights = stack(
        [list(mixed) for mixed in made.values()], len(source), [list(mixed.values()) for mixed in made.values()]
    )
    evidence = np.array([1 / len(mixed) for mixed in made.values()])
    return copied.then(
        Mixture.build(source, target, "merge", np.array(list(made), np.int64), weights, evidence=evidence)
    )


SPEC = Method(
    name="merge",
    summary="The mean of means of the old tokens that a new BPE token was merged from.",
    formula="`E_t[t] = (E[left] + E[right]) / 2` up the new BPE's merges of `t`, from old tokens",
    paper="Yamaguchi et al. 2024, Merge",
    when="The new tokenizer is BPE, and there is no text.",
    when_not="Unigram or WordPiece tokenizers, which have no merges.",
    options=MergeOptions,
    rows=rows,
    fallback=("subwords", "mean"),
    evidence="1 / number of old tokens",
)
