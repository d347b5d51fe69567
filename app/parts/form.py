"""Draw a tree of form fields, collect what was given, and say beside each field what is wrong with it.

Widgets keep their own state; what they hold is turned into the settings a YAML file would have, defaults left out.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st
import yaml
from pydantic import BaseModel, ValidationError

from app.parts.schema import Field

_UNSET: Any = object()
_LONGEST = 40  # characters that an empty field has room for


@dataclass
class Form:
    """One form on one page.

    Attributes:
        top: the fields.
        model: what the collected settings must satisfy.
        essential: dotted keys that are always in view; required ones are too, others are folded away.
        hidden: dotted keys that the page sets itself.
        name: prefix of the widgets' keys.
        values: settings collected in this run of the page, defaults left out.
        problems: what is wrong, by dotted key; "" for what belongs to no single field.
    """

    top: Field
    model: type[BaseModel]
    essential: frozenset[str]
    hidden: frozenset[str] = frozenset()
    name: str = "run"
    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places: dict[str, Any] = {}
        self._given: set[str] = set()

    def key(self, item: Field) -> str:
        """Key of a field's widget in the session state."""
        return f"{self.name}:{item.key}"

    def draw(self) -> None:
        """Draw all groups; `values` and `problems` are complete afterwards."""
        own = [child for child in self.top.children if child.kind != "group"]
        self._section("General", "", [f for f in own if self._first(f)], [f for f in own if not self._first(f)])
        for group in self.top.children:
            if group.kind == "group" and group.key not in self.hidden:
                near = [f for f in self._flat(group) if self._first(f)]
                far = [f for f in self._flat(group) if not self._first(f)]
                self._section(group.label, group.help, near, far, group.key)
        self.problems = self._check()
        asked = bool(st.session_state.get(f"{self.name}:asked"))
        for key, message in self.problems.items():
            if key in self._places and (asked or key in self._given):
                self._places[key].html(f'<p class="lx-wrong">{escape(message)}</p>')

    def shown_problems(self) -> list[str]:
        """Say what keeps the run from starting, one sentence a field."""
        labels = {
            item.key: " · ".join([*map(_title, item.path[:-1]), item.label])
            for item in [*self.top.leaves(), *self.top.groups()]
            if item.path
        }
        return [f"{labels[k]}: {m}" if k in labels else m for k, m in self.problems.items()]

    def fill(self, settings: dict[str, Any]) -> None:
        """Put settings, as a YAML file has them, into the widgets; everything else goes back to its default.

        To be called before the form is drawn (in a callback).
        """
        for leaf in self.top.leaves():
            found = _lookup(settings, leaf.path)
            value = leaf.default if found is _UNSET else found
            if leaf.kind == "rows":
                self._fill_rows(leaf, value)
            else:
                st.session_state[self.key(leaf)] = _to_widget(leaf, value)
        for group in self.top.groups():
            if group.optional:
                st.session_state[self.key(group)] = isinstance(_lookup(settings, group.path), dict)
        st.session_state[f"{self.name}:asked"] = False

    def _first(self, item: Field) -> bool:
        return item.required or any(item.key == key or item.key.startswith(f"{key}.") for key in self.essential)

    def _flat(self, group: Field) -> Iterator[Field]:
        """Yield the children of a group, those of its plain inner groups in their place; optional groups stay whole."""
        for child in group.children:
            if child.key in self.hidden:
                continue
            if child.kind == "group" and not child.optional:
                yield from self._flat(child)
            else:
                yield child

    def _section(self, title: str, text: str, near: list[Field], far: list[Field], key: str = "") -> None:
        near, far = ([f for f in fields if f.key not in self.hidden] for fields in (near, far))
        if not near and not far:
            return
        with st.container(border=True, key=f"{self.name}-section-{key or 'general'}".replace(".", "-")):
            st.subheader(title, anchor=False)
            if text:
                st.caption(text)
            if key:
                self._places[key] = st.empty()
            self._grid(near)
            if far:
                with st.expander(f"More {title.lower()} settings ({len(far)})"):
                    self._grid(far)

    def _grid(self, items: list[Field]) -> None:
        """Draw two fields a row; those that need width get their own, with the names of the groups between."""
        row: list[Any] = []
        parent: tuple[str, ...] | None = None
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else None
            if parent is not None and item.path[:-1] != parent and len(item.path) > 2 and item.kind != "group":
                st.caption(" · ".join(map(_title, item.path[1:-1])))
                row = []
            elif item.path[:-1] != parent:
                row = []
            parent = item.path[:-1]
            if item.kind == "group":
                self._optional_group(item)
                row = []
            elif _wide(item) or (not row and item.kind in ("text", "path") and (not following or _wide(following))):
                self._leaf(item)
                row = []
            else:
                if not row:
                    row = list(st.columns(2))
                with row.pop(0):
                    self._leaf(item)

    def _optional_group(self, group: Field) -> None:
        on = st.toggle(group.label, key=self.key(group), help=group.help or None, persist_state="session")
        self._places[group.key] = st.empty()
        if on:
            _store(self.values, group.path, {})
            with st.container(key=f"{self.name}-inner-{group.key}".replace(".", "-")):
                self._grid(list(self._flat(group)))

    def _rows(self, item: Field) -> None:
        """Draw one line of cells for each row, each with a button that takes it away, and one that adds another."""
        key = self.key(item)
        if key not in st.session_state:
            self._fill_rows(item, item.default)
        st.markdown(item.label, help=item.help or None)
        rows: list[list[Any]] = []
        for row in st.session_state[key]:
            with st.container(horizontal=True, vertical_alignment="bottom", key=f"{key}-{row}".replace(".", "-")):
                cells = [_from_widget(cell, _widget(cell, f"{key}:{row}:{cell.path[-1]}")) for cell in item.children]
                st.button("Remove", key=f"{key}:{row}:remove", on_click=_remove_row, args=(key, row))
            rows.append([None if value is _UNSET else value for value, _ in cells])
        st.button("Add", key=f"{key}:add", icon=":material/add:", on_click=_add_row, args=(key,))
        self._places[item.key] = st.empty()
        filled = [row for row in rows if any(value not in (None, "", []) for value in row)]
        value: Any = {str(name or ""): rest for name, rest in filled} if item.named else filled
        if item.named and len(value) < len(filled):
            self.problems[item.key] = "two rows have the same name"
        if filled:
            self._given.add(item.key)
            _store(self.values, item.path, value)

    def _fill_rows(self, item: Field, value: Any) -> None:
        rows = [*value.items()] if item.named else list(value)
        st.session_state[self.key(item)] = list(range(len(rows)))
        for number, row in enumerate(rows):
            for cell, one in zip(item.children, row, strict=True):
                st.session_state[f"{self.key(item)}:{number}:{cell.path[-1]}"] = _to_widget(cell, one)

    def _leaf(self, item: Field) -> None:
        if item.kind == "rows":
            self._rows(item)
            return
        key = self.key(item)
        if key not in st.session_state:
            st.session_state[key] = _to_widget(item, item.default)
        raw = _widget(item, key)
        place = st.empty()
        self._places[item.key] = place
        value, problem = _from_widget(item, raw)
        if problem:
            self._given.add(item.key)
            self.problems[item.key] = problem
        if value is _UNSET or value == item.default:
            if item.required and value is not _UNSET:
                _store(self.values, item.path, value)
            return
        self._given.add(item.key)
        _store(self.values, item.path, value)

    def _check(self) -> dict[str, str]:
        """Ask the model, and keep what the widgets themselves found."""
        found = dict(self.problems)
        fields = {item.key: item for item in [*self.top.groups(), *self.top.leaves()]}
        known = set(fields)
        data = copy.deepcopy(self.values)
        for group in self.top.groups():
            if group.path and not group.optional and _lookup(data, group.path[:-1]) is not _UNSET:
                _store(data, group.path, {})  # so that what is missing in it is named, not the group
        try:
            self.model.model_validate(data)
        except ValidationError as error:
            for wrong in error.errors():
                key = _nearest([str(part) for part in wrong["loc"]], known)
                message = said_of(wrong)
                first = message.split(" ")[0].strip("`")
                first = f"{key}.{first}" if f"{key}.{first}" in known else first
                if first in known and "." in first:  # a rule over several fields names the one it is about
                    key, message = first, message.split(" ", 1)[-1]
                if wrong["type"] == "missing" or (key and not _given(self.values, key) and fields[key].required):
                    message = "this is needed"
                elif wrong["type"] == "string_pattern_mismatch":
                    message = f"not in the form asked for: {fields[key].help}"
                found.setdefault(key, message[:1].lower() + message[1:])
        for leaf in self.top.leaves():
            if leaf.key not in self.hidden and (problem := _missing_files(leaf, _lookup(self.values, leaf.path))):
                found.setdefault(leaf.key, problem)
        order = {leaf.key: n for n, leaf in enumerate(self.top.leaves())}
        return dict(sorted(found.items(), key=lambda pair: order.get(pair[0], -1)))


def said_of(problem: Mapping[str, Any]) -> str:
    """Return what pydantic says of one problem, without its own word for where that came from."""
    return str(problem["msg"]).removeprefix("Value error, ")


def _add_row(key: str) -> None:
    """Add a row to those of a field; a button may be pressed again before the page is drawn anew."""
    rows = st.session_state[key]
    rows.append(max(rows, default=-1) + 1)


def _remove_row(key: str, row: int) -> None:
    """Take a row away, with what its cells held."""
    st.session_state[key] = [other for other in st.session_state[key] if other != row]
    for cell in [name for name in st.session_state if str(name).startswith(f"{key}:{row}:")]:
        del st.session_state[cell]


def _widget(item: Field, key: str) -> Any:
    common: dict[str, Any] = {"key": key, "help": item.help or None, "persist_state": "session"}
    unset = _unset(item) if item.default is None else f"default: {item.default}"
    if item.kind == "flag":
        return st.toggle(item.label, **common)
    if item.kind == "choice" or (item.kind == "text" and item.suggestions):
        common |= {"index": None, "placeholder": unset} if item.optional else {}
        if item.kind == "text":
            return st.selectbox(item.label, item.suggestions, accept_new_options=True, **common)
        shown = {True: "yes", False: "no"}
        return st.selectbox(item.label, item.choices, format_func=lambda v: shown.get(v, str(v)), **common)
    if item.kind == "choices":
        return st.multiselect(item.label, item.choices, **common)
    if item.kind == "integer":
        least, most = (None if v is None else int(v) for v in (item.low, item.high))
        return st.number_input(item.label, least, most, value=None, step=1, placeholder=unset, **common)
    if item.kind == "number":
        low, high = (None if v is None else float(v) for v in (item.low, item.high))
        step = _step(item.default)
        return st.number_input(item.label, low, high, None, step, "%g", placeholder=unset, **common)
    if item.kind == "list" and item.item in ("path", "text"):
        return st.text_area(
            item.label, height=80, placeholder="one path a line" if item.item == "path" else "one a line", **common
        )
    if item.kind == "yaml":
        return st.text_area(item.label, height=80, placeholder="YAML", **common)
    hints = {"path": "path on this machine", "list": "numbers, with commas between"}
    placeholder = hints.get(item.kind) or (_unset(item) if item.optional else item.help.rstrip("."))
    return st.text_input(item.label, placeholder=placeholder, **common)


def _unset(item: Field) -> str:
    """Say in an empty field what it stands for, where the setting's help does."""
    meant = re.search(r"[Nn]othing means (?:that )?(.+?)(?:[.;(]|$)", item.help, re.DOTALL)
    text = " ".join(meant[1].split()) if meant else ""
    return text if 0 < len(text) <= _LONGEST else "not set"


def _wide(item: Field) -> bool:
    """Say whether a field needs the whole width."""
    return item.kind in ("yaml", "choices", "group", "rows") or (item.kind == "list" and item.item in ("path", "text"))


def _step(default: Any) -> float:
    """Return a sensible step for a fraction: about a tenth of its size."""
    if not isinstance(default, int | float) or not default:
        return 0.1
    step = 1.0
    while step > abs(default) / 2 and step > 1e-9:
        step /= 10
    return step


def _to_widget(item: Field, value: Any) -> Any:
    """Return a setting as its widget holds it."""
    if item.kind == "flag":
        return bool(value)
    if item.kind in ("choice", "integer"):
        return value
    if item.kind == "number":
        return None if value is None else float(value)
    if item.kind == "choices":
        return list(value or [])
    if item.kind == "list":
        between = "\n" if item.item in ("path", "text") else ", "
        return between.join(str(v) for v in value or [])
    if item.kind == "yaml":
        return "" if value is None else yaml.safe_dump(value, allow_unicode=True).strip()
    if item.kind == "text" and item.suggestions:
        return value
    return "" if value is None else str(value)


def _from_widget(item: Field, raw: Any) -> tuple[Any, str | None]:
    """Return what a widget holds as a setting, and what is wrong with it; `_UNSET` when nothing is given."""
    if item.kind in ("flag", "choice", "integer", "number"):
        return (raw if raw is not None or item.optional else _UNSET), None
    if item.kind == "choices":
        return list(raw), None
    text = str(raw or "").strip()
    if item.kind == "list":
        parts = [p.strip() for p in (text.splitlines() if item.item in ("path", "text") else text.split(","))]
        values: list[Any] = [p for p in parts if p]
        if item.item == "path":
            return [_absolute(p) for p in values], None
        if item.item in ("integer", "number"):
            try:
                return [int(p) if item.item == "integer" else float(p) for p in values], None
            except ValueError:
                return values, f"whole numbers with commas between, such as 0, 1, 2; found {text[:40]!r}"
        return values, None
    if not text:
        return (None if item.optional else _UNSET), None
    if item.kind == "yaml":
        try:
            return yaml.safe_load(text), None
        except yaml.YAMLError as error:
            return _UNSET, f"not YAML: {getattr(error, 'problem', error)}"
    return (_absolute(text) if item.kind == "path" else text), None


def _absolute(text: str) -> str:
    """Make a path what the run's process must see, wherever that is started."""
    return str(Path(text).expanduser().absolute())


def _missing_files(item: Field, value: Any) -> str | None:
    if value in (_UNSET, None) or "path" not in (item.kind, item.item):
        return None
    missing = [p for p in (value if isinstance(value, list) else [value]) if not Path(p).exists()]
    return f"no such file: {', '.join(missing)}" if missing else None


def _nearest(where: list[str], known: set[str]) -> str:
    """Find the deepest field that an error's place lies in."""
    return next((key for n in range(len(where), 0, -1) if (key := ".".join(where[:n])) in known), "")


def _lookup(data: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return _UNSET
        data = data[part]
    return data


def _given(data: dict[str, Any], key: str) -> bool:
    return _lookup(data, tuple(key.split("."))) not in (_UNSET, None, "", [])


def _store(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        data = data.setdefault(part, {})
    if isinstance(value, dict) and not value:
        data.setdefault(path[-1], {})
    else:
        data[path[-1]] = value


def _title(part: str) -> str:
    return Field((part,), "group").label
