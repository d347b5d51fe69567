"""Share of words that are cut: words without the punctuation around them, in more than one piece."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide the words in several pieces by all words that have a letter or digit."""
    return Ratio(measured.cut, measured.cores)


SPEC = Metric(
    name="share_split",
    summary="words of more than one piece / words; punctuation around a word is taken off first",
    unit="share of words",
    better="lower",
    paper="Rust et al. 2021, section 4 (proportion of continued words)",
    measure=measure,
)
