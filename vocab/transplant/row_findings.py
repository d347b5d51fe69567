"""Rows of a model that deserve a look: dead, far from the others in length, equal, untrained, without evidence.

Untrained tokens are found as in Land & Bartolo (2024), "Fishing for Magikarp: Automatically detecting under-trained
tokens in large language models", section 3: by their likeness to rows that are known to be unused, where there are
such; else by a norm that is still the initialisation's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from vocab.matrix import moments, parts, take
from vocab.transplant.findings import SHOWN, Finding, Matrix, Seen
from vocab.view import Kind

_FAR = 8.0  # robust standard deviations of log norms from which a row is an outlier
_ALIKE = 0.9  # cosine to the unused rows' mean from which a row is taken for unused
_CONFIDENT = 0.1
_FEWEST = 50  # rows below which medians say nothing
_UNUSED = re.compile(r"[<\[]/?(unused|reserved|dummy|extra|madeupword|not_used)[\w ]*[>\]]", re.IGNORECASE)


def _dead(seen: Seen) -> list[Finding]:
    found = []
    for role, matrix in seen.matrices.items():
        zero = np.flatnonzero(matrix.norm[: len(seen.view)] == 0)
        zero = zero[seen.view.kind[zero] <= Kind.BYTE]
        if len(zero):
            message = f"tokens whose row of the {role} embeddings is all zeros: the model cannot tell them apart"
            advice = (
                "make their rows: transplant to the same tokenizer after removing them from the source, or train them"
            )
            found.append(Finding("dead rows", message, advice, len(zero), seen.show(zero)))
    return found


def _outliers(seen: Seen) -> list[Finding]:
    found = []
    for role, matrix in seen.matrices.items():
        tokens = seen.tokens(matrix)
        if len(tokens) < _FEWEST:
            continue
        log = np.log(matrix.norm[tokens])
        middle = np.median(log)
        # Rows brought to one norm have hardly a spread; what is less than half as long again is no outlier for that.
        spread = max(1.4826 * float(np.median(np.abs(log - middle))), np.log(1.5) / _FAR)
        far = (log - middle) / spread
        for what, chosen in (("long", far > _FAR), ("short", far < -_FAR)):
            ids = tokens[chosen][np.argsort(-np.abs(far[chosen]), kind="stable")]
            if len(ids):
                message = (
                    f"{what} rows in the {role} embeddings: median norm {np.exp(middle):.3g}, these from "
                    f"{matrix.norm[ids].min():.3g} to {matrix.norm[ids].max():.3g}"
                )
                advice = (
                    "long rows drown their neighbours and are chosen too often: restore their norm"
                    if what == "long"
                    else "short rows are hardly seen: restore their norm, or look whether they were trained at all"
                )
                found.append(Finding("norm outliers", message, advice, len(ids), seen.show(ids)))
    return found


def _duplicates(seen: Seen) -> list[Finding]:
    matrix = seen.matrices["input"]
    tokens = seen.tokens(matrix)
    order = tokens[np.argsort(matrix.key[tokens], kind="stable")]
    key = matrix.key[order]
    begins = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    groups = [g for g in np.split(order, begins[1:]) if len(g) > 1]
    groups = [g for g in groups if (take(matrix.matrix, g) == take(matrix.matrix, g[:1])).all()]
    if not groups:
        return []
    groups.sort(key=lambda g: (-len(g), int(g[0])))
    number = sum(len(g) - 1 for g in groups)
    message = f"{len(groups):,} rows stand for more than one token: the model cannot tell these tokens apart"
    advice = "train on, which parts them; or give them evidence (text, another method): `lexigraft transplant explain`"
    shown = [" = ".join(seen.show(g[:3])) + (" = ..." if len(g) > 3 else "") for g in groups[:SHOWN]]
    return [Finding("duplicate rows", message, advice, number, shown)]


def _untrained(seen: Seen) -> list[Finding]:
    """Tokens that no training has touched."""
    role = "output" if "output" in seen.matrices else "input"
    matrix = seen.matrices[role]
    named = [i for i, token in enumerate(seen.view.tokens) if _UNUSED.fullmatch(token)]
    unused = np.unique([*named, *np.flatnonzero(seen.view.kind == Kind.GAP), *range(len(seen.view), len(matrix.norm))])
    unused = unused[unused < len(matrix.norm)].astype(np.int64)
    unused = unused[matrix.whole[unused] & (matrix.norm[unused] > 0)]
    tokens = np.setdiff1d(seen.tokens(matrix), unused)
    if len(tokens) < _FEWEST:
        return []
    ids, message = _like_unused(matrix.matrix, tokens, unused)
    if not message:
        ids, message = _as_drawn(matrix, tokens, getattr(seen.model.config, "initializer_range", None) or 0)
    if not len(ids):
        return []
    advice = "train on text that holds them, transplant, or trim them from the tokenizer"
    return [Finding("untrained tokens", f"rows of the {role} embeddings {message}", advice, len(ids), seen.show(ids))]


def _like_unused(matrix: Any, tokens: np.ndarray, unused: np.ndarray) -> tuple[np.ndarray, str]:
    """Tokens whose rows point where those of unused ids point; no message where these have no direction in common."""
    if len(unused) < 3:
        return tokens[:0], ""
    centre = moments(matrix, tokens)[0]
    known = _unit(take(matrix, unused) - centre)
    direction = _unit(known.mean(axis=0, keepdims=True))[0]
    if np.median(known @ direction) < _ALIKE:
        return tokens[:0], ""
    score = np.concatenate([_unit(take(matrix, tokens[p]) - centre) @ direction for p in parts(matrix, len(tokens))])
    order = np.argsort(-score, kind="stable")
    return tokens[order[score[order] > _ALIKE]], f"like those of {len(unused)} ids that are not used"


def _as_drawn(matrix: Matrix, tokens: np.ndarray, deviation: float) -> tuple[np.ndarray, str]:
    """Tokens whose rows are as long as N(0, deviation) draws them, where the other rows have left that length."""
    dim = int(matrix.matrix.shape[1])
    expected, width = deviation * np.sqrt(dim), 4 / np.sqrt(2 * dim)
    if not expected or abs(np.median(matrix.norm[tokens]) / expected - 1) < 3 * width:
        return tokens[:0], ""
    ids = tokens[np.abs(matrix.norm[tokens] / expected - 1) < width]
    return ids, f"as long as when they were drawn (N(0, {deviation:g}))"


def _doubtful(seen: Seen) -> list[Finding]:
    """Rows of a transplant that little speaks for."""
    mixture = seen.mixture
    if mixture is None or len(mixture) != len(seen.view):
        return []
    found = []
    if "kriging" in mixture.names:
        mine = np.flatnonzero(mixture.method == mixture.names.index("kriging"))
        weak = mine[mixture.evidence[mine] < _CONFIDENT]
        if len(weak):
            weak = weak[np.argsort(mixture.evidence[weak], kind="stable")]
            message = f"rows that kriging predicted with a confidence below {_CONFIDENT}: hardly more than the mean"
            advice = "give more text, or a chain whose next link knows more of them (subwords)"
            found.append(Finding("rows of low confidence", message, advice, len(weak), seen.show(weak)))
    for name in ("mean", "random", "multivariate"):
        if name in mixture.names:
            rows = np.flatnonzero((mixture.method == mixture.names.index(name)) & (seen.view.kind <= Kind.BYTE))
            if len(rows):
                message = f"rows made by {name}: nothing was known of these tokens"
                advice = (
                    "put a method before it that finds evidence for them (subwords needs nothing but the tokenizer)"
                )
                found.append(Finding("rows without evidence", message, advice, len(rows), seen.show(rows)))
    return found


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


ROW_LOOKS: tuple[Callable[[Seen], list[Finding]], ...] = (_dead, _outliers, _duplicates, _untrained, _doubtful)
