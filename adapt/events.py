"""What a run tells while it works: `events.jsonl` for programs, lines and bars for the person at the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

Report = Callable[[float, float, Mapping[str, Any]], None]

_LINE_EVERY = 10.0  # seconds between lines where the output is not a terminal


def clock(seconds: float) -> str:
    """Seconds as people say them: `45 s`, `3:05 min`, `2:10 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


_stop = False


def ask_to_stop() -> None:
    """Make the next report of progress raise KeyboardInterrupt.

    An exception that a signal handler raises is lost when it falls into a callback or a destructor; this one is not.
    """
    global _stop
    _stop = True


_SHOWN = {
    "loss": "loss {:.2f}",
    "heldout_loss": "held-out loss {:.2f}",
    "heldout_bits_per_character": "{:.2f} bits/character",
    "heldout_pseudo_bits_per_character": "{:.2f} pseudo-bits/character",
    "forgetting": "forgetting {:+.3f}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "throughput_share": "{:.0%} of matrix throughput",
    "measuring": "measuring {}",
}


def note(facts: Mapping[str, Any]) -> str:
    """Pick what a person wants to see of the facts; the log has them all."""
    shown = [form.format(facts[key]) for key, form in _SHOWN.items() if facts.get(key) is not None]
    step = facts.get("step")
    return " · ".join(shown + [step] if isinstance(step, str) else shown)


class Events:
    """Append-only log of one run and its display.

    Args:
        path: the run's `events.jsonl`.
        console: where people read; None stays silent.
    """

    def __init__(self, path: Path, console: Console | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._mend(path)
        self._file = path.open("a", encoding="utf-8")
        self.console = console
        self._bars = (
            Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(24),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[left]}"),
                TextColumn("[dim]{task.fields[note]}"),
                console=console,
                transient=True,
            )
            if console is not None and console.is_terminal
            else None
        )

    @staticmethod
    def _mend(path: Path) -> None:
        """Cut off a last line that a kill left half written, so that every line stays JSON."""
        if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
            path.write_bytes(data[: data.rfind(b"\n") + 1])

    def emit(self, event: str, stage: str | None = None, **more: Any) -> None:
        """Write one line to the log."""
        line = {"time": round(time.time(), 3), "event": event, **({"stage": stage} if stage else {}), **more}
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        self._file.flush()

    def say(self, text: str) -> None:
        """Show a line to the person, where there is one."""
        if self.console is not None:
            self.console.print(text, highlight=False, soft_wrap=True)

    def notice(self, stage: str, message: str) -> None:
        """Something worth knowing that is no error."""
        self.emit("notice", stage, message=message)
        self.say(f"  [yellow]note[/] {message}")

    def progress(self, stage: str) -> _StageProgress:
        """Return a context that turns `progress(done, total, facts)` calls into events, a bar, and time left."""
        return _StageProgress(self, stage)

    def close(self) -> None:
        """Close the log file."""
        self._file.close()


class _StageProgress:
    """Progress of one stage: at most one event a second; time left from the pace since it started."""

    def __init__(self, events: Events, stage: str) -> None:
        self.events, self.stage = events, stage
        self.started = self.last_event = self.last_line = time.monotonic()
        self.first: float | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> Report:
        bars = self.events._bars
        if bars is not None:
            bars.start()
            self.task = bars.add_task(self.stage, total=1.0, left="", note="")
        return self

    def __call__(self, done: float, total: float, facts: Mapping[str, Any]) -> None:
        if _stop:
            raise KeyboardInterrupt
        now = time.monotonic()
        if "notice" in facts:
            self.events.notice(self.stage, str(facts["notice"]))
        if self.first is None:
            self.first, self.started = done, now
        pace = (done - self.first) / (now - self.started) if now > self.started else 0.0
        left = (total - done) / pace if pace > 0 else None
        if facts.get("seconds_left") is not None:
            left = float(facts["seconds_left"])
        told = note(facts)
        remaining = f"{clock(left)} left" if left is not None else ""
        if now - self.last_event >= 1.0 or done >= total:
            self.last_event = now
            self.events.emit(
                "progress",
                self.stage,
                done=done,
                total=total,
                seconds_left=None if left is None else round(left, 1),
                facts={k: v for k, v in facts.items() if k != "notice"},
            )
        bars = self.events._bars
        if bars is not None and self.task is not None:
            bars.update(self.task, completed=done, total=total, left=remaining, note=told)
        elif now - self.last_line >= _LINE_EVERY:
            self.last_line = now
            share = 100 * done / total if total else 0
            self.events.say("  " + " · ".join(x for x in (f"{share:.0f} %", remaining, told) if x))

    def __exit__(self, *exc: object) -> None:
        bars = self.events._bars
        if bars is not None and self.task is not None:
            bars.remove_task(self.task)
            bars.stop()
