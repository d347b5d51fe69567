"""Share of tokens that are bytes of a character, because no piece has that character whole."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio
from vocab.view import Kind


def measure(measured: Measured) -> Ratio:
    """Divide the tokens that hold a part of a character by all tokens."""
    view, partial = measured.view, measured.view.kind == Kind.BYTE
    if view.family == "byte-level":
        text, pieces = view.text, view.kind == Kind.PIECE
        odd = [n for n in measured.used[pieces[measured.used]].tolist() if not text[n].isascii()]
        partial[[n for n in odd if "\ufffd" in text[n].decode("utf-8", "replace")]] = True
    return Ratio(measured.count(partial), measured.tokens)


SPEC = Metric(
    name="byte_fallback_rate",
    summary="tokens that are bytes of a character and not the whole of it / tokens",
    unit="share of tokens",
    better="lower",
    paper="Touvron et al. 2023, LLaMA, section 2.1 (bytes for characters that have no piece)",
    measure=measure,
)
