"""Lines made of letters of the language's script, not of symbols, numbers or another script.

The share of letters is a common filter (in Laurençon et al. 2022, ROOTS, as the ratio of special characters); Kreutzer
et al. 2022 (Quality at a Glance) found text that is no language, or another one, in corpora of many languages.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

import numpy as np
from pydantic import Field

from adapt.selection.criterion import Criterion, Evidence, Judge
from vocab.options import Options
from vocab.transplant.reinit import script_of


@lru_cache(maxsize=65536)
def _kind(character: str) -> str:
    """Script of a letter, `none` for other characters, nothing for white space and marks."""
    return "" if unicodedata.category(character)[0] in "ZM" else script_of(character)


class LettersOptions(Options):
    """Options of the filter by letters."""

    min_letters: float = Field(0.6, ge=0, le=1)
    """Least share of a line's characters, white space and marks not counted, that are letters."""
    min_script: float = Field(0.9, ge=0, le=1)
    """Least share of a line's letters that are of the script."""
    script: str | None = None
    """First word of the Unicode names of the script's letters (`LATIN`, `ETHIOPIC`, `ARABIC`); nothing means that of
    most letters of the text."""


def prepare(evidence: Evidence, options: LettersOptions) -> Judge:
    """Make the filter: read the first lines of the text to see its script."""
    script = options.script.upper() if options.script else script_of("".join(next(evidence.portions())))

    def keeps(line: str) -> bool:
        counts: Counter[str] = Counter(_kind(character) for character in line)
        letters = counts.total() - counts[""] - counts["none"]
        return (
            letters > 0
            and letters >= options.min_letters * (letters + counts["none"])
            and counts[script] >= options.min_script * letters
        )

    return lambda lines: np.array([keeps(line) for line in lines], dtype=bool)


SPEC = Criterion(
    name="letters",
    summary="Drops lines of symbols and numbers, and lines in another script",
    paper="Laurençon et al. 2022, ROOTS; Kreutzer et al. 2022",
    options=LettersOptions,
    kind="filter",
    needs="",
    prepare=prepare,
)
