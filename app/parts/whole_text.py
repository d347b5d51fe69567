"""Tokenizers on a whole text: metrics with intervals, words that became better or worse, words to mark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.parts.tokenizers import load
from lexigraft import InputError
from vocab.compare import measure, tabulate
from vocab.compare.marks import COLUMNS, HOW, marks_text
from vocab.compare.table import figure
from vocab.compare.words import clinic, fixed_and_broken

if TYPE_CHECKING:
    import pandas as pd

    from vocab.compare import Measured

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
    path = st.text_input(
        "Text file on this machine",
        key="file",
        placeholder="held-out text, one sentence a line",
        help="Text that none of the tokenizers was learnt from; plain, or packed with gzip.",
        bind="query-params",
    ).strip()
    if not path:
        return
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError("there is no such text file", file=path)
    if file.stat().st_size > _MOST:
        raise InputError(
            "this file is too large to wait for", found=f"{file.stat().st_size:,} bytes",
            expected=f"up to {_MOST:,}, or `lexigraft tokenizer compare` in a terminal",
        )  # fmt: skip
    measured = _measured(tuple(names), str(file), file.stat().st_mtime)
    metrics, changes, marks = st.tabs(["Metrics", "Fixed and broken", "Speaker’s clinic"])
    with metrics:
        st.dataframe(_table(measured), hide_index=True)
        text = next(iter(measured.values())).text.totals
        st.caption(f"{int(text['lines'].sum()):,} lines, {int(text['words'].sum()):,} words; 95 % bootstrap intervals.")
    with changes:
        _changes(measured)
    with marks:
        _clinic(measured)


@st.cache_resource(max_entries=4, show_spinner="Going through the text …")
def _measured(names: tuple[str, ...], file: str, _changed: float) -> dict[str, Measured]:
    return measure({name: load(name) for name in names}, file)


def _table(measured: dict[str, Measured]) -> pd.DataFrame:
    """One row a metric, values with intervals as text."""
    import pandas as pd

    table = tabulate(measured)
    rows = []
    for metric in table.columns:
        row = {"metric": metric.replace("_", " ")}
        for name in table.index:
            low, high = table.attrs["intervals"][metric].get(name, (float("nan"),) * 2)
            value = figure(float(table.loc[name, metric]))
            row[name] = value if low != low else f"{value}  [{figure(low)}, {figure(high)}]"
        row |= {"unit": table.attrs["units"][metric], "better": table.attrs["better"][metric]}
        rows.append(row)
    return pd.DataFrame(rows)


def _changes(measured: dict[str, Measured]) -> None:
    names = list(measured)
    if len(names) < 2:
        st.info("Choose two tokenizers.")
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
        st.dataframe(found.frame, hide_index=True)


def _clinic(measured: dict[str, Measured]) -> None:
    name = st.selectbox("Tokenizer", list(measured), key="patient")
    cases = clinic(measured[name])
    if not cases:
        st.info("No word of this text is in more than one piece.")
        return
    st.caption(HOW)
    rows: list[dict[str, Any]] = [
        dict(zip(COLUMNS, (case.word, "", " ".join(case.pieces), case.frequency, case.context), strict=True))
        for case in cases
    ]
    marked = st.data_editor(rows, key="marks", hide_index=True, disabled=[name for name in COLUMNS if name != "mark"])
    st.download_button(
        "Marks (TSV)",
        marks_text(cases, [str(row["mark"] or "").strip() for row in marked]),
        "marks.tsv",
        help="lexigraft tokenizer extend … --marks marks.tsv makes pieces of them.",
    )
