"""What a transplant did, in figures: rows by origin, overlap, norms, and the rows that deserve doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from vocab.matrix import take
from vocab.mixture import Mixture
from vocab.transplant.method import METHODS
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
    copied = mixture.copied & (target.kind <= Kind.BYTE)
    first = chain[0] if chain else ""
    own = {"special", "copy", first}
    overlap: dict[str, Any] = {
        "tokens": int(copied.sum()),
        "share": _round(copied.sum() / max(int(np.sum(target.kind <= Kind.BYTE)), 1)),
    }
    if frequency is not None:
        overlap["share_of_text"] = _round(frequency[copied].sum() / max(int(frequency.sum()), 1))
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
        "weights_per_mixed_row": _weights(mixture),
        "overlap": overlap,
        "norms": {role: _norms(mixture, before.get(role, before["input"]), matrix) for role, matrix in after.items()},
        "worst": _worst(mixture, target, frequency),
        "notes": notes,
    }


def _round(value: Any) -> float:
    return round(float(value), 4)


def _weights(mixture: Mixture) -> dict[str, float]:
    rows = mixture.filled & ~mixture.copied
    lengths = np.diff(mixture.weights.indptr)[rows]
    return {"median": float(np.median(lengths)), "largest": int(lengths.max())} if len(lengths) else {}


def _norms(mixture: Mixture, before: Any, after: Any) -> dict[str, float]:
    """Median L2 norms: all old rows, copied rows, and new rows as they were averaged and as they are."""
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
    return np.concatenate(
        [np.linalg.norm(take(matrix, rows[i : i + 65536]), axis=1) for i in range(0, len(rows), 65536)]
    )


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


def markdown(report: dict[str, Any]) -> str:
    """Write the figures as Markdown."""
    rows, overlap = report["rows"], report["overlap"]
    lines = [
        f"# Vocabulary transplant: {report['source']['tokens']:,} to {report['target']['tokens']:,} tokens",
        "",
        f"Method: {report['method']}. Evidence: {report['evidence']}.",
        "",
        "| rows | number | share |",
        "| --- | ---: | ---: |",
    ]
    for name, count in rows["by_method"].items():
        summary = "specials, by role" if name == "special" else name
        lines.append(f"| {summary} | {count:,} | {100 * count / rows['total']:.1f} % |")
    text = f", {100 * overlap['share_of_text']:.1f} % of the text" if "share_of_text" in overlap else ""
    lines += ["", f"Shared with the source: {overlap['tokens']:,} tokens ({100 * overlap['share']:.1f} %{text}).", ""]
    lines += ["| median L2 norm | source rows | copied rows | new rows |", "| --- | ---: | ---: | ---: |"]
    for role, norms in report["norms"].items():
        cells = [f"{norms[k]:.3f}" if k in norms else "-" for k in ("source_rows", "copied_rows", "new_rows")]
        lines.append(f"| {role} | {' | '.join(cells)} |")
    if report["worst"]:
        lines += ["", "Rows with least evidence:", "", "| token | method | evidence | seen | made of |"]
        lines.append("| --- | --- | ---: | ---: | --- |")
        for row in report["worst"]:
            made = ", ".join(f"{_cell(token)} {weight:.2f}" for token, weight in row["from"]) or "drawn"
            seen = "-" if row["seen"] is None else row["seen"]
            lines.append(f"| {_cell(row['token'])} | {row['method']} | {row['evidence']:.2f} | {seen} | {made} |")
    lines += [f"\n- {note}" for note in report["notes"]]
    papers = [f"{name}: {METHODS[name].paper}" for name in rows["by_method"] if name in METHODS and METHODS[name].paper]
    return "\n".join([*lines, "", *(f"- {paper}" for paper in papers)]) + "\n"


def _cell(token: str) -> str:
    return "`" + token.replace("|", "\\|").replace("`", "'").replace("\n", "\\n") + "`"
