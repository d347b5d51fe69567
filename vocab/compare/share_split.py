"""Share of words that are cut: words without the punctuation around them, in more than one piece."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide the words in several pieces by all words that have a letter or digit."""
    core, occurrences = measured.text.core, measured.text.occurrences
    several = np.where(core >= 0, measured.words.lengths[core] > 1, False)
    return Ratio(occurrences @ several.astype(np.float64), occurrences @ (core >= 0).astype(np.float64))


SPEC = Metric(
    name="share_split",
    summary="words of more than one piece / words; signs around a word are taken off first, but for the apostrophe "
    "of a word that mostly begins with one",
    unit="share of words",
    better="lower",
    paper="Rust et al. 2021, section 4 (proportion of continued words)",
    measure=measure,
)
