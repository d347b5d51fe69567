"""The report's pictures: scores with intervals, learning curves, words cut into pieces, labels; by matplotlib.

Colours are Okabe and Ito's (2008), told apart with any colour vision; arms keep theirs in every picture, and differ in
marker or line as well. Each picture is drawn for light and for dark pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapt.report.read import Column, arms_of, label_of, read_json

COLOURS = {"source": "#E69F00", "keep": "#56B4E9", "adapted": "#009E73"}
_MORE = ("#CC79A7", "#D55E00", "#0072B2", "#F0E442")
_MARKERS = {"source": "o", "keep": "s", "adapted": "D"}
_LINES = {"source": ":", "keep": "--", "adapted": "-"}
_SHORT = {"floor-crf": "floor: CRF", "floor-tfidf": "floor: TF-IDF", "floor-fasttext": "floor: fastText"}
_GREY = "#8a8f98"
THEMES = {"light": ("#1c2024", "#d9dce1", "#ffffff"), "dark": ("#e8eaed", "#3b4047", "#16181c")}


def colour(name: str, names: list[str]) -> str:
    """Colour of a system, the same in every picture."""
    if name.startswith("floor-"):
        return _GREY
    others = [n for n in names if n not in COLOURS and not n.startswith("floor-")]
    return COLOURS[name] if name in COLOURS else _MORE[others.index(name) % len(_MORE)]


def draw_all(run: Path, columns: list[Column], folder: Path, theme: str = "light") -> dict[str, Path]:
    """Draw every picture that the run has something for.

    Args:
        run: the run folder.
        columns: what was measured.
        folder: where the PNG files go.
        theme: `light` or `dark`; dark ones end in `.dark.png`.

    Returns:
        The files by name: `scores`, `learning_curves`, `pieces`, `labels`.
    """
    import matplotlib

    matplotlib.use("Agg", force=True)
    from matplotlib import pyplot as plt

    ink, rule, paper = THEMES[theme]
    style: dict[Any, Any] = {
        "font.family": "sans-serif",
        "font.sans-serif": ["Inter", "Source Sans 3", "Noto Sans", "DejaVu Sans"],
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": rule,
        "axes.labelcolor": ink,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": rule,
        "grid.linewidth": 0.6,
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "savefig.facecolor": paper,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }
    made: dict[str, Path] = {}
    drawers: dict[str, Callable[[Any], Any]] = {
        "scores": lambda p: _scores(p, columns),
        "learning_curves": lambda p: _curves(p, run),
        "pieces": lambda p: _pieces(p, run),
        "labels": lambda p: _labels(p, columns, ink),
    }
    import logging

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # fonts that are not here are no news
    with plt.rc_context(style):
        for name, drawer in drawers.items():
            figure = drawer(plt)
            if figure is None:
                continue
            file = folder / (f"{name}.png" if theme == "light" else f"{name}.dark.png")
            # No date and no version in the file: the same run gives the same bytes.
            figure.savefig(file, dpi=160, metadata={"Software": None})
            plt.close(figure)
            made[name] = file
    return made


def _scores(plt: Any, columns: list[Column]) -> Any:
    shown = [c for c in columns if c.measured]
    if not shown:
        return None
    names = list(dict.fromkeys(s.name for c in shown for s in c.systems.values()))
    wide = min(len(shown), 2)
    deep = math.ceil(len(shown) / wide)
    tall = sum(0.95 + 0.3 * max(len(c.measured) for c in shown[r * wide : (r + 1) * wide]) for r in range(deep))
    figure, grid = plt.subplots(deep, wide, figsize=(9.2, tall), squeeze=False)
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    for axis in grid.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, column in zip(grid.flat, shown, strict=False):
        # The majority class is so far off that beside it everything else would look alike; the table has it.
        systems = [s for s in column.measured if s.name != "floor-majority"][::-1] or column.measured
        for y, system in enumerate(systems):
            e = system.estimate
            if e is None:
                continue
            ink = colour(system.name, names)
            low, high = min(e.low, e.mean), max(e.high, e.mean)
            axis.plot([low, high], [y, y], color=ink, linewidth=2.2, solid_capstyle="round", zorder=2)
            axis.plot(e.mean, y, marker=_MARKERS.get(system.name, "o"), color=ink, markersize=7, zorder=3)
        axis.set_yticks(range(len(systems)), [_SHORT.get(s.name, label_of(s.name)) for s in systems])
        axis.set_ylim(-0.6, len(systems) - 0.4)
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.08)
        arrow = "higher is better" if column.better == "higher" else "lower is better"
        axis.set_title(column.title)
        axis.set_xlabel(f"{column.unit_text} ({arrow})", fontsize=9)
    return figure


def read_log(file: Path) -> list[dict[str, Any]]:
    """Lines of a training log; a last line that a kill cut short is left out."""
    lines = []
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    return lines


def _curves(plt: Any, run: Path) -> Any:
    logs = {arm: read_log(run / "pretrain" / arm / "log.jsonl") for arm in arms_of(run)}
    logs = {arm: log for arm, log in logs.items() if log}
    if not logs:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.3))
    names = list(logs)
    held = False
    for arm, log in logs.items():
        ink, dashes = colour(arm, names), _LINES.get(arm, "-.")
        minutes = [line.get("seconds", line["step"]) / 60 for line in log]
        left.plot(
            minutes, _smooth([line["loss"] for line in log]), color=ink, linestyle=dashes, label=arm, linewidth=1.8
        )
        facts = read_json(run / "pretrain" / arm / "facts.json")
        per_token = facts.get("characters", 0) / facts["tokens"] if facts.get("tokens") else 0
        points = [(m, line["heldout_loss"]) for m, line in zip(minutes, log, strict=True) if "heldout_loss" in line]
        if points and per_token:
            held = True
            bits = [loss / math.log(2) / per_token for _, loss in points]
            right.plot([m for m, _ in points], bits, color=ink, linestyle=dashes, label=arm, linewidth=1.8,
                       marker=_MARKERS.get(arm, "o"), markersize=4)  # fmt: skip
    left.set_title("Training loss")
    left.set_ylabel("nats per predicted token")
    right.set_title("Held-out loss per character")
    right.set_ylabel("bits per character, token by token")
    for axis in (left, right):
        axis.set_xlabel("minutes of training")
        axis.margins(x=0.02)
    left.legend()
    if not held:
        right.set_visible(False)
    return figure


def _smooth(values: list[float]) -> list[float]:
    """Take a running mean over a fiftieth of the run, exponential, bias taken out."""
    keep = 1 - 1 / max(1.0, len(values) / 50)
    total = weight = 0.0
    smooth = []
    for value in values:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        smooth.append(total / weight)
    return smooth


def _pieces(plt: Any, run: Path) -> Any:
    facts = read_json(run / "tokenizer" / "facts.json")
    rows = [
        ("fertility", "Pieces per word", 1.0, ".2f"),
        ("share_split", "Words cut, %", 100.0, ".0f"),
        ("characters_per_token", "Characters per piece", 1.0, ".2f"),
    ]
    rows = [row for row in rows if {"source", "target"} <= set(facts.get(row[0]) or {})]
    if not rows:
        return None
    figure, axes = plt.subplots(1, len(rows), figsize=(3.07 * len(rows), 1.7), squeeze=False)
    for axis, (key, title, scale, shape) in zip(axes[0], rows, strict=True):
        values = [scale * facts[key][name] for name in ("target", "source")]
        axis.barh([0, 1], values, color=[COLOURS["adapted"], COLOURS["source"]], height=0.62)
        for y, value in enumerate(values):
            axis.text(value, y, f" {value:{shape}}", va="center", ha="left", fontsize=10)
        axis.set_yticks([0, 1], ["new", "source"])
        axis.set_xlim(0, max(values) * 1.25 or 1)
        axis.set_title(title)
        axis.grid(visible=False)
        axis.set_xticks([])
        axis.spines["bottom"].set_visible(False)
    return figure


def _counts(labels: dict[str, int]) -> tuple[dict[str, int], bool]:
    """Labels to count; of BIO tags the spans alone, by type, since O would hide them."""
    if not all(name == "O" or name[:2] in ("B-", "I-") for name in labels):
        return labels, False
    return {name[2:]: count for name, count in labels.items() if name.startswith("B-")}, True


def _labels(plt: Any, columns: list[Column], ink: str) -> Any:
    shown = [(c.title, _counts(c.facts["label_counts"])) for c in columns if c.facts.get("label_counts")]
    if not shown:
        return None
    longest = max(min(12, len(counts)) for _, (counts, _) in shown)
    figure, axes = plt.subplots(1, len(shown), figsize=(3.07 * len(shown), 0.9 + 0.22 * longest), squeeze=False)
    for axis, (title, (counts, spans)) in zip(axes[0], shown, strict=True):
        whole = sum(counts.values()) or 1
        top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:12][::-1]
        axis.barh([n for n, _ in top], [100 * k / whole for _, k in top], color="#0072B2", height=0.7)
        axis.set_title(f"{title}, {len(counts)} {'types' if spans else 'labels'}")
        axis.set_xlabel("% of test entities" if spans else "% of test labels", fontsize=9)
        axis.tick_params(axis="y", labelsize=9)
        axis.grid(axis="y", visible=False)
    return figure
