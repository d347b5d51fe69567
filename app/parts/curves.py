"""Training curves of a run, one small chart an arm: losses of different vocabularies share no scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from app.parts.folders import RunFolder

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


def read_log(path: Path) -> pd.DataFrame:
    """Read the losses of one arm.

    Returns:
        Columns `step`, `seconds` (NaN where not logged), `loss` (nats a predicted token) and `what` (training or
        held-out), one row a point.
    """
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry: Any = json.loads(line)
        except ValueError:  # the last line, while it is being written
            continue
        if not isinstance(entry, dict) or "step" not in entry:
            continue
        for key, value in entry.items():
            if "loss" in key and isinstance(value, int | float):
                what = _HELD if "held" in key or "eval" in key else _TRAIN
                rows.append({"step": entry["step"], "seconds": entry.get("seconds"), "loss": value, "what": what})
    frame = pd.DataFrame(rows, columns=["step", "seconds", "loss", "what"])
    # A run that went on from a checkpoint logs the steps after it twice: the last entry counts.
    return frame.drop_duplicates(["step", "what"], keep="last").sort_values(["what", "step"])


def chart(frame: pd.DataFrame, title: str) -> alt.LayerChart | alt.FacetChart:
    """Draw loss over steps: training thin, held-out with points."""
    import altair as alt

    train = frame[frame["what"] == _TRAIN]
    train = train.iloc[:: max(1, len(train) // _MOST)]
    held = frame[frame["what"] == _HELD]
    colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=[_TRAIN, _HELD]), legend=alt.Legend(orient="top"))
    tip = [alt.Tooltip("step:Q", format=","), alt.Tooltip("loss:Q", format=".4f"), alt.Tooltip("what:N", title="on")]
    x = alt.X("step:Q", title="step", axis=alt.Axis(format="~s", tickCount=6))
    y = alt.Y("loss:Q", title="nats per predicted token", scale=alt.Scale(zero=False))
    layers = [
        alt.Chart(train).mark_line(strokeWidth=1.5, opacity=0.85).encode(x=x, y=y, color=colour, tooltip=tip),
        alt.Chart(held)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=36))
        .encode(x=x, y=y, color=colour, tooltip=tip),
    ]
    return alt.layer(*layers).properties(title=title, height=240)
