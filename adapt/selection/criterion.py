"""What a criterion of selection declares, and the registry that finds the criteria of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from corpora.text import read_lines
from vocab.options import Options
from vocab.registry import Registry

PORTION = 4096  # lines that are judged at a time

Judge = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Evidence:
    """What a criterion may read before it judges.

    Attributes:
        text: the text that is selected from, clean, one sentence or paragraph a line.
        like: texts that the lines should be like, such as those of the tasks.
        foreign: texts of other languages.
    """

    text: Path
    like: tuple[str, ...] = ()
    foreign: tuple[Path, ...] = ()

    def portions(self) -> Iterator[list[str]]:
        """Lines of the text, some thousand at a time."""
        return portions(self.text)


def portions(path: Path) -> Iterator[list[str]]:
    """Lines of a file that are not empty, some thousand at a time."""
    lines = read_lines(path)
    return iter(partial(_next, lines), [])


def _next(lines: Iterator[str]) -> list[str]:
    return list(islice(lines, PORTION))


@dataclass(frozen=True)
class Criterion:
    """One way to judge lines.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year, section.
        options: its options model.
        kind: a `filter` says which lines are kept, a `ranking` how good each is.
        needs: what of the evidence it cannot do without; empty when nothing.
        prepare: `(evidence, options) -> judge`; the judge takes lines in the order of the text, each once, and gives
            (lines,) bool when a filter, (lines,) float32 of at least 0 when a ranking, higher being better.
    """

    name: str
    summary: str
    paper: str
    options: type[Options]
    kind: Literal["filter", "ranking"]
    needs: Literal["", "like", "foreign"]
    prepare: Callable[[Evidence, Any], Judge]


CRITERIA: Registry[Criterion] = Registry("adapt.selection", "criterion")
