"""Characters of the text for each token, spaces included."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide all characters by all tokens."""
    return Ratio(measured.text.totals["characters"], measured.tokens)


SPEC = Metric(
    name="characters_per_token",
    summary="code points of the text, spaces included / tokens",
    unit="characters per token",
    better="higher",
    paper="Limisiewicz et al. 2023, Tokenization Impacts Multilingual Language Modeling (characters per token)",
    measure=measure,
)
