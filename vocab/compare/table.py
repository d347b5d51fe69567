"""Write a comparison as text, Markdown, LaTeX or CSV."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lexigraft import InputError

if TYPE_CHECKING:
    import pandas as pd

FORMS = ("text", "markdown", "csv", "latex")
_HEADINGS = {"text": "{}\n", "markdown": "### {}\n\n", "latex": "\\subsubsection*{{{}}}\n"}
_ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
_TEX = str.maketrans(
    {sign: rf"\{sign}" for sign in "_%&#${}"}
    | {"▁": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"}
)


def render(table: pd.DataFrame, form: str = "text", *, intervals: bool = True) -> str:
    """Write a table of `vocab.compare`.

    Args:
        table: what `vocab.compare` or `compare_slices` returned; slices are written one after another.
        form: `text`, `markdown` or `latex`: one row a metric, the best of each in bold where the form has bold;
            whether it is better beyond chance, the paired differences say: see `records`; `csv`: one row a metric and
            tokenizer (and slice), with intervals and paired differences.
        intervals: with 95 % intervals.

    Returns:
        The text, ending in a line end.
    """
    if form not in FORMS:
        raise InputError("no table is written so", found=repr(form), expected=", ".join(FORMS))
    if form == "csv":
        import pandas as pd

        return str(pd.DataFrame(records(table)).to_csv(index=False, lineterminator="\n"))
    if "slices" in table.attrs:
        return "\n".join(
            _HEADINGS[form].format(name.translate(_TEX) if form == "latex" else name)
            + render(part, form, intervals=intervals)
            for name, part in parts(table).items()
        )
    rows = [_row(table, metric, intervals, form) for metric in table.columns]
    head = ["metric", *(" ".join(str(name).split()) for name in table.index), "unit"]
    if form == "latex":
        return _latex(head, rows)
    if form == "markdown":
        head = [cell.replace("|", r"\|") for cell in head]
        rule = ["---", *["---:"] * len(table), "---"]
        return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *rows))
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in (head, *rows)
    )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """List every value with its interval, and its paired difference to the base tokenizer; of slices, each by name."""
    if "slices" in table.attrs:
        return [{"slice": name, **row} for name, part in parts(table).items() for row in records(part)]
    rows = []
    for metric in table.columns:
        for name in table.index:
            low, high = table.attrs["intervals"][metric].get(name, (math.nan, math.nan))
            difference = table.attrs["differences"].get(metric, {}).get(name, (math.nan,) * 3)
            rows.append(
                {
                    "metric": metric,
                    "tokenizer": name,
                    "value": float(table.loc[name, metric]),
                    "low": low,
                    "high": high,
                    "difference": difference[0],
                    "difference_low": difference[1],
                    "difference_high": difference[2],
                    "unit": table.attrs["units"][metric],
                    "better": table.attrs["better"][metric],
                }
            )
    return rows


def parts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part what `compare_slices` returned into the tables of its slices, each as `vocab.compare` returns it."""
    found = {}
    for name, attributes in table.attrs["slices"].items():
        found[name] = table.loc[name, list(attributes["units"])]
        found[name].attrs = attributes
    return found


def figure(value: float) -> str:
    """Write a number with four digits that say something."""
    if math.isnan(value):
        return "–"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, min(5, 3 - math.floor(math.log10(abs(value)))))}f}"


def _row(table: pd.DataFrame, metric: str, intervals: bool, form: str) -> list[str]:
    better = table.attrs["better"][metric]
    values = table[metric]
    best = {"higher": values.max(), "lower": values.min()}.get(better, math.nan)
    if (values == best).sum() > 1 or values.notna().sum() < 2:
        best = math.nan
    cells = []
    for name in table.index:
        cell = figure(float(values[name]))
        if values[name] == best and form != "text":
            cell = f"**{cell}**" if form == "markdown" else rf"\textbf{{{cell}}}"
        low, high = table.attrs["intervals"][metric].get(name, (math.nan, math.nan))
        cells.append(f"{cell} [{figure(low)}, {figure(high)}]" if intervals and not math.isnan(low) else cell)
    return [f"{metric} {_ARROWS[better]}".strip(), *cells, table.attrs["units"][metric]]


def _latex(head: list[str], rows: list[list[str]]) -> str:
    signs = str.maketrans({"↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--"})
    lines = [[cell.translate(_TEX) for cell in head]]
    lines += [[row[0].translate(_TEX), *row[1:-1], row[-1].translate(_TEX)] for row in rows]
    body = "".join(f"{' & '.join(line)} \\\\\n".translate(signs) for line in lines[1:])
    columns = "l" + "r" * (len(head) - 2) + "l"
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{' & '.join(lines[0])} \\\\\n\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )
