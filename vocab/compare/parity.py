"""Parity: how many more tokens a sentence takes than its translation (Petrov et al. 2023)."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio | None:
    """Divide the tokens of the text by those of its other side, over all languages; None without parallel text."""
    if not measured.parallel:
        return None
    first, second = (np.concatenate(side) for side in zip(*measured.parallel.values(), strict=True))
    return Ratio(first, second)


SPEC = Metric(
    name="parity",
    summary="tokens of the parallel text's first side / tokens of its second side",
    unit="ratio; 1 is even",
    better="lower",
    paper="Petrov et al. 2023, Language Model Tokenizers Introduce Unfairness Between Languages, section 3",
    measure=measure,
)
