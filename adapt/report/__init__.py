"""A package of Lexigraft. The report of a run: tables, pictures, one HTML page, the model card."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any


def build(run_dir: Path, config: Any, facts: dict[str, Any], folder: Path | None = None) -> str:
    """Write the report of a run from what lies in its folder; what is missing there is left out.

    Args:
        run_dir: the run folder (`evaluate/`, `pretrain/`, `tokenizer/`, `corpus/` are read).
        config: the run's configuration (adapt.config.RunConfig, or anything with its fields).
        facts: facts of each finished stage by name, such as the seconds it took.
        folder: where scores.csv, table.json, report.html and the PNG files go; nothing means `<run_dir>/report`.

    Returns:
        The text of the model card, README.md.
    """
    from adapt.evaluate.job import write_json
    from adapt.report import card, describe, figures, page, table
    from adapt.report.gains import gains_of
    from adapt.report.read import columns_of
    from adapt.report.verdicts import verdicts_of

    run, out = Path(run_dir), Path(folder or Path(run_dir) / "report")
    out.mkdir(parents=True, exist_ok=True)
    columns = columns_of(run)
    verdicts = verdicts_of(columns)
    found = {
        "title": describe.title_of(config),
        "headline": describe.headline(columns, verdicts),
        "columns": [column.key for column in columns],
        "titles": {column.key: column.title for column in columns},
        "units": {column.key: column.unit_text for column in columns},
        "rows": table.rows_of(columns),
        "verdicts": verdicts,
        "gains": gains_of(run, columns, describe.source_folder(config)),
        "notes": describe.notes_of(columns, config),
    }
    table.write_csv(out / "scores.csv", columns)
    write_json(out / "table.json", found)
    light = figures.draw_all(run, columns, out)
    pairs = describe.measured_on(run, columns, config, facts)
    task = next((c.key for c in columns if c.scale == 100), None)
    with tempfile.TemporaryDirectory() as temporary:
        dark = figures.draw_all(run, columns, Path(temporary), "dark")
        both = {name: (light[name], dark[name]) for name in light}
        text = page.html(found, both, pairs, card.commands(run, task))
    (out / "report.html").write_text(text, encoding="utf-8")
    return card.card(run, config, found, pairs, task)


def table_text(run_dir: Path) -> Any:
    """Draw a run's table, gains and verdicts for the terminal.

    Args:
        run_dir: a run folder with a report.

    Returns:
        Something that `rich.console.Console.print` prints.

    Raises:
        InputError: the run has no report yet.
    """
    from adapt.report.table import terminal
    from lexigraft import InputError

    file = Path(run_dir) / "report" / "table.json"
    if not file.is_file():
        raise InputError("this run has no report yet", file=file, expected="a finished run")
    return terminal(json.loads(file.read_text(encoding="utf-8")))
