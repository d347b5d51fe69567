"""Lines that differ from an earlier one in digits alone: page numbers, dates of posts, counters.

Wenzek et al. 2020 (CCNet) compare paragraphs lower-cased, digits replaced by one of them and punctuation taken out, and
keep the first. What was seen is kept in a Bloom filter (Bloom 1970) of fixed size, 64 MB: among ten million lines less
than one in a thousand is dropped by mistake.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

from adapt.selection.criterion import Criterion, Evidence, Judge
from corpora.text import letters
from vocab.options import Options

_BITS = 29
_DIGITS = re.compile(r"\d+")


class BoilerplateOptions(Options):
    """Options of the filter by boilerplate: none."""


def prepare(evidence: Evidence, options: BoilerplateOptions) -> Judge:
    """Make the filter; it needs no evidence."""
    table = np.zeros(1 << (_BITS - 3), dtype=np.uint8)

    def new(line: str) -> bool:
        form = _DIGITS.sub("0", letters(line))
        number = int.from_bytes(hashlib.blake2b(form.encode(), digest_size=8).digest(), "big")
        places = [number >> 32 & (1 << _BITS) - 1, number & (1 << _BITS) - 1]
        found = all(table[place >> 3] >> (place & 7) & 1 for place in places)
        for place in places:
            table[place >> 3] |= np.uint8(1 << (place & 7))
        return not found

    return lambda lines: np.array([new(line) for line in lines], dtype=bool)


SPEC = Criterion(
    name="boilerplate",
    summary="Drops lines that differ from an earlier one in digits alone",
    paper="Wenzek et al. 2020, CCNet",
    options=BoilerplateOptions,
    kind="filter",
    needs="",
    prepare=prepare,
)
