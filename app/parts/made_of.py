"""What the new rows of a run were made of: a word's pieces explained one by one, and the transplant's report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.parts.folders import RunFolder
from app.parts.guard import messages
from app.parts.tokenizers import load
from vocab.compare.pieces import pieces
from vocab.mixture import FILE, Mixture
from vocab.transplant.explain import explain

if TYPE_CHECKING:
    from vocab.transplant.explain import Explanation

_FOLDER = "transplant/model"
_LARGEST = 8  # old rows shown of each new one
_MOST = 200  # characters that are explained
_PATIENCE = 120.0  # seconds for the tokenizer: the first one asked for brings its library with it


def draw(run: RunFolder) -> None:
    """Ask for words and show what their rows were made of; below it the report of the transplant."""
    path = run.file(f"{_FOLDER}/{FILE}")
    if path is None:
        st.info("This run has no new vocabulary: nothing was transplanted. It takes the arm `adapted`.")
        return
    st.fragment(_words)(run, path)
    if report := run.text(f"{_FOLDER}/transplant.md"):
        with st.container(border=True):
            st.markdown(re.sub(r"^#", "###", report, flags=re.MULTILINE))


def _words(run: RunFolder, path: Path) -> None:
    with messages():
        text = st.text_input(
            "Words to explain",
            key=f"made-of:{run.name}",
            max_chars=_MOST,
            placeholder="type a word of the language and press Enter",
            help="Each piece of the new tokenizer got its first embedding from old ones: here is from which, "
            "before any training.",
        )
        if not text.strip():
            return
        with st.spinner("Reading the transplant …", show_time=True):
            mixture = _mixture(path, path.stat().st_mtime)
            cut = pieces(load(str(run.path / _FOLDER), _PATIENCE), text)
        ids = dict.fromkeys(index for word in cut for _, index, _ in word)
        panels = [f'<section class="lx-panel">{explanation_html(mixture, index)}</section>' for index in ids]
        st.html(f'<div class="lx-side lx-try">{"".join(panels)}</div>')


@st.cache_resource(max_entries=2, show_spinner=False)
def _mixture(path: Path, _changed: float) -> Mixture:
    return Mixture.load(path)


def explanation_html(mixture: Mixture, index: int) -> str:
    """Draw one new row: how it was made, its largest parts as bars, and how well it is supported.

    Args:
        mixture: how the rows were made.
        index: id of the new token.
    """
    found = explain(mixture, index, _LARGEST)
    how = str(found).splitlines()[0].removeprefix(f"{found.token} (id {index}): ")
    head = f"<h4>{escape(found.token)}</h4><p>{escape(how)}</p>"
    return head + _parts_html(found) + _support_html(mixture, found)


def _parts_html(parts: Sequence[tuple[str, float]]) -> str:
    most = max((abs(weight) for _, weight in parts), default=0.0) or 1.0
    rows = "".join(
        f'<li><span>{escape(name)}</span><span class="lx-bar">'
        f'<span style="width:{100 * abs(weight) / most:.1f}%"></span></span><small>{weight:.3f}</small></li>'
        for name, weight in parts
    )
    return f'<ol class="lx-guesses">{rows}</ol>' if rows else ""


def _support_html(mixture: Mixture, found: Explanation) -> str:
    """Say how well a row is supported, in its method's measure and among the rows that the method made."""
    if np.isnan(found.evidence):
        return ""
    others = mixture.evidence[mixture.method == mixture.method[found.id]]
    share = float(np.mean(others[~np.isnan(others)] < found.evidence))
    meaning = f": {escape(found.meaning)}" if found.meaning else ""
    return (
        f"<p><b>Confidence {found.evidence:.2f}</b>{meaning}. "
        f"Higher than that of {100 * share:.0f} % of the rows made this way.</p>"
    )
