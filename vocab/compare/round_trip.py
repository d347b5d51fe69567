"""Share of lines that come back when their tokens are decoded."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide the lines that came back by the lines that were tried."""
    blocks, place = measured.text.blocks, measured.text.sample_blocks
    return Ratio(np.bincount(place, weights=measured.returned, minlength=blocks), np.bincount(place, minlength=blocks))


SPEC = Metric(
    name="round_trip",
    summary="lines equal to their decoded tokens, white space and normal form aside / lines (up to 2,000 are tried)",
    unit="share of lines",
    better="higher",
    paper="Kudo and Richardson 2018, SentencePiece, section 3.1 (lossless tokenization)",
    measure=measure,
)
