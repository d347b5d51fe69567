"""Recall of boundaries: morpheme boundaries at which the tokenizer cuts."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio | None:
    """Divide the right cuts by all morpheme boundaries; None without morphemes."""
    found = measured.boundaries
    return None if found is None else Ratio(found.both, found.morphemes)


SPEC = Metric(
    name="morpheme_recall",
    summary="morpheme boundaries of the given words that are piece boundaries / morpheme boundaries",
    unit="share of morpheme boundaries",
    better="higher",
    paper="Creutz and Lindén 2004, Morpheme Segmentation Gold Standards, section 4 (boundary recall)",
    measure=measure,
)
