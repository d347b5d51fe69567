"""Share of tokens that spell a single letter or digit, or nothing but the beginning of a word."""

from __future__ import annotations

import unicodedata

from vocab.compare.metric import Measured, Metric, Ratio
from vocab.view import SPACE, Kind


def measure(measured: Measured) -> Ratio:
    """Divide the tokens of one character by all tokens; punctuation, which stands alone anyhow, is left out."""
    forms = measured.view.forms

    def single(index: int) -> bool:
        bare = forms[index].removeprefix(SPACE)
        return not bare or (len(bare) == 1 and unicodedata.category(bare)[0] in "LMN")

    chosen = measured.where(single) & (measured.view.kind == Kind.PIECE)
    return Ratio(measured.count(chosen), measured.tokens)


SPEC = Metric(
    name="single_character_rate",
    summary="tokens that are one letter, mark or digit, or a lone word mark / tokens",
    unit="share of tokens",
    better="lower",
    paper="none; the summary is its definition",
    measure=measure,
)
