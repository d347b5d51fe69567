"""Copy rows of tokens that both vocabularies have.

Paper: the common first step of WECHSEL's, FOCUS's and OFA's baselines; fuzzy and symbol matching as in Dobler & de Melo
(2023). Needs: nothing. Use it as the first link of a chain; alone it leaves most rows of a new script to chance.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

import numpy as np

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.method import Method, Problem
from vocab.transplant.specials import one_to_one
from vocab.view import SPACE, Kind, Vocabulary

Match = Literal["exact", "symbols", "caseless", "fuzzy"]


class CopyOptions(Options):
    """Options of copy."""

    match: Match = "exact"
    """exact: same canonical form; symbols: numbers, punctuation, spaces only; caseless: case ignored; fuzzy: case and
    word mark ignored."""


def overlap(source: Vocabulary, target: Vocabulary, match: Match = "exact") -> tuple[np.ndarray, np.ndarray]:
    """Find the tokens that both vocabularies have, specials left out.

    Args:
        source: the old vocabulary.
        target: the new one.
        match: what counts as the same; see `CopyOptions`.

    Returns:
        Target ids (increasing) and, for each, a source id.
    """
    pairs: list[tuple[int, int]] = []
    loose = _loose(source, match == "fuzzy") if match in ("caseless", "fuzzy") else {}
    width = min(len(source), len(target))
    same = source.kind[:width] == target.kind[:width]
    for token in np.flatnonzero(target.kind <= Kind.BYTE).tolist():
        form = target.forms[token]
        if match == "symbols" and any(unicodedata.category(c)[0] in "LM" for c in form):
            continue
        # The same id first: of two ids that spell the same, each keeps its own row when nothing changed.
        if token < width and same[token] and source.forms[token] == form:
            found: int | None = token
        else:
            found = source.ids.get(form)
            bare = form.removeprefix(SPACE)
            if found is None and len(bare) == 1 and target.ids.get(bare) == token:
                found = source.ids.get(bare)  # WordPiece's punctuation, which has no word mark
            if found is None and loose:
                found = loose.get((bare if match == "fuzzy" else form).casefold())
        if found is not None:
            pairs.append((token, found))
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _loose(source: Vocabulary, unmarked: bool) -> dict[str, int]:
    """Casefolded text (without word mark) -> id; among several, the one written so, then the word-initial one."""
    best: dict[str, tuple[int, int]] = {}
    for form, index in source.ids.items():
        bare = form.removeprefix(SPACE) if unmarked else form
        key = bare.casefold()
        rank = 2 * (bare != key) + (bare == form)
        if key not in best or rank < best[key][0]:
            best[key] = (rank, index)
    return {key: index for key, (_, index) in best.items()}


def copy_overlap(
    problem: Problem, match: Match = "exact", pairs: tuple[np.ndarray, np.ndarray] | None = None
) -> Mixture:
    """Return the mixture that copies the overlap (or the pairs given) among the wanted rows."""
    targets, sources = overlap(problem.source, problem.target, match) if pairs is None else pairs
    keep = np.isin(targets, problem.todo())
    targets, sources = targets[keep], sources[keep]
    weights = one_to_one(targets, sources, len(problem.source))
    ones = np.ones(len(targets))
    return Mixture.build(problem.source, problem.target, "copy", targets, weights, copied=True, evidence=ones)


def rows(problem: Problem, options: CopyOptions) -> Mixture:
    """Copy shared tokens."""
    return copy_overlap(problem, options.match)


SPEC = Method(
    name="copy",
    summary="Shared tokens keep their old row.",
    paper="Common practice; fuzzy and symbol matching: Dobler & de Melo 2023, FOCUS, section 3.1",
    when="As the first link of a chain.",
    when_not="Alone: everything that is not shared falls to its fallback, random rows.",
    options=CopyOptions,
    rows=rows,
    fallback=("random",),
)
