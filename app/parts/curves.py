"""Training curves of a run, one small chart an arm: losses of different vocabularies share no scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from app.parts.folders import RunFolder
from app.parts.lines import Lines

if TYPE_CHECKING:
    import altair as alt

_MOST = 600  # points drawn; more are thinned out
_TRAIN, _HELD = "training", "held-out"


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

    def read(self) -> pd.DataFrame:
        """Return all points.

        Returns:
            Columns `what` (training or held-out), `step`, and `loss` (nats a predicted token), one row a point. A run
            that went on from a checkpoint logs the steps after it twice: the last entry counts.
        """
        lines, whole = self._lines.read(self.path)
        if whole:
            self._rows.clear()
        for entry in lines:
            step = entry.get("step")
            for key, value in entry.items():
                if "loss" in key and isinstance(step, int | float) and isinstance(value, int | float):
                    self._rows[_HELD if "held" in key else _TRAIN, float(step)] = float(value)
        frame = pd.DataFrame([(*key, loss) for key, loss in self._rows.items()], columns=["what", "step", "loss"])
        return frame.sort_values(["what", "step"])


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
