"""Write the tables, pictures, HTML page and model card of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.events import Report
from adapt.files import write_atomic
from adapt.graph import Context, Stage


def stage(config: RunConfig, inputs: list[str]) -> Stage:
    """Return the report stage of a run; it reads all that came before."""
    return Stage("report", work, tuple(inputs), config.model_dump(mode="json", exclude={"out"}), shared=False)


def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
    """Write scores.csv, table.json, report.html, figures, and the run's README.md."""
    from adapt.report import build

    report(0, 1, {})
    card = build(context.folder, context.config, {name: done["facts"] for name, done in context.done.items()}, folder)
    write_atomic(folder / "README.md", card)
    shutil.copyfile(folder / "README.md", context.folder / "README.md")
    report(1, 1, {})
    return {}
