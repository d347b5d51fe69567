"""Share of tokens that are the unknown token: what they stood for is lost."""

from __future__ import annotations

import numpy as np

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Divide the unknown tokens by all tokens; a run of unknown characters may be one token."""
    chosen = np.zeros(len(measured.view), dtype=bool)
    if "unk" in measured.view.roles and measured.view.family != "byte-level":
        chosen[measured.view.roles["unk"]] = True
    return Ratio(measured.count(chosen), measured.tokens)


SPEC = Metric(
    name="unknown_rate",
    summary="unknown tokens / tokens",
    unit="share of tokens",
    better="lower",
    paper="Rust et al. 2021 (proportion of unknown tokens)",
    measure=measure,
)
