"""What a new row is made of and how well that is supported, in words and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.mixture import SPECIAL
from vocab.transplant.method import METHODS

if TYPE_CHECKING:
    from vocab.mixture import Mixture


class Explanation(list[tuple[str, float]]):
    """Pairs of source token (or basis name) and weight, by weight; as text, a paragraph about the row.

    Attributes:
        token: canonical form of the new token.
        id: its id.
        method: which method filled the row.
        parts: how many source rows and basis rows it mixes in all.
        total: sum of all their weights, signs left out.
        evidence: how well the row is supported, in the method's own measure; nan where it has none.
        meaning: what that measure is.
        seen: how often the text shows the token; None where that is not known.
        basis: the first of them is no old row, but such as the mean of all.
        finished: the row is kept as it is (sampled or predicted) and the pairs are only its largest weights.
    """

    token: str
    id: int
    method: str
    parts: int
    total: float
    evidence: float
    meaning: str
    seen: int | None
    basis: bool
    finished: bool

    def __str__(self) -> str:
        """Tell it in a few lines."""
        lines = [f"{self.token} (id {self.id}): {self._how()}"]
        if not np.isnan(self.evidence):
            lines.append(f"evidence {self.evidence:.3f}" + (f": {self.meaning}" if self.meaning else ""))
        if self.seen is not None:
            lines.append(f"the text shows it {self.seen:,} times" if self.seen else "the text never shows it")
        return "\n".join(lines + [f"{weight:8.4f}  {name}" for name, weight in self])

    def _how(self) -> str:
        if not self.method:
            return "no method has filled this row"
        if not self:
            return f"drawn by {self.method}, from no old row in particular"
        if self.finished:
            return f"computed by {self.method}; its largest weights are"
        if self.method == SPECIAL:
            return f"a special token, copied from the one that plays its role, {self[0][0]}"
        if self.parts == 1:
            what = self[0][0] if self.basis else f"the row of {self[0][0]}"
            return f"{self.method}: {what}" + ("" if self[0][1] == 1 else f" times {self[0][1]:.3f}")
        share = sum(abs(weight) for _, weight in self) / max(self.total, 1e-12)
        rest = "" if self.parts == len(self) else f"; the {len(self)} largest carry {100 * share:.0f} % of the weight"
        return f"mixed by {self.method} from {self.parts} old rows{rest}"


def explain(mixture: Mixture, token: str | int, k: int = 10, frequency: np.ndarray | None = None) -> Explanation:
    """Explain one row.

    Args:
        mixture: how the rows were made.
        token: canonical form (`▁gida`) or id.
        k: how many sources at most.
        frequency: how often the text shows each new token, where that is known.

    Raises:
        InputError: no such token; the nearest one is named.
    """
    found = Explanation(mixture.explain(token, k))
    row = mixture.target.tokens.index(token) if isinstance(token, str) else int(token)
    weights = mixture.weights.data[mixture.weights.indptr[row] : mixture.weights.indptr[row + 1]]
    found.token, found.id, found.method = mixture.target.tokens[row], row, mixture.method_of(row)
    found.parts, found.total = len(weights), float(np.abs(weights).sum())
    found.evidence = float(mixture.evidence[row])
    found.meaning = meaning_of(found.method)
    found.seen = None if frequency is None else int(frequency[row])
    found.basis = bool(found) and found[0][0] in mixture.basis_names
    found.finished = row in mixture.explicit_rows
    return found


def meaning_of(method: str) -> str:
    """Say what a method's evidence measures; empty where it is not a method's (specials, edits)."""
    known: Any = METHODS[method] if method in METHODS or "+" in method else None
    return "" if known is None else known.evidence
