"""Share of lines that come back when their tokens are decoded."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide the lines that came back by the lines that were tried."""
    lines = len(measured.words)
    above, below = np.zeros(lines), np.zeros(lines)
    above[measured.sampled] = measured.returned
    below[measured.sampled] = 1
    return Ratio(above, below)


SPEC = Metric(
    name="round_trip",
    summary="lines equal to their decoded tokens, white space and Unicode normal form aside / lines (2,000 are tried)",
    unit="share of lines",
    better="higher",
    paper="",
    measure=measure,
)
