"""Pictures of a comparison, by matplotlib: sizes, lengths, languages, ranks, and words by how frequent they are.

Colours are Okabe and Ito's (2008), told apart with any colour vision; tokenizers keep theirs in every picture and
differ in marker and line as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vocab.compare.bootstrap import estimate
from vocab.compare.metric import METRICS, Measured, Ratio
from vocab.compare.words import frequencies

_COLOURS = ("#E69F00", "#009E73", "#56B4E9", "#CC79A7", "#D55E00", "#0072B2", "#F0E442")
_MARKERS, _LINES = "oDs^vPX", ("-", "--", "-.", ":")
_MOST_PIECES = 8
_INK, _RULE = "#1c2024", "#d9dce1"
Found = Mapping[str, Measured]


def draw(measured: Found, folder: str | Path, *, form: str = "png", title: str = "") -> dict[str, Path]:
    """Draw every picture that there is something for.

    Args:
        measured: by tokenizer's name, as `vocab.compare.measure` returns it.
        folder: where the files go.
        form: `png` or `svg`.
        title: what the text is, for the titles; not for that of parallel text.

    Returns:
        The files: `fertility_by_size`, `lengths`, `parity` (with parallel text of several languages), `ranks`,
        `split_by_frequency`.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _RULE,
        "axes.labelcolor": _INK, "text.color": _INK, "xtick.color": _INK, "ytick.color": _INK, "axes.grid": True,
        "axes.axisbelow": True, "grid.color": _RULE, "grid.linewidth": 0.6, "axes.titlelocation": "left",
        "axes.titleweight": "bold", "axes.titlesize": 11, "legend.frameon": False, "svg.hashsalt": "lexigraft",
    }  # fmt: skip
    drawers: dict[str, tuple[str, Callable[[Any, Found], bool]]] = {
        "fertility_by_size": ("Pieces a word, by size of the vocabulary", _sizes),
        "lengths": ("How many pieces words have", _lengths),
        "parity": ("Tokens against the other side of parallel text", _parity),
        "ranks": ("How often pieces are used, by rank", _ranks),
        "split_by_frequency": ("Words that are split, by how frequent they are", _split),
    }
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    made = {}
    with rc_context(style):
        for name, (heading, drawer) in drawers.items():
            figure = Figure(figsize=(6.4, 4.0), layout="constrained")
            axis = figure.subplots()
            if not drawer(axis, measured):
                continue
            axis.set_title(f"{heading} · {title}" if title and name != "parity" else heading)
            made[name] = where / f"{name}.{form}"
            # No date and no version in the file: the same text gives the same bytes.
            metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
            figure.savefig(made[name], dpi=150, metadata=metadata)
    return made


def _styles(measured: Found) -> list[tuple[str, Measured, dict[str, Any]]]:
    return [
        (name, one, {"color": _COLOURS[n % len(_COLOURS)], "linestyle": _LINES[n % len(_LINES)],
                     "marker": _MARKERS[n % len(_MARKERS)]})
        for n, (name, one) in enumerate(measured.items())
    ]  # fmt: skip


def _sizes(axis: Any, measured: Found) -> bool:
    for name, one, style in _styles(measured):
        result = METRICS["fertility"].measure(one)
        if result is None:
            continue
        found = estimate(result, 0)
        low, high = found.interval
        axis.errorbar(
            len(one.view), found.value, [[found.value - low], [high - found.value]], capsize=3, label=name,
            **style | {"linestyle": "none"},
        )  # fmt: skip
    axis.set_xscale("log")
    sizes = sorted({len(one.view) for one in measured.values()})
    told = sizes[:1]
    for size in sizes[1:]:  # a label where there is room for one
        if np.log(size / told[-1]) > 0.13 * np.log(sizes[-1] / sizes[0]):
            told.append(size)
    axis.set_xticks(told, [f"{size:,}" for size in told])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("pieces in the vocabulary")
    axis.set_ylabel("pieces per word (95 % interval)")
    axis.legend()
    axis.margins(x=0.15, y=0.2)
    return True


def _lengths(axis: Any, measured: Found) -> bool:
    for name, one, style in _styles(measured):
        places, frequency = frequencies(one.text)
        length = np.clip(one.words.lengths[places], 1, _MOST_PIECES)
        share = np.bincount(length, weights=frequency, minlength=_MOST_PIECES + 1)[1:] / frequency.sum()
        axis.plot(np.arange(1, _MOST_PIECES + 1), 100 * share, label=name, **style)
    axis.set_xticks(range(1, _MOST_PIECES + 1), [*map(str, range(1, _MOST_PIECES)), f"{_MOST_PIECES}+"])
    axis.set_xlabel("pieces")
    axis.set_ylabel("% of the text's words")
    axis.legend()
    return True


def _parity(axis: Any, measured: Found) -> bool:
    languages = list(next(iter(measured.values())).parallel)
    if len(languages) < 2:
        return False
    width = 0.8 / len(measured)
    for n, (name, one, style) in enumerate(_styles(measured)):
        found = [estimate(Ratio(*one.parallel[language]), 0) for language in languages]
        values = np.array([one.value for one in found])
        low, high = np.array([one.interval for one in found]).T
        axis.bar(
            np.arange(len(languages)) + (n - (len(measured) - 1) / 2) * width, values, width * 0.92, label=name,
            color=style["color"], yerr=[values - low, high - values], ecolor=_INK, capsize=2,
        )  # fmt: skip
    axis.axhline(1, color=_INK, linewidth=1)
    axis.set_xticks(range(len(languages)), languages)
    axis.grid(axis="x", visible=False)
    axis.set_ylabel("tokens / tokens of the other side")
    axis.legend()
    return True


def _ranks(axis: Any, measured: Found) -> bool:
    for name, one, style in _styles(measured):
        counts = np.sort(one.frequency[one.used])[::-1]
        axis.plot(np.arange(1, len(counts) + 1), counts, label=name, **style | {"marker": ""})
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("rank of the piece")
    axis.set_ylabel("times in the text")
    axis.legend()
    return True


def _split(axis: Any, measured: Found) -> bool:
    edges: list[int] = []
    for name, one, style in _styles(measured):
        places, frequency = frequencies(one.text)
        order = np.lexsort((places, -frequency))
        edges = [0, *(10**power for power in range(1, 9) if 10**power < len(order)), len(order)]
        split, weight = (one.words.lengths[places] > 1)[order], frequency[order]
        share = [np.average(split[a:b], weights=weight[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
        axis.plot(range(len(share)), 100 * np.array(share), label=name, **style)
    names = [f"{a + 1:,}–{b:,}" for a, b in zip(edges, edges[1:], strict=False)]
    axis.set_xticks(range(len(names)), names)
    axis.set_xlabel("rank of the word, the most frequent first")
    axis.set_ylabel("% of occurrences in more than one piece")
    axis.set_ylim(bottom=0)
    axis.legend()
    return True
