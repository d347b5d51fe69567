"""Share of tokens that spell a single letter or digit, or nothing but the beginning of a word."""

from __future__ import annotations

import unicodedata

import numpy as np

from vocab.compare.metric import Measured, Metric, Ratio
from vocab.view import SPACE, Kind


def measure(measured: Measured) -> Ratio:
    """Divide the tokens of one character by all tokens; punctuation, which stands alone anyhow, is left out."""
    view = measured.view
    bare = [form.removeprefix(SPACE) for form in view.forms]
    single = [not text or (len(text) == 1 and unicodedata.category(text)[0] in "LMN") for text in bare]
    return Ratio(measured.count(np.array(single, dtype=bool) & (view.kind == Kind.PIECE)), measured.tokens)


SPEC = Metric(
    name="single_character_rate",
    summary="tokens that are one letter, mark or digit, or a lone word mark / tokens",
    unit="share of tokens",
    better="lower",
    paper="",
    measure=measure,
)
