"""What a transplant did, in figures: rows by origin, overlap, norms, and the rows that deserve doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from vocab.matrix import parts, take
from vocab.mixture import SPECIAL, Mixture
from vocab.mixture_join import EDIT
from vocab.transplant.copy_ import overlap
from vocab.transplant.explain import meaning_of
from vocab.view import Kind, Vocabulary

_WORST = 10


def facts(
    mixture: Mixture,
    source: Vocabulary,
    target: Vocabulary,
    before: dict[str, Any],
    after: dict[str, Any],
    *,
    chain: tuple[str, ...],
    frequency: np.ndarray | None,
    evidence: str,
    notes: list[str],
) -> dict[str, Any]:
    """Collect the figures of a transplant.

    Args:
        mixture: what was applied.
        source: the old vocabulary.
        target: the new one.
        before: the source model's matrices by role.
        after: the new model's, by role.
        chain: the methods asked for.
        frequency: how often the text shows each new token, or None.
        evidence: what tokens were compared by.
        notes: what the methods and the model had to say.

    Returns:
        A dict that JSON can hold.
    """
    rows = mixture.methods()
    # Shared tokens are shared where a method makes their rows anew, too; looser matches count where they were copied.
    shared = mixture.copied & (target.kind <= Kind.BYTE)
    shared[overlap(source, target)[0]] = True
    first = chain[0] if chain else ""
    own = {SPECIAL, "copy", EDIT, first}
    in_both: dict[str, Any] = {
        "tokens": int(shared.sum()),
        "share": _round(shared.sum() / max(int(np.sum(target.kind <= Kind.BYTE)), 1)),
    }
    if frequency is not None:
        in_both["share_of_text"] = _round(frequency[shared].sum() / max(int(frequency.sum()), 1))
    return {
        "method": " -> ".join(chain),
        "evidence": evidence,
        "source": {"name": source.name, "tokens": len(source), "fingerprint": source.fingerprint},
        "target": {"name": target.name, "tokens": len(target), "fingerprint": target.fingerprint},
        "rows": {
            "total": len(mixture),
            "copied": int(mixture.copied.sum()),
            "mixed": sum(count for name, count in rows.items() if name == first and name != "copy"),
            "fell_back": sum(count for name, count in rows.items() if name not in own),
            "by_method": rows,
        },
        "evidence_by_method": _evidence(mixture),
        "weights_per_mixed_row": _weights(mixture),
        "overlap": in_both,
        "norms": {role: _norms(mixture, before.get(role, before["input"]), matrix) for role, matrix in after.items()},
        "worst": _worst(mixture, target, frequency),
        "notes": notes,
    }


def _round(value: Any) -> float:
    return round(float(value), 4)


def _evidence(mixture: Mixture) -> dict[str, dict[str, Any]]:
    """How well the rows of each method are supported: median and lowest 5 %; copied rows and those without apart."""
    found = {}
    for code, name in enumerate(mixture.names):
        of_method = mixture.evidence[(mixture.method == code) & ~mixture.copied]
        of_method = of_method[np.isfinite(of_method)]
        if name and len(of_method) and meaning_of(name):
            low, median = np.percentile(of_method, [5, 50])
            found[name] = {"median": _round(median), "low": _round(low), "meaning": meaning_of(name)}
    return found


def _weights(mixture: Mixture) -> dict[str, float]:
    rows = mixture.filled & ~mixture.copied
    lengths = np.diff(mixture.weights.indptr)[rows]
    return {"median": float(np.median(lengths)), "largest": int(lengths.max())} if len(lengths) else {}


def _norms(mixture: Mixture, before: Any, after: Any) -> dict[str, float]:
    """Median L2 norms: all old rows; all rows as they are now, those that were copied, and those that are new."""
    new = np.flatnonzero(mixture.filled & ~mixture.copied)
    length = _lengths(after, np.arange(len(mixture)))
    known: dict[str, float] = {
        "source_rows": _round(np.median(_lengths(before, np.arange(mixture.n_source)))),
        "all_rows": _round(np.median(length)),
    }
    if mixture.copied.any():
        known["copied_rows"] = _round(np.median(length[mixture.copied]))
    if len(new):
        known["new_rows"] = _round(np.median(length[new]))
    return known


def _lengths(matrix: Any, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([np.linalg.norm(take(matrix, rows[p]), axis=1) for p in parts(matrix, len(rows))])


def _worst(mixture: Mixture, target: Vocabulary, frequency: np.ndarray | None) -> list[dict[str, Any]]:
    """List the rows with least evidence: fallbacks before weak mixtures; among equals, what the text shows most."""
    order = {name: place for place, name in enumerate(mixture.names)}
    rows = np.flatnonzero(mixture.filled & ~mixture.copied & (target.kind <= Kind.BYTE))
    often = np.zeros(len(mixture)) if frequency is None else frequency
    late = np.array([order[mixture.names[m]] for m in mixture.method[rows]])
    chosen = rows[np.lexsort((rows, -often[rows], np.nan_to_num(mixture.evidence[rows]), -late))][:_WORST]
    return [
        {
            "token": target.forms[row],
            "id": row,
            "method": mixture.method_of(row),
            "evidence": _round(mixture.evidence[row]),
            "seen": None if frequency is None else int(frequency[row]),
            "from": [[token, _round(weight)] for token, weight in mixture.explain(row, 3)],
        }
        for row in chosen.tolist()
    ]
