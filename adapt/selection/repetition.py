"""Lines that do not repeat themselves: lists, menus and broken extractions say the same words again and again.

Rae et al. 2021 (Gopher, appendix A) drop documents by the share of their n-grams that are repeated; here it is that of
a line's pairs of neighbouring words.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from adapt.selection.criterion import Criterion, Evidence, Judge
from corpora.text import words
from vocab.options import Options


class RepetitionOptions(Options):
    """Options of the filter by repetition."""

    max_share: float = Field(0.3, ge=0, lt=1)
    """Largest share of a line's word pairs that occurred in it before."""


def prepare(evidence: Evidence, options: RepetitionOptions) -> Judge:
    """Make the filter; it needs no evidence."""

    def repeated(line: str) -> float:
        parts = words(line)
        pairs = list(zip(parts, parts[1:], strict=False))
        return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0

    return lambda lines: np.array([repeated(line) <= options.max_share for line in lines], dtype=bool)


SPEC = Criterion(
    name="repetition",
    summary="Drops lines that repeat their own words",
    paper="Rae et al. 2021, Gopher, appendix A",
    options=RepetitionOptions,
    kind="filter",
    needs="",
    prepare=prepare,
)
