"""Bits per byte of a tiny language model: the same decoder trained on equal bytes with each tokenizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.compare.metric import Measured, Metric, Resampled
from vocab.fit import fit, seconds_expected


def measure(measured: Measured) -> Resampled:
    """Train on the text given for it, and score the compared text; the interval is over seeds."""
    found = fit(*_texts(measured), **_options(measured), progress=measured.given.get("progress"))
    return Resampled(float(np.mean(found.bits)), interval=found.interval)


def seconds(measured: Measured) -> float:
    """Say how long that will take."""
    return seconds_expected(*_texts(measured), **_options(measured))


def _texts(measured: Measured) -> tuple[Any, Any, Any]:
    train = measured.given.get("train")
    if train is None:
        raise InputError("bits_per_byte trains tiny models, and has no text to train them on", expected="train=: text")
    return measured.view, train, measured.text.lines


def _options(measured: Measured) -> dict[str, Any]:
    return {"seeds": measured.given.get("seeds", (0, 1, 2)), "options": measured.given.get("fit")}


SPEC = Metric(
    name="bits_per_byte",
    summary="bits that a tiny decoder, trained on equal bytes, needs for the text (its first 100,000 bytes), and 8 a "
    "byte for what is unknown / its bytes; mean of three seeds",
    unit="bits per byte",
    better="lower",
    paper="Goldman et al. 2024 (models that differ in their tokenizer only); bits per byte: Gao et al. 2020, section 3",
    measure=measure,
    asked=True,
    seconds=seconds,
)
