"""Fertility: tokens for each word between white space; punctuation counts for the word it stands at."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide all tokens by all words."""
    return Ratio(measured.tokens, measured.text.totals["words"])


SPEC = Metric(
    name="fertility",
    summary="tokens / words; words are what stands between white space",
    unit="tokens per word",
    better="lower",
    paper="Ács 2019; Rust et al. 2021, section 4",
    measure=measure,
)
