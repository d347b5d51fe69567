"""Overlap: share of the pieces that the base tokenizer has too."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Resampled
from vocab.view import Kind


def measure(measured: Measured) -> Resampled | None:
    """Divide the pieces that the base has in the same form by all pieces; None for the base itself."""
    if measured.base is None:
        return None
    shared = shared_with_base(measured)
    return Resampled(float(shared.sum() / max(int((measured.view.kind <= Kind.BYTE).sum()), 1)))


def shared_with_base(measured: Measured) -> np.ndarray:
    """Mark the pieces whose canonical form the base tokenizer has, bool (ids of the vocabulary,)."""
    view, known = measured.view, measured.base.view.ids if measured.base is not None else {}
    shared = np.zeros(len(view), dtype=bool)
    pieces = np.flatnonzero(view.kind <= Kind.BYTE).tolist()
    shared[[index for index in pieces if view.forms[index] in known]] = True
    return shared


SPEC = Metric(
    name="overlap",
    summary="pieces that the base tokenizer has too / pieces, specials left out",
    unit="share of pieces",
    better="neither",
    paper="Dobler and de Melo 2023, FOCUS, section 3.1 (overlap)",
    measure=measure,
)
