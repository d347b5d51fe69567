"""Lines that say something new: rare words and word pairs count, less each time the text has shown them.

Feature decay (Biçici & Yuret 2011) chooses sentences greedily, a feature losing worth each time it is covered. Here in
one pass: a line's features are worth what the text before it has left of them. Counts are kept in tables of fixed size
(80 MB), where features may share one by chance, so that memory does not grow with the text. Names, numbers and misspelt
words are rare too: filter first.
"""

from __future__ import annotations

import zlib

import numpy as np
from pydantic import Field

from adapt.selection.criterion import Criterion, Evidence, Judge
from corpora.text import words
from vocab.options import Options

_TABLE = 1 << 24


class DiversityOptions(Options):
    """Options of diversity."""

    decay: float = Field(0.5, gt=0, lt=1)
    """What a word or pair is still worth each time it was shown."""


def prepare(evidence: Evidence, options: DiversityOptions) -> Judge:
    """Make the ranking: count the words and word pairs of the text."""
    counts = np.zeros(_TABLE, dtype=np.uint32)
    total = 0
    for portion in evidence.portions():
        for line in portion:
            features = _features(line)
            np.add.at(counts, features, 1)
            total += len(features)
    shown = np.zeros(_TABLE, dtype=np.uint8)

    def novelty(line: str) -> float:
        features = _features(line)
        if not len(features):
            return 0.0
        worth = np.log(total / counts[features]) * options.decay ** shown[features]
        shown[features] += shown[features] < 255
        return float(worth.mean())

    return lambda lines: np.array([novelty(line) for line in lines], dtype=np.float32)


def _features(line: str) -> np.ndarray:
    """Places of a line's words and neighbouring pairs in the tables."""
    own = np.array([zlib.crc32(word.encode()) for word in words(line)], dtype=np.uint64)
    pairs = (own[:-1] * np.uint64(0x9E3779B97F4A7C15) ^ own[1:]) * np.uint64(0xC2B2AE3D27D4EB4F) >> np.uint64(40)
    return np.concatenate([own & np.uint64(_TABLE - 1), pairs]).astype(np.int64)


SPEC = Criterion(
    name="diversity",
    summary="Keeps the lines with rare words and word pairs that the text has not shown yet",
    paper="Biçici & Yuret 2011",
    options=DiversityOptions,
    kind="ranking",
    needs="",
    prepare=prepare,
)
