"""Fertility over words that people cut: a treebank's, not white space's."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio | None:
    """Divide the tokens of gold words, each cut alone behind a space, by their number; None without gold words."""
    return None if measured.gold is None else Ratio(measured.gold.tokens, measured.gold.words)


SPEC = Metric(
    name="gold_fertility",
    summary="tokens of the given words, each alone / words",
    unit="tokens per word",
    better="lower",
    paper="Ács 2019; Rust et al. 2021, section 4",
    measure=measure,
)
