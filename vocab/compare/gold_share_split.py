"""Share of the words that people cut which are in more than one piece."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio | None:
    """Divide the gold words in several pieces by all; None without gold words."""
    return None if measured.gold is None else Ratio(measured.gold.split, measured.gold.words)


SPEC = Metric(
    name="gold_share_split",
    summary="given words of more than one piece / given words",
    unit="share of words",
    better="lower",
    paper="Rust et al. 2021, section 4 (proportion of continued words)",
    measure=measure,
)
