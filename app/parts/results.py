"""What a finished run shows: the table, what was gained, curves, pictures, the model card, and files to keep."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from adapt.report.page import FIGURES
from app.parts import made_of, try_out
from app.parts.curves import SOURCE, Curve, bits_charts, chart, logs
from app.parts.folders import RunFolder, read_json
from app.parts.guard import plain

_MARK = {"ahead": "▲", "behind": "▼", "not distinguishable": "≈"}


def table_html(table: dict[str, Any]) -> str:
    """Draw the table of arms and tasks (`report/table.json`), best cells marked; every text escaped."""
    columns = [str(c) for c in table.get("columns", [])]
    titles, units = _names(table.get("titles")), _names(table.get("units"))
    head = "".join(f"<th>{escape(titles.get(c, c))}{_small(units.get(c))}</th>" for c in columns)
    rows = []
    for row in table.get("rows", []):
        cells, arm = row.get("cells", {}), str(row.get("arm", ""))
        inside = "".join(_cell(cells.get(column)) for column in columns)
        label = f"{escape(str(row.get('label') or arm))}{_small(row.get('what'))}"
        rows.append(f"<tr><th scope='row'>{label}</th>{inside}</tr>")
    return (
        f'<div class="lx-scroll"><table class="lx-table"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _names(value: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _small(text: Any) -> str:
    return f"<small>{escape(str(text))}</small>" if text else ""


def _cell(cell: Any) -> str:
    if not isinstance(cell, dict):
        return '<td class="lx-none">–</td>'
    text, note = str(cell.get("text") or "–"), _small(cell.get("note"))
    if cell.get("mean") is None:
        return f'<td class="lx-none">{escape(text)}{note}</td>'
    value, _, bounds = text.partition(" ")
    interval = f'<span class="lx-interval">{escape(bounds)}</span>' if bounds else ""
    seeds = cell.get("seeds")
    count = len(seeds) if isinstance(seeds, list) else seeds if isinstance(seeds, int) else 0
    said = _small(f"{count} seed{'s' * (count > 1)}") if count else ""
    mark, style = "", ""
    if cell.get("best"):
        mark, style = '<span class="lx-best">best</span>', ' class="lx-is-best"'
    elif cell.get("tied"):
        mark = '<span class="lx-tied" title="not distinguishable from the best">≈ best</span>'
    return f"<td{style}><b>{escape(value)}</b>{mark}{interval}{said}{note}</td>"


def show(run: RunFolder) -> None:
    """Draw a finished run."""
    path = run.file("report/table.json")
    table = read_json(path) if path else None
    names = ["Results", "Try it", "Transplant", "Curves", "Pictures", "Model card", "Files and settings"]
    results, own, made, curves, pictures, card, files = st.tabs(names)
    with results:
        if isinstance(table, dict):
            _results(table)
        else:
            st.info("This run has no table yet: it is written when all stages are done.")
    with own:
        try_out.draw(run)
    with made:
        made_of.draw(run)
    with curves:
        draw_curves(run)
    with pictures:
        found = _pictures(run)
        if not found:
            st.info("The report of this run has no pictures.")
        for name, picture in found.items():
            title, caption = FIGURES.get(name, (name.replace("_", " "), ""))
            st.subheader(plain(title), anchor=False)
            with st.container(key=f"figure-{name}"):
                st.image(picture.read_bytes(), alt=f"{title}: {caption}")
            st.caption(plain(caption))
    with card:
        _card(run)
    with files:
        _files(run)


def _pictures(run: RunFolder) -> dict[str, Path]:
    """Return the report's pictures by name, drawn for a light or a dark page as this one is."""
    found = {path.name.split(".")[0]: path for path in run.files("report/*.png") if ".dark." not in path.name}
    if st.context.theme.type == "dark":
        found |= {path.name.split(".")[0]: path for path in run.files("report/*.dark.png")}
    order = {name: place for place, name in enumerate(FIGURES)}
    return dict(sorted(found.items(), key=lambda pair: order.get(pair[0], len(order))))


def _results(table: dict[str, Any]) -> None:
    gains = [g for g in table.get("gains", []) if isinstance(g, dict)]
    if gains:
        cells = "".join(_gain(g) for g in gains)
        st.html(f'<div class="lx-gains">{cells}</div>')
    st.html(table_html(table))
    legend = "In brackets: 95 % interval over seeds and test items. ≈: not to be told from the best."
    st.html(f'<p class="lx-legend">{legend}</p>')
    verdicts = [v for v in table.get("verdicts", []) if isinstance(v, dict)]
    if verdicts:
        st.subheader("Who is ahead", anchor=False)
        st.html(f'<ul class="lx-verdicts">{"".join(map(_verdict, verdicts))}</ul>')
    notes = [str(n) for n in table.get("notes", [])]
    if notes:
        st.html(f'<ul class="lx-notes">{"".join(f"<li>{escape(n)}</li>" for n in notes)}</ul>')


def _verdict(verdict: dict[str, Any]) -> str:
    mark = _MARK.get(str(verdict.get("verdict")), "·")
    return f'<li><span class="lx-mark">{mark}</span>{escape(str(verdict.get("text", "")))}</li>'


def _gain(gain: dict[str, Any]) -> str:
    before, after = (_number(gain.get(key)) for key in ("before", "after"))
    unit = f"<small>{escape(str(gain.get('unit') or ''))}</small>"
    change = f'<span class="lx-from">{before}</span><span class="lx-arrow">→</span><b>{after}</b>{unit}'
    text = _small(gain.get("text"))
    return f'<div class="lx-gain"><span class="lx-what">{escape(str(gain.get("what", "")))}</span>{change}{text}</div>'


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape(str(value if value is not None else "–"))
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def draw_curves(run: RunFolder) -> None:
    """Draw one chart an arm, beside each other where there is room."""
    kept: dict[str, Curve] = st.session_state.setdefault("curves", {})
    drawn = {arm: kept.setdefault(str(path), Curve(path)) for arm, path in logs(run).items()}
    found = {arm: frame for arm, curve in drawn.items() if len(frame := curve.read())}
    if not found:
        st.info("No arm of this run has been trained.")
        return
    bits = {arm: drawn[arm].bits for arm in found}
    dashed = any(SOURCE in set(frame["text"]) for frame in bits.values())
    for unit, picture in bits_charts(bits).items():
        st.subheader(f"{unit.capitalize()} per character", anchor=False)
        st.altair_chart(picture, width="stretch", key=f"bits:{unit}")
        said = "Measured on the same words for every arm, so heights compare; lower is better."
        if dashed:
            said += " Dashed: text of the source’s language; where that line rises, the model forgets it."
        st.caption(said)
    for column, (arm, frame) in zip(st.columns(len(found)), found.items(), strict=True):
        column.subheader(plain(arm), anchor=False)
        column.altair_chart(chart(frame), width="stretch", key=f"curve:{arm}")
    st.caption("Arms with different vocabularies predict different tokens: compare shapes, not heights.")


def _card(run: RunFolder) -> None:
    text = run.text("README.md")
    if text is None:
        st.info("This run has no model card yet.")
        return
    if text.startswith("---\n") and "\n---\n" in text[4:]:
        head, text = text[4:].split("\n---\n", 1)
        with st.expander("Metadata for the hub"):
            st.code(head, language="yaml")
    with st.container(border=True):
        st.markdown(text)


def _files(run: RunFolder) -> None:
    with st.container(horizontal=True):
        for relative, label, mime in (
            ("report/report.html", "Report (HTML)", "text/html"),
            ("report/scores.csv", "Scores (CSV)", "text/csv"),
            ("README.md", "Model card", "text/markdown"),
            ("run.yaml", "Settings (YAML)", "text/yaml"),
        ):
            path = run.file(relative)
            if path is not None:
                name = f"{run.name}-{path.name}"
                st.download_button(label, path.read_bytes(), name, mime, key=f"get:{relative}", on_click="ignore")
    st.html(f'<p class="lx-path">Run folder<code>{escape(str(run.path))}</code></p>')
    if run.folder("model") is not None:
        st.caption("To load its model in Python:")
        load = f"from transformers import AutoModel\n\nmodel = AutoModel.from_pretrained({str(run.path / 'model')!r})"
        st.code(load, language="python", wrap_lines=True)
    if text := run.text("run.yaml"):
        st.subheader("Every setting", anchor=False)
        st.code(text, language="yaml", height=480)
