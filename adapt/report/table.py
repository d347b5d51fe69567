"""The table arm x task: table.json for screens, scores.csv for analysis, a rich table for the terminal."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from adapt.evaluate.statistics import Draws, interval
from adapt.report.read import ARMS, Column, System, label_of
from adapt.report.verdicts import number, tied_with_best

FIELDS = ("arm", "task", "metric", "unit", "better", "seed", "value", "low", "high", "n", "mode", "note")


def rows_of(columns: list[Column]) -> list[dict[str, Any]]:
    """Make the table's rows: arms first, then floors; a cell for each column that has one."""
    names: dict[str, str] = {}
    for column in columns:
        for name, system in column.systems.items():
            names.setdefault(name, label_of(name, system.note))
    ordered = [n for n in names if not n.startswith("floor-")] + [n for n in names if n.startswith("floor-")]
    tied = {column.key: tied_with_best(column) for column in columns}
    rows = []
    for name in ordered:
        cells = {
            column.key: _cell(column, column.systems[name], name in tied[column.key])
            for column in columns
            if name in column.systems
        }
        what = ARMS.get(name, "needs no pretrained model" if name.startswith("floor-") else "")
        rows.append({"arm": name, "label": names[name], "what": what, "cells": cells})
    return rows


def _cell(column: Column, system: System, tied: bool) -> dict[str, Any]:
    note = "" if system.is_floor else system.note
    seeds = sorted(system.scores)
    if system.estimate is None:
        return {"mean": None, "low": None, "high": None, "seeds": seeds, "text": "–", "note": note or "not measured",
                "best": False, "tied": False}  # fmt: skip
    e = system.estimate
    text = f"{number(e.mean, column)} [{number(e.low, column)}, {number(e.high, column)}]"
    best = column.best is system
    return {"mean": e.mean, "low": e.low, "high": e.high, "seeds": seeds, "text": text, "note": note, "best": best,
            "tied": tied}  # fmt: skip


def write_csv(file: Path, columns: list[Column]) -> None:
    """Write scores.csv: one line a seed and metric, and one line `mean` with the interval of the main metric.

    Values are in the unit of their line. `low` and `high` of a seed cover the test set alone; those of the mean cover
    seeds and test set.
    """
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, FIELDS, lineterminator="\n")
        writer.writeheader()
        for column in columns:
            for system in column.systems.values():
                writer.writerows(_lines(column, system))


def _lines(column: Column, system: System) -> list[dict[str, Any]]:
    base = {"arm": system.name, "task": column.key, "unit": column.unit, "better": column.better, "note": system.note}
    lines = []
    for position, (seed, one) in enumerate(system.scores.items()):
        line = {**base, "seed": seed, "n": one.get("n_test"), "mode": one.get("mode")}
        metrics = {k: v * column.scale for k, v in one.get("metrics", {}).items()}
        if column.scale != 100:  # language modelling: the words that all arms could score, not this arm's own
            metrics = {}
            line["n"] = column.facts.get("words_used")
        if system.draws is not None:
            own = interval(Draws(system.draws.point[[position]], system.draws.draws[[position]]))
            metrics[column.metric] = own.mean
            line |= {"low": _round(own.low), "high": _round(own.high)}
        if not metrics:
            lines.append({**line, "metric": column.metric})
        for metric, value in sorted(metrics.items(), key=lambda pair: pair[0] != column.metric):
            bounds = {} if metric == column.metric else {"low": None, "high": None}
            lines.append({**line, **bounds, "metric": metric, "value": _round(value)})
    if system.estimate is not None:
        e = system.estimate
        mean = {**base, "seed": "mean", "metric": column.metric, "value": _round(e.mean), "low": _round(e.low),
                "high": _round(e.high), "n": lines[0]["n"], "mode": lines[0]["mode"]}  # fmt: skip
        lines.append(mean)
    return lines


def _round(value: float) -> float:
    return round(float(value), 6)


def terminal(table: dict[str, Any]) -> Any:
    """Draw table.json for the terminal with rich: table, gains, who is ahead."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(
        title=table.get("title"), title_style="bold", title_justify="left", header_style="bold", pad_edge=False
    )
    grid.add_column("")
    units, titles = table.get("units", {}), table.get("titles", {})
    for key in table["columns"]:
        grid.add_column(Text.assemble(titles.get(key, key), "\n", (units.get(key, ""), "dim")), justify="right")
    last = None
    for row in table["rows"]:
        floor = row["arm"].startswith("floor-")
        if last is False and floor:
            grid.add_section()
        last = floor
        cells = [_terminal_cell(row["cells"].get(key), units.get(key, "")) for key in table["columns"]]
        grid.add_row(Text(row["label"], style="dim" if floor else "bold"), *cells)
    parts: list[Any] = [grid, Text("bold: best; ≈ not distinguishable from the best; [95 % interval]", style="dim")]
    if table.get("gains"):
        parts += [Text("\nWhat was gained", style="bold"), *(Text(f"  {_gain_line(g)}") for g in table["gains"])]
    if table.get("verdicts"):
        parts += [Text("\nWho is ahead", style="bold")]
        marks = {"ahead": ("▲ ", "green"), "behind": ("▼ ", "red")}
        for verdict in table["verdicts"]:
            mark = marks.get(verdict["verdict"], ("≈ ", "dim"))
            parts.append(Text.assemble("  ", mark, verdict["text"]))
    return Group(*parts)


def _terminal_cell(cell: dict[str, Any] | None, unit: str) -> Any:
    from rich.text import Text

    if cell is None:
        return Text("")
    if cell["mean"] is None:
        return Text(cell["note"], style="dim italic")
    value, _, bounds = cell["text"].partition(" ")
    mark = "≈ " if cell.get("tied") else ""
    return Text.assemble((mark, "dim"), (value, "bold green" if cell["best"] else ""), "\n", (bounds, "dim"))


def _gain_line(gain: dict[str, Any]) -> str:
    shown = f"{gain['what']}: {short(gain['before'])} → {short(gain['after'])} {gain['unit']}"
    return f"{shown} ({gain['text']})" if gain["text"] else shown


def short(value: float) -> str:
    """Write a number with as many digits as help: 250,037; 91.3; 1.42."""
    if abs(value) >= 1000 or isinstance(value, int):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
