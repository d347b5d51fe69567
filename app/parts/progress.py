"""How far a run is: its `events.jsonl` read line by line as it grows, drawn as a list of stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

from adapt.events import clock
from app.parts.folders import ACTIVE, RunFolder
from app.parts.lines import Lines

_WORDS = {
    "corpus": "Prepare the text",
    "tokenizer": "Build the tokenizer",
    "transplant": "Transplant the vocabulary",
    "budget": "Measure the speed",
    "preflight": "Estimate time and memory",
    "pretrain": "Pretrain",
    "evaluate": "Evaluate",
    "floors": "floors",
    "report": "Write the report",
    "model": "Put the model in place",
    "lm": "language modelling",
    "pos": "POS",
    "ner": "NER",
}
_SIGNS = {"done": "✓", "skipped": "✓", "running": "", "waiting": "", "cut": "–", "failed": "✕"}
_SAID = {"waiting": "waiting", "cut": "cut off", "failed": "failed", "skipped": "done before", "done": "done"}


def stage_title(name: str) -> str:
    """Put a stage's folder name in words: `pretrain/adapted` becomes `Pretrain · adapted`."""
    return " · ".join(_WORDS.get(part, part) for part in name.split("/"))


@dataclass
class Stage:
    """What is known of one stage.

    Attributes:
        state: waiting, running, done, skipped, cut (its process is gone) or failed.
        done, total: how far, in units of its own.
        seconds_left: guess of the run itself; None when it has none.
        seconds: what it took, when it is done.
        facts: the newest numbers (loss, tokens per second).
        began: its beginning was logged, so its end will be.
    """

    name: str
    state: str = "waiting"
    done: float = 0.0
    total: float = 0.0
    seconds_left: float | None = None
    seconds: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    began: bool = False

    @property
    def share(self) -> float:
        """Share done, 0 to 1."""
        if self.state in ("done", "skipped"):
            return 1.0
        return min(1.0, max(0.0, self.done / self.total)) if self.total else 0.0


class Log:
    """The events of one run; `read` takes in what was written since the last call.

    Args:
        run: the run folder.
    """

    def __init__(self, run: RunFolder) -> None:
        self.path = run.path
        self._lines = Lines()
        self._start()

    def _start(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.notices: list[str] = []
        self._planned = False

    def read(self) -> Log:
        """Take in new lines; a file that became shorter is read from its beginning."""
        path = RunFolder(self.path).file("events.jsonl")
        events, whole = self._lines.read(path) if path is not None else ([], False)
        if whole:
            self._start()
        for event in events:
            self._take(event)
        return self

    def _take(self, event: dict[str, Any]) -> None:
        kind, name = event.get("event"), event.get("stage")
        for planned in _strings(event.get("stages")):
            self.stages.setdefault(planned, Stage(planned))
            self._planned = True
        if kind == "run":
            for stage in self.stages.values():
                if stage.state in ("running", "failed"):
                    stage.state = "waiting"
            self.notices.clear()
        if kind == "notice" and event.get("message"):
            text = ": ".join(filter(None, [str(event["message"]), _estimates(event.get("facts"))]))
            if text not in self.notices:
                self.notices.append(text)
        if kind in ("failed", "stopped") and not name:
            for stage in self.stages.values():
                if stage.state == "running":
                    stage.state = "failed" if kind == "failed" else "cut"
        if not isinstance(name, str) or kind == "notice":
            return
        stage = self._stage(name)
        facts = event.get("facts")
        facts = facts if isinstance(facts, dict) else {}
        if kind == "started":
            stage.state, stage.done, stage.total, stage.seconds_left, stage.facts = "running", 0.0, 0.0, None, {}
            stage.began = True
        elif kind == "progress":
            stage.state, stage.facts = "running", facts or stage.facts
            stage.done, stage.total = _float(event.get("done")) or 0.0, _float(event.get("total")) or 0.0
            stage.seconds_left = _float(event.get("seconds_left"))
            if not stage.began and stage.share == 1.0:  # the look ahead only counts: nothing says that it is done
                stage.state = "done"
        elif kind in ("finished", "skipped", "failed"):
            stage.state = {"finished": "done"}.get(str(kind), str(kind))
            stage.seconds = _float(facts.get("seconds"))

    def _stage(self, name: str) -> Stage:
        """Return a stage; one that was not planned comes before those that were, as the look ahead does."""
        if name not in self.stages:
            self.stages = {name: Stage(name), **self.stages} if self._planned else {**self.stages, name: Stage(name)}
        return self.stages[name]

    def html(self, active: bool) -> str:
        """Draw the stages as a list, the running one with a bar; all text escaped."""
        return f'<ol class="lx-stages">{"".join(_row(stage, active) for stage in self.stages.values())}</ol>'


def _row(stage: Stage, active: bool) -> str:
    state = "cut" if stage.state == "running" and not active else stage.state
    note, bar = _SAID.get(state, ""), ""
    if state == "done" and stage.seconds is not None:
        note = clock(stage.seconds)
    if state == "running":
        left = f"{clock(stage.seconds_left)} left" if stage.seconds_left is not None else "working"
        note = f"{stage.share:.0%} · {left}" if stage.total else left
        bar = f'<span class="lx-bar"><span style="width:{100 * stage.share:.1f}%"></span></span>' + _facts(stage.facts)
    return (
        f'<li class="lx-{state}"><span class="lx-sign">{_SIGNS.get(state, "")}</span>'
        f'<span class="lx-name">{escape(stage_title(stage.name))}</span>'
        f'<span class="lx-note">{escape(note)}</span>{bar}</li>'
    )


def _facts(facts: dict[str, Any]) -> str:
    shown = []
    for key, value in facts.items():
        if key == "seconds_left" or isinstance(value, bool | dict | list) or value is None:
            continue
        name, _, unit = str(key).rpartition("_")
        text = f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        if unit == "bytes" and not isinstance(value, str):
            key, text = name, _size(value)
        shown.append(f"{escape(str(key).replace('_', ' '))} <b>{escape(text)}</b>")
    return f'<span class="lx-facts">{" · ".join(shown[:16])}</span>' if shown else ""


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def _estimates(facts: Any) -> str:
    """Put a notice's numbers in words: seconds and bytes by the ends of their names, others as they are."""
    shown = []
    for key, value in facts.items() if isinstance(facts, dict) else ():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        name, _, unit = str(key).rpartition("_")
        if unit == "seconds":
            shown.append(f"{name} {clock(value)}")
        elif unit == "bytes":
            shown.append(f"{name} {_size(value)}")
        else:
            shown.append(f"{key.replace('_', ' ')} {value:,.4g}" if isinstance(value, float) else f"{key} {value:,}")
    return " · ".join(shown)


def badge(run: RunFolder) -> str:
    """Draw the status as a coloured word."""
    return f'<span class="lx-badge lx-is-{escape(run.status)}">{escape(run.status)}</span>'


def is_active(run: RunFolder) -> bool:
    """Say whether a process works on the run now."""
    return run.status in ACTIVE


def _strings(value: Any) -> Iterable[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
