"""Share of the vocabulary that the text uses."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Resampled
from vocab.view import Kind


def measure(measured: Measured) -> Resampled:
    """Divide the pieces that occur by all pieces. No interval: a resampled text always shows fewer."""
    pieces = measured.view.kind <= Kind.BYTE
    return Resampled(float(pieces[measured.used].sum() / max(int(pieces.sum()), 1)))


SPEC = Metric(
    name="vocabulary_used",
    summary="different pieces in the text / pieces in the vocabulary, specials left out; grows with the text",
    unit="share of pieces",
    better="higher",
    paper="none; the summary is its definition",
    measure=measure,
)
