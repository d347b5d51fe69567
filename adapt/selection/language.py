"""Lines of the language, told from lines of other languages by their characters.

Naive Bayes over runs of three characters, as langid.py (Lui & Baldwin 2012) has it over bytes; but the languages are
those at hand: the text itself, and each text of another language that was given. The text may hold a good part of
another language and still be told from it: what decides is how often a run occurs, and a text that is a third English
has each English run three times rarer than English has it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from adapt.selection.criterion import Criterion, Evidence, Judge, portions
from vocab.options import Options

_TABLE = 1 << 20  # counts; runs share one by chance
_SAMPLE = 4 << 20  # bytes of a text that are counted, spread over all of it
_RUN = 3


class LanguageOptions(Options):
    """Options of the filter by language."""

    margin: float = Field(5.0, ge=0)
    """Nats by which another language must explain a line better than the text itself for it to be dropped."""


def prepare(evidence: Evidence, options: LanguageOptions) -> Judge:
    """Make the filter: count the runs of three characters of the text and of each other language's."""
    counts = [_counts(path) for path in (evidence.text, *evidence.foreign)]
    # One occurrence in the smallest sample is the least that can be known: below it all texts count as alike.
    least = 1 / max(1, min(count.sum() for count in counts))
    own, *others = (np.log(count / max(1, count.sum()) + least) for count in counts)

    def judge(lines: list[str]) -> np.ndarray:
        runs, line = _runs(lines)
        kept = np.ones(len(lines), dtype=bool)
        for other in others:
            kept &= np.bincount(line, (other - own)[runs], minlength=len(lines)) <= options.margin
        return kept

    return judge


def _counts(path: Path) -> np.ndarray:
    """How often each run occurs in a text, (_TABLE,) float64."""
    counts = np.zeros(_TABLE)
    for lines in _sample(path):
        counts += np.bincount(_runs(lines)[0], minlength=_TABLE)
    return counts


def _sample(path: Path) -> Iterator[list[str]]:
    every = max(1, path.stat().st_size // _SAMPLE)
    for lines in portions(path):
        yield [line for line in lines if zlib.crc32(line.encode()) % every == 0]


def _runs(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Find the runs of lower-cased characters, line ends being white space: their numbers, and the line each is of."""
    lowered = [f"  {line.lower()} " for line in lines]
    points = np.frombuffer("".join(lowered).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    lengths = np.array([len(line) for line in lowered], dtype=np.int64)
    if len(points) < _RUN:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    mixed = np.zeros(len(points) - _RUN + 1, dtype=np.uint64)
    for place in range(_RUN):
        mixed = (mixed ^ points[place : len(points) - _RUN + 1 + place]) * np.uint64(0x9E3779B97F4A7C15)
    inside = np.ones(len(points), dtype=bool)
    for back in range(1, _RUN):  # runs that would reach into the next line
        inside[np.cumsum(lengths) - back] = False
    inside = inside[: len(mixed)]
    line = np.repeat(np.arange(len(lines)), lengths)[: len(mixed)]
    return (mixed >> np.uint64(44)).astype(np.int64)[inside], line[inside]


SPEC = Criterion(
    name="language",
    summary="Drops lines that a text of another language explains better",
    paper="Lui & Baldwin 2012, langid.py",
    options=LanguageOptions,
    kind="filter",
    needs="foreign",
    prepare=prepare,
)
