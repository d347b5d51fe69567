"""Graphemes of the text for each token: what a reader calls letters, accents and all."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide all extended grapheme clusters by all tokens."""
    return Ratio(measured.text.totals["graphemes"], measured.tokens)


SPEC = Metric(
    name="graphemes_per_token",
    summary="extended grapheme clusters of the text, spaces included / tokens",
    unit="graphemes per token",
    better="higher",
    paper="Unicode Standard Annex 29, section 3 (clusters)",
    measure=measure,
)
