"""Bytes of the text for each token: compression, which compares across scripts."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide all UTF-8 bytes by all tokens."""
    return Ratio(measured.text.totals["bytes"], measured.tokens)


SPEC = Metric(
    name="bytes_per_token",
    summary="UTF-8 bytes of the text, spaces included / tokens",
    unit="bytes per token",
    better="higher",
    paper="Goldman et al. 2024 (compression)",
    measure=measure,
)
