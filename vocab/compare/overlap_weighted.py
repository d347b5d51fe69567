"""Overlap weighted by frequency: share of the text's tokens that the base tokenizer has too."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio
from vocab.compare.overlap import shared_with_base


def measure(measured: Measured) -> Ratio | None:
    """Divide the tokens whose piece the base has by all tokens; None for the base itself."""
    if measured.base is None:
        return None
    return Ratio(measured.count(shared_with_base(measured)), measured.tokens)


SPEC = Metric(
    name="overlap_weighted",
    summary="tokens whose piece the base tokenizer has too / tokens",
    unit="share of tokens",
    better="neither",
    paper="Dobler and de Melo 2023, FOCUS, section 3.1 (overlap)",
    measure=measure,
)
