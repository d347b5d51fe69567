"""Share of tokens that are one byte of a character, because no piece has that character."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio
from vocab.view import Kind


def measure(measured: Measured) -> Ratio:
    """Divide the byte tokens by all tokens."""
    return Ratio(measured.count(measured.view.kind == Kind.BYTE), measured.tokens)


SPEC = Metric(
    name="byte_fallback_rate",
    summary="tokens that are one byte, no character of their own / tokens",
    unit="share of tokens",
    better="lower",
    paper="",
    measure=measure,
)
