"""Tokenizers on a whole text: metrics with intervals, pictures, words that became better or worse, words to mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.parts.folders import listing
from app.parts.guard import plain
from app.parts.pictures import chart
from app.parts.tokenizers import load
from lexigraft import InputError
from vocab.compare import METRICS, measure, tabulate
from vocab.compare.marks import COLUMNS, HOW, marks_text
from vocab.compare.pictures import pictures
from vocab.compare.table import figure, records, render
from vocab.compare.words import clinic, fixed_and_broken

if TYPE_CHECKING:
    import pandas as pd

    from vocab.compare import Measured
    from vocab.compare.pictures import Picture

_MOST = 100_000_000  # bytes that are gone through while somebody waits
_LISTED = 100


def draw(names: Sequence[str]) -> None:
    """Ask for a text file, and show what the tokenizers make of it.

    Args:
        names: what `app.parts.tokenizers.load` takes.

    Raises:
        InputError: the file is no text, or too large to wait for.
    """
    st.subheader("On a whole text", anchor=False)
    known = {str(file): f"{run.name}: held-out text" for run in listing() if (file := run.file("corpus/heldout.txt"))}
    path = st.selectbox(
        "Text file on this machine",
        list(known),
        index=None,
        format_func=lambda file: known.get(file, file),
        key="file",
        accept_new_options=True,
        placeholder="choose, or type a path and press Enter",
        help="Held-out text of a run, or any text that none of the tokenizers was learnt from: one sentence a line, "
        "plain or packed with gzip. It gives metrics, pictures, the words that changed, and words to mark.",
        bind="query-params",
    )
    with st.expander("Parallel text, for parity across languages"):
        pairs = st.text_area(
            "One language a line",
            key="parallel",
            placeholder="hau = test.hau.txt, test.eng.txt",
            help="A language, a file of it, and a file of its translation, line by line.",
            bind="query-params",
        )
    if not path:
        return
    file = _text_file(path)
    if file.stat().st_size > _MOST:
        raise InputError(
            "this file is too large to wait for", found=f"{file.stat().st_size:,} bytes",
            expected=f"up to {_MOST:,}, or `lexigraft tokenizer compare` in a terminal",
        )  # fmt: skip
    parallel = _parallel(pairs)
    read = [file, *(side for _, *sides in parallel for side in sides)]
    changed = tuple(one.stat().st_mtime for one in read)
    measured, table, drawn = _measured(tuple(names), str(file), parallel, changed)
    metrics, seen, changes, marks = st.tabs(["Metrics", "Pictures", "Fixed and broken", "Speaker’s clinic"])
    with metrics:
        _metrics(table)
    with seen:
        _pictures(drawn)
    with changes:
        _changes(measured)
    with marks:
        _clinic(measured, str(file))


def _text_file(path: str) -> Path:
    file = Path(path.strip()).expanduser()
    if not file.is_file():
        raise InputError("there is no such text file", file=path)
    return file


def _parallel(text: str) -> tuple[tuple[str, Path, Path], ...]:
    """Read lines of a language and its two files, as `lexigraft tokenizer compare --parallel` takes them."""
    found = []
    for line in filter(str.strip, text.splitlines()):
        language, _, files = line.partition("=")
        sides = files.split(",")
        if not language.strip() or len(sides) != 2:
            raise InputError("this line names no parallel text", found=line[:80], expected="language = file, file")
        found.append((language.strip(), _text_file(sides[0]), _text_file(sides[1])))
    return tuple(found)


@st.cache_resource(max_entries=4, show_spinner="Going through the text …")
def _measured(
    names: tuple[str, ...], file: str, parallel: tuple[tuple[str, Path, Path], ...], _changed: tuple[float, ...]
) -> tuple[dict[str, Measured], pd.DataFrame, list[Picture]]:
    sides = {language: (str(first), str(second)) for language, first, second in parallel}
    measured = measure({name: load(name) for name in names}, file, parallel=sides or None)
    return measured, tabulate(measured), pictures(measured)


def _metrics(table: pd.DataFrame) -> None:
    st.html(metrics_html(table))
    text = table.attrs["text"]
    said = f"{text['lines']:,} lines, {text['words']:,} words. In brackets: 95 % bootstrap interval over lines."
    if len(table) > 1:
        said += f" ▲ better, ▼ worse than {table.attrs['base']} beyond chance (paired draws)."
    st.caption(plain(said))
    with st.expander("What these metrics are"):
        names = dict.fromkeys(str(record["metric"]) for record in records(table))
        meant = (f"- **{plain(name.replace('_', ' '))}**: {plain(METRICS[name].summary)}" for name in names)
        st.markdown("\n".join(meant))
    with st.container(horizontal=True):
        for form, label, ending in (("csv", "CSV", "csv"), ("markdown", "Markdown", "md"), ("latex", "LaTeX", "tex")):
            st.download_button(
                f"Table ({label})", render(table, form), f"tokenizers.{ending}", key=f"table:{form}", on_click="ignore"
            )


def metrics_html(table: pd.DataFrame) -> str:
    """Draw one row a metric, one column a tokenizer; every text escaped.

    Args:
        table: what `vocab.compare` returned.
    """
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in table.index)
    rows = []
    for name, cells in groupby(records(table), key=lambda record: record["metric"]):
        inside = [(record, _cell(record)) for record in cells]
        first = inside[0][0]
        unit = first["unit"] + (f"; {first['better']} is better" if first["better"] != "neither" else "")
        label = f"{escape(name.replace('_', ' '))}<small>{escape(unit)}</small>"
        title = escape(METRICS[name].summary, quote=True)
        rows.append(f'<tr><th scope="row" title="{title}">{label}</th>{"".join(cell for _, cell in inside)}</tr>')
    return (
        f'<div class="lx-scroll"><table class="lx-table lx-words"><thead><tr><th scope="col">Metric</th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(record: dict[str, Any]) -> str:
    bounds = [record["low"], record["high"]]
    interval = "" if math.isnan(bounds[0]) else f'<span class="lx-interval">[{", ".join(map(figure, bounds))}]</span>'
    mark, more, less = "", record["difference_low"] > 0, record["difference_high"] < 0
    if record["better"] != "neither" and (more or less):
        mark = (
            ' <span class="lx-mark">▲</span>'
            if more == (record["better"] == "higher")
            else ' <span class="lx-mark">▼</span>'
        )
    return f"<td>{figure(record['value'])}{mark}{interval}</td>"


def _pictures(drawn: Sequence[Picture]) -> None:
    """Draw two pictures a row, where there is room, each with what it is drawn from."""
    for first in range(0, len(drawn), 2):
        for column, picture in zip(st.columns(2, gap="large"), drawn[first : first + 2], strict=False):
            with column:
                st.markdown(f"**{plain(picture.title)}**")
                st.altair_chart(chart(picture), width="stretch", key=f"picture:{picture.name}")
                st.download_button(
                    "Points (CSV)", picture.points.to_csv(index=False), f"{picture.name}.csv", "text/csv",
                    key=f"points:{picture.name}", on_click="ignore",
                )  # fmt: skip
    if all(picture.name != "parity" for picture in drawn):
        st.caption("Parity across languages is drawn once parallel text is given above.")


def _changes(measured: dict[str, Measured]) -> None:
    names = list(measured)
    if len(names) < 2:
        st.info("Choose a second tokenizer at the top of the page: here are the words that it cuts better or worse.")
        return
    left, right = st.columns(2)
    before = left.selectbox("From", names, key="before")
    after = right.selectbox("To", [name for name in names if name != before], key="after")
    found = fixed_and_broken(measured[before], measured[after], _LISTED)
    (fixed, times), (broken, often) = found.counts["fixed"], found.counts["broken"]
    st.markdown(
        f"{fixed:,} words in fewer pieces ({times:,} times in the text, {found.saved:,} tokens saved); "
        f"{broken:,} in more ({often:,} times, {found.lost:,} tokens)."
    )
    if len(found.frame):
        st.caption(
            f"Fixed: in fewer pieces; broken: in more. Up to {_LISTED} of each, those that save or cost most tokens "
            "(`saved`, over the whole text) first."
        )
        st.dataframe(found.frame, hide_index=True)


def _clinic(measured: dict[str, Measured], file: str) -> None:
    name = st.selectbox("Tokenizer", list(measured), key="patient")
    cases = clinic(measured[name])
    if not cases:
        st.info("No word of this text is in more than one piece.")
        return
    st.markdown(
        "The words whose cuts cost most tokens in this text. Somebody who speaks the language fills in the column "
        "**mark**: `=` keeps the word whole, `gida|je` cuts it there, empty means no opinion."
    )
    # Marks belong to rows by number: those of another tokenizer or file are other words. An editor that is not drawn
    # is forgotten with all that was typed, so its marks are kept, and it begins with them when it is drawn again.
    key = f"marks:{name}:{file}"
    kept: dict[str, str] = st.session_state.setdefault(f"{key}:kept", {})
    if key not in st.session_state:
        st.session_state[f"{key}:first"] = dict(kept)
    first = st.session_state[f"{key}:first"]
    rows: list[dict[str, Any]] = [
        dict(zip(COLUMNS, (c.word, first.get(c.word, ""), " ".join(c.pieces), c.frequency, c.context), strict=True))
        for c in cases
    ]
    marked = st.data_editor(
        rows, key=key, hide_index=True, disabled=[column for column in COLUMNS if column != "mark"],
        column_config={"mark": st.column_config.TextColumn(help=HOW)},
    )  # fmt: skip
    kept.update({row["word"]: str(row["mark"] or "").strip() for row in marked})
    st.download_button(
        "Marks (TSV)",
        marks_text(cases, [kept[case.word] for case in cases]),
        "marks.tsv",
        on_click="ignore",
    )
    st.caption(
        f"Marked so far: {sum(map(bool, kept.values())):,}. Save the marks before you close the page. A new run makes "
        "pieces of them (More tokenizer settings · Marks); so does `lexigraft tokenizer extend … --marks marks.tsv`."
    )
