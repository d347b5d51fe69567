"""Precision of boundaries: cuts inside words that fall between morphemes."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio | None:
    """Divide the right cuts by all cuts; None without morphemes."""
    found = measured.boundaries
    return None if found is None else Ratio(found.both, found.pieces)


SPEC = Metric(
    name="morpheme_precision",
    summary="piece boundaries inside the given words that are morpheme boundaries / piece boundaries",
    unit="share of piece boundaries",
    better="higher",
    paper="Creutz and Lindén 2004, Morpheme Segmentation Gold Standards, section 4 (boundary precision)",
    measure=measure,
)
