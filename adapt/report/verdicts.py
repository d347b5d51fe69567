"""Who is ahead, in sentences: paired comparisons of the arms, with noise called noise."""

from __future__ import annotations

from typing import Any

from adapt.evaluate.statistics import AHEAD, BEHIND, Comparison, compare
from adapt.report.read import ORDER, Column, System

# What people want to know of a run, in this order; arms of a study are compared with `adapted` besides.
PAIRS = (
    *(("adapted", "keep"), ("adapted", "source"), ("keep", "source")),
    *(("adapted", "scratch"), ("keep", "scratch"), ("source", "scratch")),
)


def verdicts_of(columns: list[Column]) -> list[dict[str, Any]]:
    """Compare arms with each other and the best arm with the best floor, task by task."""
    found = []
    for column in columns:
        names = {s.name for s in column.measured}
        arms = [s.name for s in column.measured if not s.is_floor]
        others = [name for name in arms if name not in ORDER]
        pairs = [*PAIRS, *((other, "adapted") for other in others)]
        floor = best_floor(column)
        if floor is not None:
            pairs += [(arm, floor.name) for arm in ("adapted",) if arm in names] or [(a, floor.name) for a in arms[-1:]]
        for a, b in pairs:
            if a in names and b in names:
                found.append(_verdict(column, column.systems[a], column.systems[b]))
    return found


def best_floor(column: Column) -> System | None:
    """Best system that needs no pretrained model."""
    sign = 1 if column.better == "higher" else -1
    floors = [s for s in column.measured if s.is_floor]
    return max(floors, key=lambda s: sign * (s.estimate.mean if s.estimate else 0), default=None)


def compare_systems(column: Column, a: System, b: System) -> Comparison:
    """Paired bootstrap of two systems of a column."""
    if a.draws is None or b.draws is None:
        raise ValueError(f"{a.name} or {b.name} has no score to compare")
    return compare(a.draws, b.draws, better=column.better)


def tied_with_best(column: Column) -> set[str]:
    """Names of the systems that cannot be told from the best one, itself left out."""
    best = column.best
    if best is None:
        return set()
    return {
        s.name
        for s in column.measured
        if s is not best and compare_systems(column, best, s).verdict not in (AHEAD, BEHIND)
    }


def number(value: float, column: Column, signed: bool = False) -> str:
    """Write a number as it stands in the table: one decimal for points, three for bits."""
    text = f"{value:{'+' if signed else ''}.{1 if column.scale == 100 else 3}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _verdict(column: Column, a: System, b: System) -> dict[str, Any]:
    found = compare_systems(column, a, b)
    unit = "points" if column.unit == "%" else column.unit
    size = number(abs(found.difference), column)
    ends = sorted(abs(x) for x in (found.low, found.high))
    between = f"95 % interval {number(ends[0], column)} to {number(ends[1], column)}"
    first, second = _name(a), _name(b)
    if found.verdict == AHEAD:
        text = f"{column.title}: {first} is ahead of {second} by {size} {unit} ({between})."
    elif found.verdict == BEHIND:
        text = f"{column.title}: {first} is behind {second} by {size} {unit} ({between})."
    else:
        between = f"95 % interval {number(found.low, column, True)} to {number(found.high, column, True)}"
        difference = number(found.difference, column, True)
        text = f"{first} and {second} are not distinguishable; {difference} {unit} may be noise ({between})."
        text = f"{column.title}: {text}"
    return {
        "task": column.key,
        "a": a.name,
        "b": b.name,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "verdict": found.verdict,
        "text": text,
    }


def _name(system: System) -> str:
    return f"the best floor ({system.note or system.name})" if system.is_floor else system.name
