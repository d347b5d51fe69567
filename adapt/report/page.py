"""The HTML report: one file, nothing from outside, light and dark, every text escaped."""

from __future__ import annotations

import base64
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from adapt.report.table import short

FIGURES = {  # title and caption, in the order they are shown
    "scores": ("Scores", "Dots are means over seeds, lines 95 % intervals. Floors need no pretrained model."),
    "learning_curves": (
        "Learning curves",
        "Arms with different vocabularies predict different tokens, so the left heights do not compare; the right ones "
        "are per character but still token by token. The table's figure, of whole words, is the one to compare.",
    ),
    "pieces": ("Words and pieces", "Both tokenizers on the held-out text."),
    "labels": ("Labels", "How often each label is in the test sets."),
}
_MARKS = {"ahead": "▲", "behind": "▼"}


def html(
    table: dict[str, Any], figures: dict[str, tuple[Path, Path]], pairs: list[tuple[str, str]], commands: str
) -> str:
    """Write the page.

    Args:
        table: what table.json holds, with `title` and `headline`.
        figures: (light, dark) PNG files by name.
        pairs: what was measured on.
        commands: how to load the model and go on, shown as code.

    Returns:
        The whole page.
    """
    css = resources.files("adapt.report").joinpath("page.css").read_text(encoding="utf-8")
    title = escape(table["title"])
    body = [
        f'<header><p class="kicker">Lexigraft report</p><h1>{title}</h1>',
        f'<p class="lead">{escape(table["headline"])}</p></header>',
        *_gains(table["gains"]),
        "<h2>Every arm on every task</h2>",
        _scores(table),
        *_verdicts(table["verdicts"]),
        *(_figure(name, *figures[name]) for name in FIGURES if name in figures),
        "<h2>What the numbers can carry</h2>",
        f'<div class="limits"><ul>{"".join(f"<li>{escape(n)}</li>" for n in table["notes"])}</ul></div>',
        "<h2>What was measured on</h2>",
        f"<dl>{''.join(f'<dt>{escape(a)}</dt><dd>{escape(b)}</dd>' for a, b in pairs)}</dl>",
        "<h2>Use the model</h2>",
        f"<pre><code>{escape(commands)}</code></pre>",
        "<footer>Everything here comes from this run's folder: <code>report/scores.csv</code> has every seed, "
        "<code>report/table.json</code> the table, <code>evaluate/</code> every prediction.</footer>",
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{css}</style>\n</head>\n<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _gains(gains: list[dict[str, Any]]) -> list[str]:
    if not gains:
        return []
    cards = []
    for gain in gains:
        sign = gain["after"] - gain["before"]
        good = (sign > 0) == (gain["better"] == "higher")
        kind = "" if sign == 0 or gain.get("noise") else " better" if good else " worse"
        cards.append(
            f'<div class="gain{kind}"><div class="what"><b>{escape(gain["what"])}</b>, {escape(gain["unit"])}</div>'
            f'<div class="move"><span class="from">{short(gain["before"])}</span><span class="arrow">→</span>'
            f"<b>{short(gain['after'])}</b></div>"
            f'<div class="text">{escape(gain["text"])}</div></div>'
        )
    return ["<h2>What was gained</h2>", f'<div class="gains">{"".join(cards)}</div>']


def _scores(table: dict[str, Any]) -> str:
    columns = table["columns"]
    if not columns:
        return "<p>Nothing was measured.</p>"
    head = "".join(f"<th>{escape(table['titles'][c])}<small>{escape(table['units'][c])}</small></th>" for c in columns)
    bounds = {c: _bounds(table, c) for c in columns}
    rows, floors = [], False
    for row in table["rows"]:
        floor = row["arm"].startswith("floor-")
        kind = "floor first-floor" if floor and not floors else "floor" if floor else ""
        floors = floors or floor
        cells = "".join(_cell(row["cells"].get(c), bounds[c]) for c in columns)
        small = f"<small>{escape(row['what'])}</small>" if row["what"] and not floor else ""
        rows.append(
            f'<tr class="{kind}"><th scope="row"><span class="dot {escape(row["arm"])}"></span>'
            f"{escape(row['label'])}{small}</th>{cells}</tr>"
        )
    return (
        f'<div class="scroll"><table class="scores"><thead><tr><th>Arm</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="caption">Mean over seeds, 95 % interval below. “≈ best”: not distinguishable from the best.</p>'
    )


def _bounds(table: dict[str, Any], column: str) -> tuple[float, float]:
    # The majority class is so far off that beside it everything else would look alike.
    rows = [row for row in table["rows"] if column in row["cells"] and row["arm"] != "floor-majority"]
    cells = [row["cells"][column] for row in rows]
    ends = [x for cell in cells if cell["mean"] is not None for x in (cell["low"], cell["high"], cell["mean"])]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    edge = 0.04 * (high - low) or 0.5
    return low - edge, high + edge


def _cell(cell: dict[str, Any] | None, bounds: tuple[float, float]) -> str:
    if cell is None:
        return "<td></td>"
    if cell["mean"] is None:
        return f'<td><span class="none">{escape(cell["note"])}</span></td>'
    value, _, interval = cell["text"].partition(" ")

    def at(x: float) -> float:
        return 100 * (x - bounds[0]) / (bounds[1] - bounds[0])

    left, wide, dot = at(cell["low"]), at(cell["high"]) - at(cell["low"]), at(cell["mean"])

    tag = '<span class="tag">best</span>' if cell["best"] else '<span class="tag">≈ best</span>' if cell["tied"] else ""
    span = (
        f'<span class="span"><i style="left:{left:.1f}%;width:{wide:.1f}%"></i><b style="left:{dot:.1f}%"></b></span>'
        if 0 <= dot <= 100
        else '<span class="span"></span>'
    )
    count = len(cell["seeds"])
    seeds = f"{count} seeds" if count > 1 else "1 seed"
    small = f"<small>{escape(interval.strip('[]').replace(', ', ' to '))} · {seeds}</small>"
    kind = ' class="best"' if cell["best"] else ""
    return f'<td{kind}><span class="value">{escape(value)}</span>{tag}{span}{small}</td>'


def _verdicts(verdicts: list[dict[str, Any]]) -> list[str]:
    if not verdicts:
        return []
    groups: dict[str, list[str]] = {}
    for verdict in verdicts:
        kind = verdict["verdict"] if verdict["verdict"] in _MARKS else ""
        mark = _MARKS.get(verdict["verdict"], "≈")
        task, _, text = verdict["text"].partition(": ")
        item = f'<li class="{kind}"><span class="mark">{mark}</span><span>{escape(text)}</span></li>'
        groups.setdefault(task, []).append(item)
    lists = [f'<h3>{escape(task)}</h3><ul class="verdicts">{"".join(items)}</ul>' for task, items in groups.items()]
    return [
        "<h2>Who is ahead, and what may be noise</h2>",
        '<div class="groups">',
        *(f"<div>{x}</div>" for x in lists),
        "</div>",
    ]


def _figure(name: str, light: Path, dark: Path) -> str:
    title, caption = FIGURES[name]
    sources = [base64.b64encode(path.read_bytes()).decode() for path in (light, dark)]
    return (
        f"<h2>{escape(title)}</h2><figure><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{sources[1]}">'
        f'<img alt="{escape(title)}: {escape(caption)}" src="data:image/png;base64,{sources[0]}"></picture>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
