"""The report of a transplant as people read it: the same sections as Markdown and as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

from vocab.transplant.method import METHODS

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
"""


@dataclass
class Section:
    """A heading, paragraphs, and a table or a list.

    Attributes:
        title: empty for the first one.
        text: paragraphs.
        head: the table's columns; those that end in `:` hold numbers.
        rows: its cells; a token is written between backquotes.
        items: a list.
    """

    title: str
    text: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    items: list[str] = field(default_factory=list)


def title_of(report: dict[str, Any]) -> str:
    """Name the page."""
    return f"Vocabulary transplant: {report['source']['tokens']:,} to {report['target']['tokens']:,} tokens"


def sections(report: dict[str, Any]) -> Iterator[Section]:
    """Put a report's figures in order; a part that it does not have is left out."""
    rows, overlap = report["rows"], report["overlap"]
    shown = f", {100 * overlap['share_of_text']:.1f} % of the text" if "share_of_text" in overlap else ""
    shared = f"Shared with the source: {overlap['tokens']:,} tokens ({100 * overlap['share']:.1f} %{shown})."
    how = f"Method: {report['method']}. Evidence: {report['evidence']}."
    how += f" Computed on: {report['device']}." if "device" in report else ""
    yield Section("", [how, shared], items=report["notes"])
    if chosen := report.get("auto"):
        yield _choice(chosen)
    yield Section(
        "Rows",
        head=["rows", "number:", "share:", "evidence, median:", "weakest 5 %:", "what it measures"],
        rows=[_by_method(name, count, report) for name, count in rows["by_method"].items()],
    )
    norms = [
        [role, *(f"{found[key]:.3f}" if key in found else "-" for key in ("source_rows", "copied_rows", "new_rows"))]
        for role, found in report["norms"].items()
    ]
    yield Section("Median L2 norm", head=["matrix", "source rows:", "copied rows:", "new rows:"], rows=norms)
    if found := report.get("output_bias"):
        yield Section("Output bias", [_bias(found)])
    for title, key, table in (
        ("Before any training", "before_training", _before_training),
        ("Retrieval on parallel text", "retrieval", _retrieval),
    ):
        if measured := report.get(key):
            yield Section(title, [measured["note"]]) if "note" in measured else table(title, measured)
    if report["worst"]:
        weak = [
            [token(row["token"]), row["method"], f"{row['evidence']:.2f}",
             "-" if row["seen"] is None else f"{row['seen']:,}",
             ", ".join(f"{token(name)} {weight:.2f}" for name, weight in row["from"]) or "drawn"]
            for row in report["worst"]
        ]  # fmt: skip
        yield Section("Rows with least evidence", head=["token", "method", "evidence:", "seen:", "made of"], rows=weak)
    made_by = [METHODS[name] for name in rows["by_method"] if name in METHODS or "+" in name]
    papers = [f"{method.name}: {method.paper}" for method in made_by if method.paper]
    if papers:
        yield Section("Papers", items=papers)


def _choice(chosen: dict[str, Any]) -> Section:
    tried, forecast = chosen.get("trial"), chosen.get("forecast", {})
    section = Section("Why this method", [chosen["why"]])
    section.items = [f"Not tried: {name} ({why})" for name, why in chosen["not_run"].items()]
    loss = {} if tried is None else tried["loss"]
    if tried is not None:
        section.text.append(
            f"Loss: nats a held-out token ({tried['tokens']:,} of them) after the source's first {tried['layers']} "
            f"layers were trained for {tried['steps']} steps on each method's rows, the output bias "
            f"{'by frequency' if tried['bias'] == 'frequency' else 'mixed'}; each seed draws its text. Less is better."
        )
    again = [] if tried is None else tried["again"]
    section.head = ["method", *(["loss:"] if loss else []), *(f"seed {n}:" for n in range(2, 2 + len(again)))]
    section.head += ["cosine:", "95 % interval:", "mrr:", "first:", "seconds:"] if forecast else []
    for name in sorted({**loss, **forecast}, key=lambda name: loss.get(name, -forecast.get(name, {}).get("cosine", 0))):
        cells = [f"{one[name]:.3f}" if name in one else "-" for one in ([loss] if loss else []) + again]
        if found := forecast.get(name):
            low, high = (f"{found[key]:.3f}" for key in ("cosine_low", "cosine_high"))
            cells += [f"{found['cosine']:.3f}", f"{low} to {high}", f"{found['mrr']:.3f}"]
            cells += [f"{100 * found['first']:.1f} %", f"{found['seconds']:.1f}"]
        section.rows.append([name, *cells, *["-"] * (len(section.head) - 1 - len(cells))])
    return section


def _bias(found: dict[str, Any]) -> str:
    asked = f"at half of {found['places']:,} places of the text"
    if not found["factor"]:
        return f"Mixed as the rows are: shifting it to the tokens' frequencies did not lower the loss {asked}."
    before, after = found["nats"]
    return (
        f"Shifted until the model predicts each token as often as the text shows it, weighed by {found['factor']:g}: "
        f"the loss {asked}, which the shift was not made from, went from {before:.3f} to {after:.3f} nats a token."
    )


def _by_method(name: str, count: int, report: dict[str, Any]) -> list[str]:
    label = "specials, by role" if name == "special" else name
    share = f"{100 * count / report['rows']['total']:.1f} %"
    found = report["evidence_by_method"].get(name)
    if found is None:
        return [label, f"{count:,}", share, "-", "-", ""]
    return [label, f"{count:,}", share, f"{found['median']:.2f}", f"{found['low']:.2f}", found["meaning"]]


def _before_training(title: str, found: dict[str, Any]) -> Section:
    section = Section(title)
    section.text = [
        f"{found['kind'].capitalize()} per character by word, over {found['words']} words of {found['text']}; "
        f"{100 * found['excluded']:.0f} % of {found['drawn']} drawn words left out for all, since one of the "
        "vocabularies cannot write them. Less is better; 95 % intervals by bootstrap over words."
    ]
    section.head = ["model", f"{found['kind']} per character:", "95 % interval:", "against this graft:", "interval:"]
    for name, row in found["models"].items():
        gap = row.get("against")
        against = ["-", "-"] if gap is None else [f"{gap[0]:+.3f}", f"{gap[1]:+.3f} to {gap[2]:+.3f}"]
        section.rows.append([name, f"{row['value']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}", *against])
    return section


def _retrieval(title: str, found: dict[str, Any]) -> Section:
    section = Section(title)
    section.text = [
        f"Share of {found['pairs']} sentences whose translation is the nearest of all (accuracy@1); {found['how']}"
    ]
    section.head = ["model", "source to target:", "target to source:"]
    section.rows = [
        [name, f"{100 * row['source_to_target']:.1f} %", f"{100 * row['target_to_source']:.1f} %"]
        for name, row in found["models"].items()
    ]
    return section


def token(text: str) -> str:
    """Write a token so that it stays one cell and one line."""
    return "`" + text.replace("`", "'").replace("\n", "\\n").replace("\r", "\\r") + "`"


def markdown(report: dict[str, Any]) -> str:
    """Write a report as Markdown."""
    lines = [f"# {title_of(report)}", ""]
    for section in sections(report):
        lines += [f"## {section.title}", ""] if section.title else []
        for text in section.text:
            lines += [text, ""]
        if section.rows:
            lines.append(_line([name.rstrip(":") for name in section.head]))
            lines.append(_line(["---:" if name.endswith(":") else "---" for name in section.head]))
            lines += [*map(_line, section.rows), ""]
        if section.items:
            lines += [*(f"- {item}" for item in section.items), ""]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def html(report: dict[str, Any]) -> str:
    """Write a report as one HTML page: no script, nothing loaded, everything from outside escaped."""
    title = escape(title_of(report))
    parts = ["<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
             '<meta name="viewport" content="width=device-width, initial-scale=1">',
             f"<title>{title}</title><style>{_STYLE}</style></head><body>", f"<h1>{title}</h1>"]  # fmt: skip
    for section in sections(report):
        parts += [f"<h2>{escape(section.title)}</h2>"] if section.title else []
        parts += [f"<p>{_inline(text)}</p>" for text in section.text]
        if section.rows:
            right = [' class="number"' if name.endswith(":") else "" for name in section.head]
            head = "".join(
                f"<th{c}>{escape(name.rstrip(':'))}</th>" for name, c in zip(section.head, right, strict=True)
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>")
            for row in section.rows:
                cells = "".join(f"<td{c}>{_inline(cell)}</td>" for cell, c in zip(row, right, strict=True))
                parts.append(f"<tr>{cells}</tr>")
            parts.append("</tbody></table>")
        if section.items:
            parts.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in section.items) + "</ul>")
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _inline(text: str) -> str:
    """Escape a text; what stands between backquotes becomes code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))
