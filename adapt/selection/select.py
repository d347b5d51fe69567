"""Select lines of a text: filters in the order given, then the best by one ranking; told is what was dropped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from adapt.selection.criterion import CRITERIA, Evidence, Judge
from lexigraft import InputError
from vocab.options import Options, options_of

CriterionOptions: Any = options_of(CRITERIA, "CriterionOptions")

_FILTERS: list[Any] = [criterion.name for criterion in CRITERIA if criterion.kind == "filter"]
_RANKINGS: list[Any] = [criterion.name for criterion in CRITERIA if criterion.kind == "ranking"]
_EXAMPLES, _SHOWN = 3, 160
_ROUGH = 12  # bits of a score that do not count


class Select(Options):
    """Which lines of the training text are used; held-out text is left as it is."""

    filters: list[str] = Field(default_factory=list, json_schema_extra={"examples": [_FILTERS]})
    """Filters by name, in the order in which they drop lines."""
    by: str | None = Field(None, json_schema_extra={"examples": _RANKINGS})
    """Ranking of which the best lines are kept, in the order of the text."""
    share: float | None = Field(None, gt=0, lt=1)
    """Share of the characters that the ranking keeps."""
    characters: int | None = Field(None, gt=0)
    """Characters that the ranking keeps."""
    like: list[Path] = Field(default_factory=list)
    """Texts that the lines should be like, for rankings that need some; nothing means the training files of the
    tasks."""
    options: CriterionOptions = Field(default_factory=CriterionOptions)
    """Options of the criteria."""

    @field_validator("filters")
    @classmethod
    def _are_filters(cls, names: list[str]) -> list[str]:
        return [_of_kind(name, "filter", _FILTERS) for name in names]

    @field_validator("by")
    @classmethod
    def _is_ranking(cls, name: str | None) -> str | None:
        return None if name is None else _of_kind(name, "ranking", _RANKINGS)

    @model_validator(mode="after")
    def _how_much(self) -> Select:
        given = (self.share is not None) + (self.characters is not None)
        if given != (self.by is not None):
            raise ValueError("a ranking (`by`) needs one of `share` and `characters`, which belong to no other")
        return self

    @property
    def needs(self) -> dict[str, str]:
        """What the chosen criteria cannot do without, and which of them."""
        names = [*self.filters, *([self.by] if self.by else [])]
        return {CRITERIA[name].needs: name for name in names if CRITERIA[name].needs}

    @property
    def wanted(self) -> bool:
        """Whether anything is selected."""
        return bool(self.filters or self.by)


def _of_kind(name: str, kind: str, known: list[str]) -> str:
    if CRITERIA[name].kind != kind:
        raise ValueError(f"{name!r} is no {kind}, known: {', '.join(known)}")
    return name


@dataclass
class _Tally:
    """Lines and characters, and the first few lines as examples."""

    lines: int = 0
    characters: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.lines += 1
            self.characters += len(line)
            if len(self.examples) < _EXAMPLES:
                self.examples.append(line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…")

    @property
    def facts(self) -> dict[str, Any]:
        return {"lines": self.lines, "characters": self.characters, "examples": self.examples}


def select(evidence: Evidence, options: Select) -> dict[str, Any]:
    """Leave only the selected lines in a text.

    Reads it a few times, from beginning to end; memory does not grow with it.

    Args:
        evidence: the text, which is replaced, and what the criteria may read.
        options: what is kept.

    Returns:
        `kept`, and `dropped` by each criterion: lines, characters, examples; of a ranking also `border`, the score that
        lines were kept from.

    Raises:
        InputError: nothing is left.
    """
    dropped: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=evidence.text.parent) as temporary:
        left = replace(evidence, text=Path(temporary) / "left.txt")
        kept = _write(left.text, _filtered(evidence, options, dropped))
        if options.by and kept.lines:
            best = Path(temporary) / "best.txt"
            kept = _write(best, _ranked(left, options, dropped, Path(temporary) / "scores.bin"))
            os.replace(best, left.text)
        if not kept.lines:
            counts = ", ".join(f"{name} dropped {facts['lines']} lines" for name, facts in dropped.items())
            raise InputError("selection leaves no text", file=evidence.text, found=counts)
        os.replace(left.text, evidence.text)
    return {"kept": kept.facts, "dropped": dropped}


def _write(path: Path, portions: Iterable[list[str]]) -> _Tally:
    tally = _Tally()
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for lines in portions:
            tally.add(lines)
            handle.writelines(f"{line}\n" for line in lines)
    return tally


def _judge(name: str, evidence: Evidence, options: Select) -> Judge:
    return CRITERIA[name].prepare(evidence, getattr(options.options, name.replace("-", "_")))


def _filtered(evidence: Evidence, options: Select, dropped: dict[str, Any]) -> Iterator[list[str]]:
    judges = {name: _judge(name, evidence, options) for name in options.filters}
    tallies = {name: _Tally() for name in judges}
    for lines in evidence.portions():
        for name, judge in judges.items():
            keep = judge(lines)
            tallies[name].add(compress(lines, ~keep))
            lines = list(compress(lines, keep))
        yield lines
    dropped |= {name: tally.facts for name, tally in tallies.items()}


def _ranked(evidence: Evidence, options: Select, dropped: dict[str, Any], scores: Path) -> Iterator[list[str]]:
    """Yield the best lines; where many have the score at the border, the first of them."""
    name = options.by or ""
    judge = _judge(name, evidence, options)
    characters = np.zeros(1 << (32 - _ROUGH), dtype=np.int64)  # by score
    with scores.open("wb") as handle:
        for lines in evidence.portions():
            found = _bins(judge(lines))
            np.add.at(characters, found, [len(line) for line in lines])
            handle.write(found.tobytes())
    budget = options.characters or round((options.share or 1) * int(characters.sum()))
    above = np.cumsum(characters[::-1])[::-1]  # characters of lines with this score or a better one
    border = int(np.flatnonzero(above >= min(budget, above[0]))[-1])
    room = budget - int(above[border] - characters[border])
    tally = _Tally()
    with scores.open("rb") as handle:
        for lines in evidence.portions():
            found = np.fromfile(handle, dtype=np.uint32, count=len(lines))
            keep = found > border
            for place in np.flatnonzero(found == border):
                room -= len(lines[place])
                keep[place] = room >= 0
            tally.add(compress(lines, ~keep))
            yield list(compress(lines, keep))
    dropped[name] = {**tally.facts, "border": float(np.uint32(border << _ROUGH).view(np.float32))}


def _bins(scores: np.ndarray) -> np.ndarray:
    """Turn scores into whole numbers of the same order (floats of one sign sort as their bits), equal to 1 in 2,048."""
    return scores.astype(np.float32).view(np.uint32) >> np.uint32(_ROUGH)
