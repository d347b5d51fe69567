"""Share of tokens that are bytes of a character, because no piece has that character whole."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio
from vocab.view import Kind


def measure(measured: Measured) -> Ratio:
    """Divide the tokens that hold a part of a character by all tokens."""
    view = measured.view

    def partial(index: int) -> bool:
        if view.kind[index] == Kind.PIECE and view.family == "byte-level":
            return "\ufffd" in view.text[index].decode("utf-8", "replace")
        return bool(view.kind[index] == Kind.BYTE)

    return Ratio(measured.count(measured.where(partial)), measured.tokens)


SPEC = Metric(
    name="byte_fallback_rate",
    summary="tokens that are bytes of a character and not the whole of it / tokens",
    unit="share of tokens",
    better="lower",
    paper="",
    measure=measure,
)
