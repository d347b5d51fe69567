"""Parity: how many more tokens a sentence takes than its translation (Petrov et al. 2023)."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Resampled, Weights, divide


def measure(measured: Measured) -> Resampled | None:
    """Divide the tokens of the text by those of its other side, over all languages; None without parallel text.

    Each language is resampled apart, so that the interval is not that of which languages there are.
    """
    sides = list(measured.parallel.values())
    if not sides:
        return None

    def resample(draw: Weights) -> np.ndarray:
        drawn = [draw(len(first), stream) for stream, (first, _) in enumerate(sides)]
        above, below = (sum(w @ pair[n] for w, pair in zip(drawn, sides, strict=True)) for n in (0, 1))
        return divide(np.asarray(above), np.asarray(below))

    return Resampled(sum(float(a.sum()) for a, _ in sides) / sum(float(b.sum()) for _, b in sides), resample)


SPEC = Metric(
    name="parity",
    summary="tokens of the parallel text's first side / tokens of its second side",
    unit="ratio; 1 is even",
    better="neither",
    paper="Petrov et al. 2023, Language Model Tokenizers Introduce Unfairness Between Languages, section 3",
    measure=measure,
)
