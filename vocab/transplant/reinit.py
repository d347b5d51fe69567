"""Draw rows like those of old tokens in the same script and place in the word; copy what is identical (ReInit).

Paper: Downey et al. (2023), "Embedding structure matters: Comparing methods to adapt multilingual vocabularies to new
languages", section 3. A token's script is that of most of its letters; rows are drawn from N(mean, standard
deviation) of source tokens of that script, word-initial and medial ones apart; identical tokens are copied. Where the
source has fewer than two tokens of that kind, the script's are taken, then nothing (the fallback).

Needs: the matrices. Use it as a floor that knows scripts, as the paper does; FOCUS and old pieces know more.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np

from vocab.matrix import moments
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import copy_overlap
from vocab.transplant.drawn import drawn
from vocab.transplant.method import Method, Problem
from vocab.view import Kind, Vocabulary


class ReinitOptions(Options):
    """Options of reinit."""

    position: bool = True
    """Word-initial and medial tokens apart."""
    identity: bool = True
    """Copy identical tokens."""


@lru_cache(maxsize=65536)
def _script(letter: str) -> str:
    """Name the script of a letter, as the first word of its Unicode name says it; "" for what is no letter."""
    return unicodedata.name(letter, "").split(" ")[0] if unicodedata.category(letter)[0] == "L" else ""


def script_of(text: str) -> str:
    """Say which script most letters of a text are in ("LATIN", "CJK", ...); "none" where it has no letter."""
    counts = Counter(name for letter in text if (name := _script(letter)))
    return min(counts, key=lambda name: (-counts[name], name)) if counts else "none"


def _groups(vocabulary: Vocabulary, rows: np.ndarray) -> list[tuple[str, bool]]:
    return [(script_of(vocabulary.forms[i]), bool(vocabulary.word_start[i])) for i in rows.tolist()]


def rows(problem: Problem, options: ReinitOptions) -> Mixture:
    """Copy identical tokens and draw the others.

    Raises:
        InputError: the problem carries no matrices.
    """
    source, target = problem.source, problem.target
    copied = copy_overlap(problem) if options.identity else Mixture.empty(source, target)
    todo = problem.todo()
    todo = todo[~copied.filled[todo]]
    old = np.flatnonzero(source.kind <= Kind.BYTE)
    members: dict[tuple[str, bool | None], list[int]] = {}
    for index, (script, start) in zip(old.tolist(), _groups(source, old), strict=True):
        members.setdefault((script, start), []).append(index)
        members.setdefault((script, None), []).append(index)
    wanted: dict[tuple[str, bool | None], list[int]] = {}
    for place, (script, start) in enumerate(_groups(target, todo)):
        keys = [(script, start), (script, None)] if options.position else [(script, None)]
        key = next((k for k in keys if len(members.get(k, ())) >= 2), None)
        if key is not None:
            wanted.setdefault(key, []).append(place)
    chosen = np.array(sorted(p for places in wanted.values() for p in places), np.int64)

    def shape(matrix: Any, normal: np.ndarray) -> np.ndarray:
        for key, places in wanted.items():
            mean, deviation = moments(matrix, np.array(members[key]))
            at = np.searchsorted(chosen, places)
            normal[at] = mean + normal[at] * deviation
        return normal

    return copied.then(drawn(problem, "reinit", todo[chosen], shape))


SPEC = Method(
    name="reinit",
    summary="Identical tokens are copied; others drawn like old tokens of the same script and place in the word.",
    formula="`E_t[t] ~ N(mean, std)` of the old rows of `t`'s script and place in the word; `E_s[t]` for `t` in `O`",
    paper="Downey et al. 2023, section 3",
    when="As a floor that knows scripts, or to repeat the paper's runs.",
    when_not="For quality: focus and subwords know more of a token than its script.",
    options=ReinitOptions,
    rows=rows,
    fallback=("random",),
    convex=False,
    evidence="0: nothing is known of the token",
)
