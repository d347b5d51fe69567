"""Encoding speed: text through the tokenizer as it is, on this machine, on one batch after another."""

from __future__ import annotations

import time

from vocab.compare.metric import Measured, Metric, Resampled

_LEAST = 1.0


def measure(measured: Measured) -> Resampled:
    """Encode the sampled lines again and again for a second, and take the fastest round: others are the machine's."""
    lines = measured.text.sample
    size = sum(len(line.encode("utf-8", "surrogatepass")) for line in lines)
    best, spent = float("inf"), 0.0
    while spent < _LEAST:
        start = time.perf_counter()
        measured.view.backend.encode_batch_fast(lines, add_special_tokens=False)
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds), spent + seconds
    return Resampled(size / best / 1e6)


SPEC = Metric(
    name="encode_speed",
    summary="bytes of up to 2,000 sampled lines / seconds of the fastest of several encodings on this machine",
    unit="MB per second",
    better="higher",
    paper="Kudo and Richardson 2018, SentencePiece, section 4.2 (speed of segmentation)",
    measure=measure,
    asked=True,
)
