"""Training curves: losses in a chart an arm, as those of two vocabularies share no scale; bits a character in one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from app.parts.folders import RunFolder
from app.parts.lines import Lines

if TYPE_CHECKING:
    import altair as alt

_MOST = 600  # points drawn; more are thinned out
_TRAIN, _HELD = "training", "held-out"
_BITS = re.compile(r"(heldout|source)_((?:pseudo_)?bits)_per_character")
SOURCE = "the source's language"
_TEXTS = {"heldout": "held-out text", "source": SOURCE}


def logs(run: RunFolder) -> dict[str, Path]:
    """Find the `log.jsonl` of each trained arm, also of one that is still being trained."""
    found = {path.parent.name: path for path in run.files("pretrain/*/log.jsonl")}
    for path in run.files(".partial/pretrain--*/log.jsonl"):
        found.setdefault(path.parent.name.removeprefix("pretrain--"), path)
    return found


class Curve:
    """The losses of one arm; `read` takes in what was logged since the last call.

    Args:
        path: the arm's `log.jsonl`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = Lines()
        self._rows: dict[tuple[str, float], float] = {}
        self._bits: dict[tuple[str, str, float], float] = {}

    def read(self) -> pd.DataFrame:
        """Return all points.

        Returns:
            Columns `what` (training or held-out), `step`, and `loss` (nats a predicted token), one row a point. A run
            that went on from a checkpoint logs the steps after it twice: the last entry counts.
        """
        lines, whole = self._lines.read(self.path)
        if whole:
            self._rows.clear()
            self._bits.clear()
        for entry in lines:
            step = entry.get("step")
            for key, value in entry.items():
                if not isinstance(step, int | float) or not isinstance(value, int | float):
                    continue
                if "loss" in key:
                    self._rows[_HELD if "held" in key else _TRAIN, float(step)] = float(value)
                elif measured := _BITS.fullmatch(key):
                    text, unit = measured.groups()
                    self._bits[_TEXTS[text], unit.replace("_", "-"), float(step)] = float(value)
        frame = pd.DataFrame([(*key, loss) for key, loss in self._rows.items()], columns=["what", "step", "loss"])
        return frame.sort_values(["what", "step"])

    @property
    def bits(self) -> pd.DataFrame:
        """Bits per character that `read` has taken in.

        Returns:
            Columns `text` (which was measured), `unit` (bits or pseudo-bits), `step` and `bits`, one row a measurement.
        """
        frame = pd.DataFrame([(*key, value) for key, value in self._bits.items()],
                             columns=["text", "unit", "step", "bits"])  # fmt: skip
        return frame.sort_values(["text", "step"])


def chart(frame: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Draw loss over steps: training thin, held-out with points."""
    import altair as alt

    train = frame[frame["what"] == _TRAIN]
    train = train.iloc[:: max(1, len(train) // _MOST)]
    held = frame[frame["what"] == _HELD]
    legend = alt.Legend(orient="top") if len(held) else None
    colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=[_TRAIN, _HELD]), legend=legend)
    tip = [alt.Tooltip("step:Q", format=","), alt.Tooltip("loss:Q", format=".4f"), alt.Tooltip("what:N", title="on")]
    x = alt.X("step:Q", title="step", axis=alt.Axis(format="~s", tickCount=6))
    y = alt.Y("loss:Q", title="nats per predicted token", scale=alt.Scale(zero=False))
    layers = [
        alt.Chart(train).mark_line(strokeWidth=1.5, opacity=0.85).encode(x=x, y=y, color=colour, tooltip=tip),
        alt.Chart(held)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=36))
        .encode(x=x, y=y, color=colour, tooltip=tip),
    ]
    return alt.layer(*layers).properties(height=300)


def bits_charts(arms: Mapping[str, pd.DataFrame]) -> dict[str, alt.Chart]:
    """Draw bits per character over steps, a line an arm, the source's language dashed; pseudo-bits in another chart.

    Args:
        arms: what `Curve.bits` gave, by the name of the arm.

    Returns:
        Charts by their unit; none where nothing was measured.
    """
    import altair as alt

    frame = pd.concat([found.assign(arm=arm) for arm, found in arms.items()]) if arms else pd.DataFrame()
    if frame.empty:
        return {}
    dash = alt.StrokeDash("text:N", legend=None, scale=alt.Scale(domain=list(_TEXTS.values()), range=[[1, 0], [5, 4]]))
    return {
        str(unit): alt.Chart(part).mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=36)).encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format="~s", tickCount=6)),
            y=alt.Y("bits:Q", title=f"{unit} per character", scale=alt.Scale(zero=False)),
            color=alt.Color("arm:N", title=None, legend=alt.Legend(orient="top")),
            strokeDash=dash,
            tooltip=["arm", alt.Tooltip("text:N", title="on"), alt.Tooltip("step:Q", format=","),
                     alt.Tooltip("bits:Q", title=str(unit), format=".3f")],
        ).properties(height=340)
        for unit, part in frame.groupby("unit")
    }  # fmt: skip
