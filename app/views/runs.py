"""All runs, and one of them: how far it is while it works, what came out when it is done."""

from __future__ import annotations

import time
from datetime import datetime
from html import escape
from types import SimpleNamespace

import streamlit as st

from adapt.events import clock
from adapt.report.describe import language_name, source_name
from app.parts import launch, results
from app.parts.curves import logs
from app.parts.folders import OUTPUT, RESUMABLE, RunFolder, find, listing, runs_folder
from app.parts.guard import messages, plain
from app.parts.progress import Log, badge, is_active
from lexigraft import InputError

_EVERY = 1.0  # seconds between looks at a run that works


def page() -> None:
    """Draw the list, or the run that the address names."""
    name = st.query_params.get("run")
    if not name:
        st.query_params.clear()
        _all()
        return
    st.query_params["run"] = name  # a link from this page to itself leaves the address bar as it was
    st.page_link("views/runs.py", label="All runs", icon=":material/arrow_back:")
    try:
        run = find(name)
    except InputError as error:
        st.title("No such run", anchor=False)
        st.error(plain(str(error)))
        return
    _one(run)


def _all() -> None:
    st.title("Runs", anchor=False)
    st.html(f'<p class="lx-lead">Every run in <code>{escape(str(runs_folder()))}</code>, the newest first.</p>')
    _list(any(is_active(run) for run in listing()))


def _list(active: bool) -> None:
    with st.container(key="live"):
        st.fragment(_rows, run_every=3.0 if active else None)()


def _rows() -> None:
    with messages():
        runs = listing()
        if not runs:
            st.info(
                "There is no run yet. A run adapts one model to one language and measures what that was worth. Set one "
                "up in the form, which can start from the demo, or use `lexigraft run` in a terminal: runs kept in "
                "this folder appear here by themselves."
            )
            st.page_link("views/new_run.py", label="Set up a run", icon=":material/add_circle:")
        for run in runs:
            with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row-{run.name}"):
                st.html(_line(run))
                # A link, not a button: the list is drawn anew while runs work, and a press must not fall between.
                st.page_link(
                    "views/runs.py", label="Open", icon=":material/chevron_right:", query_params={"run": run.name}
                )


def _line(run: RunFolder) -> str:
    source = run.settings.get("source")
    model = str(source.get("model", "")) if isinstance(source, dict) else ""
    about = _about(str(run.settings.get("language", "")), model)
    when = datetime.fromtimestamp(run.started).strftime("%d %b %Y, %H:%M") if run.started else ""
    took = clock(run.seconds) if run.seconds is not None else ""
    facts = " · ".join(escape(part) for part in [*about, when, took] if part)
    return f'<div class="lx-run"><b>{escape(run.name)}</b>{badge(run)}<span class="lx-note">{facts}</span></div>'


@st.cache_data(max_entries=1000, show_spinner=False)
def _about(language: str, model: str) -> tuple[str, str]:
    """Name the language and the model as the run's report does."""
    settings = SimpleNamespace(language=language, source=SimpleNamespace(model=model))
    return language_name(settings) if language else "", source_name(settings) if model else ""


def _one(run: RunFolder) -> None:
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    left.title(plain(run.name), anchor=False)
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        if is_active(run):
            if st.button("Stop", key="stop", icon=":material/stop_circle:"):
                _ask_stop(run.name)
        elif run.status in RESUMABLE and st.button(
            "Resume", key="resume", icon=":material/play_arrow:", type="primary"
        ):
            launch.resume(run)
            st.rerun()
    with st.container(key="live"):
        st.fragment(_follow, run_every=_EVERY if is_active(run) else None)(run.name, run.status)
    if run.file("report/table.json") is not None and not is_active(run):
        results.show(run)


@st.dialog("Stop this run?")
def _ask_stop(name: str) -> None:
    st.write("What is finished stays. You can resume it later: it goes on from its last checkpoint.")
    with st.container(horizontal=True):
        if st.button("Stop the run", key="stop_yes", type="primary"):
            with messages(), st.spinner("Stopping …"):
                launch.stop(find(name))
                st.rerun()
        if st.button("Let it run", key="stop_no"):
            st.rerun()


def _follow(name: str, seen: str) -> None:
    """Status, stages, losses; drawn anew every second while the run works."""
    with messages():
        run = find(name)
        if run.status != seen:
            st.rerun(scope="app")
        when = datetime.fromtimestamp(run.started).strftime("%d %b %Y, %H:%M") if run.started else "not yet"
        took = f" · {clock(run.seconds)}" if run.seconds is not None else ""
        st.html(f'<p class="lx-status">{badge(run)}<span class="lx-note">started {when}{took}</span></p>')
        if run.status == "killed":
            st.warning("The process of this run is gone without a word. Nothing finished is lost: resume it.")
        elif run.status in RESUMABLE and run.message:
            (st.error if run.status == "failed" else st.warning)(plain(run.message))
        log = _log(run)
        if run.status == "starting":
            st.info(f"Getting ready: loading libraries, reading the settings ({clock(time.time() - run.started)}).")
        finished = run.status == "finished"
        if finished:
            with st.expander(f"Stages ({len(log.stages)})"):
                _stages(log, run)
        else:
            _stages(log, run)
            shown_below = run.file("report/table.json") is not None and not is_active(run)
            if not shown_below and logs(run):
                results.draw_curves(run)
        if not finished and (text := run.text(OUTPUT, 20_000)):
            with st.expander("What the process printed", key="printed"):
                st.code(text, language=None)


def _stages(log: Log, run: RunFolder) -> None:
    st.html(log.html(is_active(run)))
    for notice in log.notices[-6:]:
        st.html(f'<p class="lx-notice">{escape(notice)}</p>')


def _log(run: RunFolder) -> Log:
    """Return the run's log, kept between redraws so that only new lines are read."""
    kept: dict[str, Log] = st.session_state.setdefault("logs", {})
    return kept.setdefault(str(run.path), Log(run)).read()


with messages():
    page()
