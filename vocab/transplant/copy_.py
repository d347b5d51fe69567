"""Copy rows of tokens that both vocabularies have.

Paper: the common first step of WECHSEL's, FOCUS's and OFA's baselines; fuzzy and symbol matching as in Dobler & de Melo
(2023), whose code (deepfocus 1.0.1) takes of several hits the lower-case one without a word mark, then the lowest id;
here the word-initial one comes first, since most new tokens are word-initial.

Needs: nothing. Use it as the first link of a chain; alone it leaves most rows of a new script to chance.
"""

from __future__ import annotations

import unicodedata
import weakref
from typing import Any, Literal

import numpy as np

from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.method import Method, Problem
from vocab.transplant.specials import one_to_one
from vocab.view import SPACE, Kind, Vocabulary

Match = Literal["exact", "symbols", "caseless", "fuzzy"]


_FOUND: weakref.WeakKeyDictionary[Vocabulary, weakref.WeakKeyDictionary[Vocabulary, dict[str, Any]]]
_FOUND = weakref.WeakKeyDictionary()


class CopyOptions(Options):
    """Options of copy."""

    match: Match = "exact"
    """exact: same canonical form; symbols: only tokens without a letter (numbers, punctuation, spaces, bytes), the word
    mark ignored; caseless: case ignored; fuzzy: case and word mark ignored. Of several hits the one written alike comes
    first, then lower case, then the word-initial one."""


def overlap(source: Vocabulary, target: Vocabulary, match: Match = "exact") -> tuple[np.ndarray, np.ndarray]:
    """Find the tokens that both vocabularies have, specials left out.

    Args:
        source: the old vocabulary.
        target: the new one.
        match: what counts as the same; see `CopyOptions`.

    Returns:
        Target ids (increasing) and, for each, a source id.
    """
    known = _FOUND.setdefault(source, weakref.WeakKeyDictionary()).setdefault(target, {})
    if match not in known:
        known[match] = _overlap(source, target, match)
        for part in known[match]:
            part.flags.writeable = False
    return known[match]


def _overlap(source: Vocabulary, target: Vocabulary, match: Match) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.flatnonzero(target.kind <= Kind.BYTE)
    if match == "symbols":
        letter = [any(unicodedata.category(c)[0] in "LM" for c in target.forms[t]) for t in tokens.tolist()]
        tokens = tokens[~np.array(letter, bool) | (target.kind[tokens] == Kind.BYTE)]
    forms = [target.forms[token] for token in tokens.tolist()]
    found = np.array([source.ids.get(form, -1) for form in forms], np.int64)
    # The same id first: of two ids that spell the same, each keeps its own row when nothing changed.
    width = min(len(source), len(target))
    inside = tokens < width
    same = source.kind[tokens[inside]] == target.kind[tokens[inside]]
    same &= [source.forms[t] == target.forms[t] for t in tokens[inside].tolist()]
    found[inside] = np.where(same, tokens[inside], found[inside])
    unmarked = match in ("symbols", "fuzzy")
    loose = {} if match == "exact" else _loose(source, unmarked)
    for place in np.flatnonzero(found < 0).tolist():
        form, token = forms[place], int(tokens[place])
        bare = form.removeprefix(SPACE)
        if len(bare) == 1 and target.ids.get(bare) == token:
            found[place] = source.ids.get(bare, -1)  # WordPiece's punctuation, which has no word mark
        if loose and found[place] < 0:
            found[place] = loose.get((bare if unmarked else form).casefold(), -1)
    return tokens[found >= 0], found[found >= 0]


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


def apart(problem: Problem, known: np.ndarray) -> tuple[Mixture, np.ndarray, np.ndarray, np.ndarray]:
    """Tell shared tokens, which are copied, from new ones, which are mixed of them.

    Args:
        problem: what to transplant.
        known: bool (target vocabulary,): tokens that something is known of; others are neither mixed nor mixed of.

    Returns:
        The mixture that copies the overlap; the known shared tokens' target ids and source ids; the known new tokens'
        ids, of those that are wanted. Shared tokens serve too where an earlier link of a chain has filled their rows.
    """
    shared, old = overlap(problem.source, problem.target)
    todo = problem.todo()
    new = np.setdiff1d(todo[known[todo]], shared)
    return copy_overlap(problem, pairs=(shared, old)), shared[known[shared]], old[known[shared]], new


def rows(problem: Problem, options: CopyOptions) -> Mixture:
    """Copy shared tokens."""
    return copy_overlap(problem, options.match)


SPEC = Method(
    name="copy",
    summary="Shared tokens keep their old row.",
    formula="`E_t[t] = E_s[t]` for `t` in `O`",
    paper="Common practice; fuzzy and symbol matching: Dobler & de Melo 2023, FOCUS, section 3.1",
    when="As the first link of a chain.",
    when_not="Alone: everything that is not shared falls to its fallback, random rows.",
    options=CopyOptions,
    rows=rows,
    fallback=("random",),
)
