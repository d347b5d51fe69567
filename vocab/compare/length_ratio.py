"""Length against the base tokenizer: how long the same text is in tokens."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio | None:
    """Divide the tokens by the base's tokens; None for the base itself."""
    return None if measured.base is None else Ratio(measured.tokens, measured.base.tokens)


SPEC = Metric(
    name="length_ratio",
    summary="tokens / tokens of the base tokenizer on the same text",
    unit="ratio; below 1 is shorter",
    better="lower",
    paper="Goldman et al. 2024 (compression against another tokenizer)",
    measure=measure,
)
