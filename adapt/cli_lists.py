"""Commands that list what there is: methods, tasks, tunings, watchers, criteria of selection, metrics."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from adapt.evaluate.task import TASKS

console = Console()


def _listing(rows: list[dict[str, str]]) -> None:
    """Show a registry: the name in bold, what it does, and the rest under it."""
    for row in rows:
        name, summary = row.pop("name"), row.pop("summary")
        console.print(f"[bold]{escape(name)}[/]  {escape(summary)}", highlight=False)
        for key, text in row.items():
            console.print(Padding(f"[dim]{key}[/] {escape(text)}", (0, 0, 0, 4)), highlight=False)


def methods() -> None:
    """List the methods of vocabulary transplant."""
    from vocab.transplant.method import METHODS

    _listing(
        [
            {
                "name": m.name,
                "summary": m.summary,
                "formula": m.formula.replace("`", ""),
                "paper": m.paper or "ours",
                "needs": ", ".join(sorted(m.needs)) or "nothing more",
                "options": ", ".join(f"{key}={f.default}" for key, f in m.options.model_fields.items()) or "none",
                "use it when": m.when,
                "not when": m.when_not,
            }
            for m in METHODS
        ]
    )
    console.print(
        "[dim]Chains (focus -> subwords -> mean) and blends (0.7 focus + 0.3 subwords) of these work too. Not done: "
        "methods that train (CW2V, HyperOFA, token distillation) and contextual rows.[/]"
    )


def tasks() -> None:
    """List what can be measured."""
    _listing(
        [
            {
                "name": t.name,
                "summary": t.summary,
                "main metric": f"{t.metric} ({t.unit}; {t.better} is better)",
                "source": t.paper,
            }
            for t in TASKS
        ]
    )


def tunings() -> None:
    """List what can be trained."""
    from adapt.tuning.tuning import TUNINGS

    _listing(
        [
            {
                "name": t.name,
                "summary": t.summary,
                "paper": t.paper or "-",
                "use it when": t.when,
                "not when": t.when_not,
            }
            for t in TUNINGS
        ]
    )


def watchers() -> None:
    """List what can look at a training as it goes on, and stop or steer it."""
    from adapt.pretrain.watchers.watcher import WATCHERS

    _listing(
        [
            {
                "name": w.name,
                "summary": w.summary,
                "source": w.paper or "-",
                "on": "always" if w.always else f"with pretrain.watchers.{w.name.replace('-', '_')}",
            }
            for w in WATCHERS
        ]
    )


def criteria() -> None:
    """List what lines of a text can be selected by."""
    from adapt.selection.criterion import CRITERIA

    _listing(
        [
            {
                "name": c.name,
                "summary": c.summary,
                "paper": c.paper,
                "on": f"corpus.select.{'filters' if c.kind == 'filter' else 'by'}",
            }
            for c in CRITERIA
        ]
    )


def metrics() -> None:
    """List the metrics tokenizers are compared by."""
    from vocab.compare.metric import METRICS

    _listing(
        [
            {
                "name": m.name,
                "summary": m.summary,
                "unit": f"{m.unit}; {m.better} is better",
                "source": m.paper,
                **({"computed": "only when asked for: `tokenizer compare --also`"} if m.asked else {}),
            }
            for m in METRICS
        ]
    )


LISTS = (methods, tasks, tunings, watchers, criteria, metrics)
