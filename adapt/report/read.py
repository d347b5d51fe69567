"""What a run folder says about every arm and task, read once: scores of each seed, and what intervals are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from adapt.evaluate.job import read_predictions
from adapt.evaluate.statistics import Draws, Estimate, bootstrap, interval, ratio
from adapt.evaluate.task import TASKS, Task

ORDER = ("source", "keep", "adapted", "scratch")
FLOORS = "floors"
ARMS = {
    "source": "the model as it is",
    "keep": "trained as long, vocabulary kept",
    "adapted": "new vocabulary, then trained",
    "scratch": "untrained, new vocabulary, trained as long",
}


@dataclass
class System:
    """One arm (or floor) on one task.

    Attributes:
        name: `adapted`, `floor-crf`, ...
        scores: scores.json of each seed, by seed.
        draws: its scores on resampled test sets, or None where nothing was measured.
        estimate: mean and interval, in the column's unit; None where nothing was measured.
        note: why there is no number, or what the floor is.
    """

    name: str
    scores: dict[int, dict[str, Any]]
    draws: Draws | None = None
    estimate: Estimate | None = None
    note: str = ""

    @property
    def is_floor(self) -> bool:
        """Whether it needs no pretrained model."""
        return self.name.startswith("floor-")


@dataclass
class Column:
    """One task, or one of the two kinds of language modelling.

    Attributes:
        key: name in table.json: the task's, or `lm-bits` for decoders beside masked models.
        title: what people read above it.
        unit: of the numbers.
        better: `higher` or `lower`.
        metric: name of the metric.
        scale: what shares are multiplied by to be in `unit`.
        systems: by name, arms first.
        facts: shared facts (test items, leaks, words left out, ...).
    """

    key: str
    title: str
    unit: str
    better: str
    metric: str
    scale: float
    systems: dict[str, System]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def unit_text(self) -> str:
        """Metric and unit as people read them: `span F1, %`."""
        return f"{self.metric.replace('_', ' ').replace('f1', 'F1')}, %" if self.scale == 100 else self.unit

    @property
    def measured(self) -> list[System]:
        """Systems that have a number."""
        return [s for s in self.systems.values() if s.estimate is not None]

    @property
    def best(self) -> System | None:
        """The system with the best mean; of equals the first."""
        sign = 1 if self.better == "higher" else -1
        return max(self.measured, key=lambda s: sign * (s.estimate.mean if s.estimate else 0), default=None)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; empty when there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def arms_of(run: Path) -> list[str]:
    """Names of the arms that a run has, in the order people read them."""
    names = {p.name for part in ("evaluate", "pretrain") for p in (run / part).glob("*") if p.is_dir()}
    names = {name for name in names if name != FLOORS and not name.startswith(".")}
    return [a for a in ORDER if a in names] + sorted(names - set(ORDER))


def label_of(name: str, note: str = "") -> str:
    """Name a row as people read it."""
    return f"floor: {note or name.removeprefix('floor-')}" if name.startswith("floor-") else name


def columns_of(run: Path) -> list[Column]:
    """Everything that was measured, one column a task; language modelling last, by kind.

    Args:
        run: the run folder.
    """
    return columns_over({"": run})


def columns_over(runs: Mapping[str, Path]) -> list[Column]:
    """Read what several runs measured on the same items as one run, whose arms are called `x: adapted` for the run `x`.

    Args:
        runs: run folders by name; the arms of a run named "" keep their own names.
    """
    found = []
    for task in sorted(TASKS, key=lambda t: (not t.files, ("pos", "ner", "sentiment", t.name).index(t.name))):
        systems = _systems(runs, task.name)
        if not systems:
            continue
        found += [_labelled(task, systems)] if task.files else _language_modelling(task, systems)
    return found


def _systems(runs: Mapping[str, Path], task: str) -> dict[str, System]:
    folders, floors = {}, {}
    for run, folder in runs.items():
        for arm in arms_of(folder):
            folders[f"{run}: {arm}" if run else arm] = folder / "evaluate" / arm / task
        for path in (folder / "evaluate" / FLOORS / task).glob("*"):
            if path.is_dir() and not path.name.startswith("."):
                floors[path.name] = path
    usual = ("majority", "crf", "tfidf", "fasttext")
    for name in sorted(floors, key=lambda n: (usual.index(n) if n in usual else len(usual), n)):
        folders[f"floor-{name}"] = floors[name]
    systems = {}
    for name, folder in folders.items():
        scores = {}
        for file in sorted(folder.glob("seed-*/scores.json")):
            one = read_json(file)
            scores[int(one.get("seed", 0))] = {**one, "folder": file.parent}
        if scores:
            systems[name] = System(name, dict(sorted(scores.items())))
    return systems


def _labelled(task: Task, systems: dict[str, System]) -> Column:
    first = next(iter(systems.values()))
    column = Column(task.name, _TITLES.get(task.name, task.name), task.unit, task.better, task.metric, 100.0, systems)
    keys = ("n_train", "n_dev", "n_test", "dev", "leaked", "file_test", "label_counts")
    column.facts = {k: v for k, v in next(iter(first.scores.values())).items() if k in keys}
    arms = [system for system in systems.values() if not system.is_floor]
    column.facts["modes"] = sorted({str(one["mode"]) for system in arms for one in system.scores.values()})
    lost = {n: next(iter(s.scores.values())).get("words_without_piece", 0) for n, s in systems.items()}
    column.facts["words_without_piece"] = {n: k for n, k in lost.items() if k}
    for system in systems.values():
        parts = []
        for one in system.scores.values():
            if task.items is not None and (one["folder"] / "predictions.jsonl").is_file():
                parts.append(task.items(read_predictions(one["folder"])))
        system.note = str(next(iter(system.scores.values())).get("note") or "")
        if parts and task.score is not None:
            system.draws = _scaled(bootstrap(np.stack(parts), task.score), 100.0)
            system.estimate = interval(system.draws)
    return column


_TITLES = {"pos": "POS", "ner": "NER", "sentiment": "Sentiment", "lm": "Language modelling"}


def _scaled(draws: Draws, scale: float) -> Draws:
    return Draws(draws.point * scale, draws.draws * scale)


def _language_modelling(task: Task, systems: dict[str, System]) -> list[Column]:
    """One column for masked models and one for decoders; the words counted are those that every arm could score."""
    arrays: dict[str, dict[str, np.ndarray]] = {}
    kinds: dict[str, str] = {}
    for name, system in systems.items():
        one = next(iter(system.scores.values()))
        file = one["folder"] / "words.npz"
        if one.get("main") and file.is_file():
            with np.load(file, allow_pickle=False) as loaded:
                arrays[name] = {key: loaded[key] for key in loaded.files}
            kinds[name] = "bits" if one["main"] == "bits_per_character" else "pseudo-bits"
        else:
            system.note = str(one.get("note") or "not measured")
    present = sorted(set(kinds.values()), reverse=True) or ["pseudo-bits"]
    use, facts = _words_for_all(arrays)
    columns = []
    for kind in present:
        key = task.name if kind == present[0] else f"{task.name}-bits"
        title = _TITLES["lm"] if kind == "pseudo-bits" else f"{_TITLES['lm']}, decoder"
        metric = "pseudo_bits_per_character" if kind == "pseudo-bits" else "bits_per_character"
        own = {}
        for name, system in systems.items():
            if kinds.get(name, kind) == kind:
                own[name] = system
                if name in arrays and use.any():
                    system.draws = bootstrap(_line_parts(arrays[name], use), ratio)
                    system.estimate = interval(system.draws)
                elif name in arrays:
                    system.note = "no word that every arm can score"
        columns.append(Column(key, title, f"{kind} per character", "lower", metric, 1.0, own, dict(facts)))
    return columns


def _words_for_all(arrays: dict[str, dict[str, np.ndarray]]) -> tuple[np.ndarray, dict[str, Any]]:
    """Which words every arm scored unharmed, (words,), and how many each arm would lose."""
    if not arrays:
        return np.zeros(0, dtype=bool), {}
    first = next(iter(arrays.values()))
    for name, one in arrays.items():
        if any(not np.array_equal(one[key], first[key]) for key in ("line", "start", "end")):
            raise ValueError(f"the arm {name} was scored on other words: evaluate the arms again")
    use = np.all([one["status"] == "ok" for one in arrays.values()], axis=0)
    lost = {
        name: {str(s): int((one["status"] == s).sum()) for s in np.unique(one["status"]) if s != "ok"}
        for name, one in arrays.items()
    }
    return use, {"words": len(use), "words_used": int(use.sum()), "lost": lost}


def _line_parts(one: dict[str, np.ndarray], use: np.ndarray) -> np.ndarray:
    """(bits, characters) of each held-out line that has words in the sample, shape (1, lines, 2)."""
    lines, index = np.unique(one["line"], return_inverse=True)
    parts = np.zeros((len(lines), 2))
    np.add.at(parts[:, 0], index[use], one["bits"][use])
    np.add.at(parts[:, 1], index[use], one["characters"][use])
    return parts[None]
