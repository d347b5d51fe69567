"""Lines of a sensible length, of words of a sensible length.

Raffel et al. 2020 (C4, section 2.2) drop lines of few words, Rae et al. 2021 (Gopher, appendix A) documents whose words
are too short or too long on the average; their 3 to 10 letters are English, so the bounds here are wider.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from adapt.selection.criterion import Criterion, Evidence, Judge
from vocab.options import Options


class LengthOptions(Options):
    """Options of the filter by length."""

    min_words: int = Field(3, ge=1)
    """Fewest words of a line."""
    max_characters: int = Field(10_000, ge=1)
    """Most characters of a line."""
    min_word_length: float = Field(2.0, gt=0)
    """Least mean length of a line's words, in characters."""
    max_word_length: float = Field(20.0, gt=0)
    """Largest mean length of a line's words, in characters."""


def prepare(evidence: Evidence, options: LengthOptions) -> Judge:
    """Make the filter; it needs no evidence."""

    def judge(lines: list[str]) -> np.ndarray:
        characters = np.array([len(line) for line in lines])
        words = np.array([line.count(" ") + 1 for line in lines])
        mean = (characters - words + 1) / words
        return (
            (words >= options.min_words)
            & (characters <= options.max_characters)
            & (mean >= options.min_word_length)
            & (mean <= options.max_word_length)
        )

    return judge


SPEC = Criterion(
    name="length",
    summary="Drops lines of few words, very long lines, and lines whose words are too short or too long",
    paper="Raffel et al. 2020, C4, section 2.2; Rae et al. 2021, Gopher, appendix A",
    options=LengthOptions,
    kind="filter",
    needs="",
    prepare=prepare,
)
