"""Pictures of a comparison: sizes, lengths, languages, ranks, and words by how frequent they are.

`pictures` says what each shows; `draw` draws that with matplotlib, and the web page with altair. Colours are Okabe and
Ito's (2008), told apart with any colour vision; tokenizers keep theirs in every picture and differ in marker and line
as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vocab.compare.bootstrap import estimate
from vocab.compare.metric import METRICS, Measured, Ratio, Resampled
from vocab.compare.words import frequencies

if TYPE_CHECKING:
    import pandas as pd

COLOURS = ("#E69F00", "#009E73", "#56B4E9", "#CC79A7", "#D55E00", "#0072B2", "#F0E442")
_MARKERS, _LINES = "oDs^vPX", ("-", "--", "-.", ":")
_MOST_PIECES = 8
_RANKS = 300
_INK, _RULE = "#1c2024", "#d9dce1"
Found = Mapping[str, Measured]


@dataclass(frozen=True)
class Axis:
    """One direction of a picture.

    Attributes:
        column: which column of the points.
        title: what it is, with its unit.
        scale: `linear` (from 0), `log`, or `names` in the order of the points.
    """

    column: str
    title: str
    scale: Literal["linear", "log", "names"] = "linear"


@dataclass(frozen=True)
class Picture:
    """What one picture shows.

    Attributes:
        name: of its file.
        title: what it shows.
        mark: a line a tokenizer, a point, or a bar beside the others'.
        x: to the right.
        y: upwards.
        points: `tokenizer`, the columns of both axes, and `low` and `high` (95 % interval) of what is estimated.
        even: a value of y where nothing is better or worse.
    """

    name: str
    title: str
    mark: Literal["line", "points", "bars"]
    x: Axis
    y: Axis
    points: pd.DataFrame
    even: float | None = None


def pictures(measured: Found) -> list[Picture]:
    """Say what every picture shows that there is something for.

    Args:
        measured: by tokenizer's name, as `vocab.compare.measure` returns it.

    Returns:
        `fertility_by_size`, `lengths`, `parity` (with parallel text), `ranks` (at most 300 of them, further apart the
        rarer the pieces), `split_by_frequency`.
    """
    made = [_sizes(measured), _lengths(measured), _parity(measured), _ranks(measured), _split(measured)]
    return [picture for picture in made if len(picture.points)]


def _sizes(measured: Found) -> Picture:
    found = {name: METRICS["fertility"].measure(one) for name, one in measured.items()}
    rows = [(name, len(measured[name].view), *_estimated(one)) for name, one in found.items() if one is not None]
    return Picture(
        "fertility_by_size", "Pieces a word, by size of the vocabulary", "points",
        Axis("vocabulary_size", "pieces in the vocabulary", "log"),
        Axis("fertility", "pieces per word (95 % interval)"),
        _frame(rows, "vocabulary_size", "fertility", "low", "high"),
    )  # fmt: skip


def _lengths(measured: Found) -> Picture:
    names = [*map(str, range(1, _MOST_PIECES)), f"{_MOST_PIECES}+"]
    rows: list[tuple[Any, ...]] = []
    for name, one in measured.items():
        places, frequency = frequencies(one.text)
        length = np.clip(one.words.lengths[places], 1, _MOST_PIECES)
        share = np.bincount(length, weights=frequency, minlength=_MOST_PIECES + 1)[1:] / frequency.sum()
        rows += zip([name] * _MOST_PIECES, names, 100 * share, strict=True)
    return Picture(
        "lengths", "How many pieces words have", "line", Axis("pieces", "pieces", "names"),
        Axis("percent", "% of the text's words"), _frame(rows, "pieces", "percent"),
    )  # fmt: skip


def _parity(measured: Found) -> Picture:
    rows = [
        (name, language or "parallel text", *_estimated(Ratio(*sides)))
        for name, one in measured.items()
        for language, sides in one.parallel.items()
    ]
    return Picture(
        "parity", "Tokens against the other side of parallel text", "bars", Axis("language", "", "names"),
        Axis("parity", "tokens / tokens of the other side"), _frame(rows, "language", "parity", "low", "high"), even=1,
    )  # fmt: skip


def _ranks(measured: Found) -> Picture:
    rows: list[tuple[Any, ...]] = []
    for name, one in measured.items():
        counts = np.sort(one.frequency[one.used])[::-1]
        ranks = np.unique(np.geomspace(1, len(counts), _RANKS).round().astype(np.int64))
        rows += zip([name] * len(ranks), ranks.tolist(), counts[ranks - 1].tolist(), strict=True)
    return Picture(
        "ranks", "How often pieces are used, by rank", "line", Axis("rank", "rank of the piece", "log"),
        Axis("times", "times in the text", "log"), _frame(rows, "rank", "times"),
    )  # fmt: skip


def _split(measured: Found) -> Picture:
    rows: list[tuple[Any, ...]] = []
    for name, one in measured.items():
        places, frequency = frequencies(one.text)
        order = np.lexsort((places, -frequency))
        edges = [0, *(10**power for power in range(1, 9) if 10**power < len(order)), len(order)]
        split, weight = (one.words.lengths[places] > 1)[order], frequency[order]
        for a, b in zip(edges, edges[1:], strict=False):
            rows.append((name, f"{a + 1:,}–{b:,}", 100 * np.average(split[a:b], weights=weight[a:b])))
    return Picture(
        "split_by_frequency", "Words that are split, by how frequent they are", "line",
        Axis("words", "rank of the word, the most frequent first", "names"),
        Axis("percent", "% of occurrences in more than one piece"), _frame(rows, "words", "percent"),
    )  # fmt: skip


def _estimated(result: Ratio | Resampled) -> tuple[float, float, float]:
    found = estimate(result, 0)
    low, high = found.interval
    return found.value, low, high


def _frame(rows: list[tuple[Any, ...]], *columns: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=["tokenizer", *columns])


def draw(measured: Found, folder: str | Path, *, form: str = "png", title: str = "") -> dict[str, Path]:
    """Draw every picture that there is something for.

    Args:
        measured: by tokenizer's name, as `vocab.compare.measure` returns it.
        folder: where the files go.
        form: `png` or `svg`.
        title: what the text is, for the titles; not for that of parallel text.

    Returns:
        The files, by the names that `pictures` gives.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _RULE,
        "axes.labelcolor": _INK, "text.color": _INK, "xtick.color": _INK, "ytick.color": _INK, "axes.grid": True,
        "axes.axisbelow": True, "grid.color": _RULE, "grid.linewidth": 0.6, "axes.titlelocation": "left",
        "axes.titleweight": "bold", "axes.titlesize": 11, "legend.frameon": False, "svg.hashsalt": "lexigraft",
    }  # fmt: skip
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    made = {}
    with rc_context(style):
        for picture in pictures(measured):
            figure = Figure(figsize=(6.4, 4.0), layout="constrained")
            axis = figure.subplots()
            plot(axis, picture)
            axis.set_title(f"{picture.title} · {title}" if title and picture.name != "parity" else picture.title)
            file = made[picture.name] = where / f"{picture.name}.{form}"
            # No date and no version in the file: the same text gives the same bytes.
            metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
            figure.savefig(file, dpi=150, metadata=metadata)
    return made


def plot(axis: Any, picture: Picture) -> None:
    """Draw a picture into a matplotlib axis.

    Args:
        axis: an empty one.
        picture: what it shows.
    """
    x, y, points = picture.x, picture.y, picture.points
    groups = list(points.groupby("tokenizer", sort=False))
    width = 0.8 / len(groups)
    for n, (name, rows) in enumerate(groups):
        colour, marker = COLOURS[n % len(COLOURS)], _MARKERS[n % len(_MARKERS)]
        places = np.arange(len(rows)) if x.scale == "names" else rows[x.column].to_numpy()
        values = rows[y.column].to_numpy()
        around = [values - rows["low"], rows["high"] - values] if "low" in rows else None
        if picture.mark == "bars":
            places = places + (n - (len(groups) - 1) / 2) * width
            axis.bar(places, values, 0.92 * width, label=name, color=colour, yerr=around, ecolor=_INK, capsize=2)
        elif picture.mark == "points":
            axis.errorbar(places, values, around, capsize=3, label=name, color=colour, marker=marker, linestyle="none")
        else:
            marker, line = marker if x.scale == "names" else "", _LINES[n % len(_LINES)]
            axis.plot(places, values, label=name, color=colour, marker=marker, linestyle=line)
    if picture.even is not None:
        axis.axhline(picture.even, color=_INK, linewidth=1)
    for one, direction in ((x, "x"), (y, "y")):
        axis.set(**{f"{direction}label": one.title} | ({f"{direction}scale": "log"} if one.scale == "log" else {}))
    if x.scale == "names":
        names = list(dict.fromkeys(points[x.column]))
        axis.set_xticks(range(len(names)), names)
        axis.grid(axis="x", visible=picture.mark != "bars")
    if picture.mark == "points":
        _label(axis, sorted(set(points[x.column])))
        axis.margins(x=0.15, y=0.2)
    elif y.scale == "linear":
        axis.set_ylim(bottom=0)
    axis.legend()


def _label(axis: Any, sizes: list[int]) -> None:
    """Label those sizes on a logarithmic axis that there is room for."""
    told = sizes[:1]
    for size in sizes[1:]:
        if np.log(size / told[-1]) > 0.13 * np.log(sizes[-1] / sizes[0]):
            told.append(size)
    axis.set_xticks(told, [f"{size:,}" for size in told])
    axis.set_xticks([], minor=True)
