"""Sweeps: the product of some settings, a run each, and one table over all of them.

Every run is an ordinary one in the configuration's `out` folder, so that runs share each stage whose inputs and options
are the same, a sweep that was stopped goes on, and every run can be looked at by itself. Arms are compared across runs
as they are within one: on the same test items and held-out words, by paired bootstrap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from adapt import config as configuration
from adapt.config import RunConfig
from adapt.events import Events, clock
from adapt.files import digest, digest_of, write_atomic, write_json
from adapt.pipeline import Run, folder_of, run
from adapt.report.read import Column, System, columns_over, read_json
from adapt.report.verdicts import compare_systems, number
from adapt.stages.corpus import protected
from lexigraft import InputError

if TYPE_CHECKING:
    import pandas as pd

_MARKS = {"ahead": "▲", "behind": "▼"}


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        values: the swept settings by dotted key, as people typed them.
        config: the run's configuration.
        folder: its run folder.
    """

    values: dict[str, str]
    config: RunConfig
    folder: Path

    @property
    def name(self) -> str:
        """The point as people read it: `max_characters=1e6, tuning=lora`."""
        return ", ".join(f"{short(key)}={value}" for key, value in self.values.items())


def short(key: str) -> str:
    """Last part of a dotted key."""
    return key.rpartition(".")[2]


def points_of(path: Path, settings: Sequence[str]) -> list[Point]:
    """Read `key=value,value,...` arguments and make a configuration for each combination.

    Args:
        path: the YAML file of a run.
        settings: a key with several values is an axis, one with one value holds for all runs. Values are YAML, so that
            a list stands in brackets.

    Returns:
        The product of the axes; the last one changes fastest.

    Raises:
        InputError: an argument cannot be read, there is no axis, a configuration is refused, or two are the same run.
    """
    given: dict[str, list[Any]] = {}
    for text in settings:
        key, values = configuration.parse_override(text)
        try:
            given[key] = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            raise InputError("cannot read these values", found=repr(text), expected="key=value,value,...") from None
    axes = [key for key, values in given.items() if len(values) > 1]
    if not axes:
        raise InputError("nothing to sweep over", found=", ".join(settings) or "no settings",
                         expected="a setting with several values, such as corpus.max_characters=1e6,2e6")  # fmt: skip
    points: dict[Path, Point] = {}
    for combination in itertools.product(*given.values()):
        chosen = dict(zip(given, combination, strict=True))
        config = configuration.load(path, chosen)
        point = Point({key: _typed(chosen[key]) for key in axes}, config, folder_of(config))
        if other := points.get(point.folder):
            raise InputError("two runs of the sweep are the same", found=f"{other.name}; {point.name}")
        points[point.folder] = point
    return list(points.values())


def _typed(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
    )


def folder_for(points: Sequence[Point]) -> Path:
    """Folder of a sweep's tables, beside its runs."""
    config = points[0].config
    return config.out / f"sweep-{config.language}-{digest_of([p.folder.name for p in points])[:6]}"


def forecast(points: Sequence[Point], console: Console) -> float:
    """Say what each run will take, from a few measured steps, without starting any.

    Returns:
        Seconds of all runs that are not finished, were nothing shared between them.

    Raises:
        InputError: what a run's own check refuses.
    """
    import tempfile

    from adapt.graph import Context
    from adapt.pipeline import prepare_libraries
    from adapt.preflight import estimate, refuse_bad_input
    from adapt.stages import plan
    from adapt.stages.source import find

    total = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        for place, point in enumerate(points):
            prepare_libraries(point.config)
            state = Run(point.folder).status
            folder = Path(temporary) / str(place)
            source = find(point.config.source)
            events = Events(folder / "events.jsonl")
            try:
                context = Context(point.config, folder, source, events)
                plan(point.config, source)
                refuse_bad_input(context)
                found = estimate(context)
            finally:
                events.close()
            total += 0.0 if state == "finished" else found.seconds
            told = "finished" if state == "finished" else f"about {clock(found.seconds)}"
            arms = ", ".join(point.config.arms)
            memory = f"{found.memory_bytes / 2**30:.1f} GB memory"
            console.print(f"{point.name}: {told}, {found.steps} steps an arm ({arms}), {memory}; {point.folder}",
                          highlight=False, soft_wrap=True)  # fmt: skip
    console.print(f"{len(points)} runs, {clock(total)} at most: what runs have in common is done once", highlight=False)
    return total


def sweep(points: Sequence[Point], console: Console | None = None) -> dict[str, str]:
    """Run all points, those that are finished skipped, and write the tables anew after each.

    Args:
        points: what `points_of` gave.
        console: where progress is shown; None is silent.

    Returns:
        Name of each point that was refused, and why; the others ran to their end.
    """
    failed: dict[str, str] = {}
    for place, point in enumerate(points, 1):
        if console is not None:
            console.print(f"\n[bold][{place}/{len(points)}] {point.name}[/]", highlight=False, soft_wrap=True)
        try:
            run(point.config, folder=point.folder, console=console)
        except InputError as error:
            failed[point.name] = str(error)
        write_tables(points, failed)
    return failed


def write_tables(points: Sequence[Point], failed: Mapping[str, str] | None = None) -> Path:
    """Write `table.csv`, `pairs.csv`, `table.md` and `sweep.json` from what is finished of a sweep.

    Returns:
        The folder they lie in.
    """
    import pandas as pd

    folder = folder_for(points)
    done = [point for point in points if Run(point.folder).status == "finished"]
    columns = _columns(done)
    table, pairs = pd.DataFrame(_lines(done, columns)), pd.DataFrame(_pairs(done, columns))
    about = [{"values": p.values, "run": p.folder.name, "status": Run(p.folder).status,
              "message": (failed or {}).get(p.name, "")} for p in points]  # fmt: skip
    write_json(folder / "sweep.json", {"axes": list(points[0].values), "runs": about})
    write_atomic(folder / "table.csv", table.to_csv(index=False))
    write_atomic(folder / "pairs.csv", pairs.to_csv(index=False))
    write_atomic(folder / "table.md", _markdown(points, done, columns, pairs, failed or {}))
    return folder


def _columns(points: Sequence[Point]) -> dict[str, list[Column]]:
    """Columns over all runs that were measured on the same items, by the name of each run."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        config = point.config
        tests = [digest(path) for path in protected(config).values()]
        held = digest(point.folder / "corpus" / "heldout.txt")
        key = digest_of([held, tests, config.seed, config.evaluate.lm_words, config.evaluate.max_test])
        groups.setdefault(key, []).append(point)
    found: dict[str, list[Column]] = {}
    for group in groups.values():
        columns = columns_over({point.name: point.folder for point in group})
        found |= {point.name: columns for point in group}
    return found


def _cells(point: Point, arm: str, columns: Mapping[str, list[Column]]) -> Iterator[tuple[Column, System]]:
    for column in columns[point.name]:
        system = column.systems.get(f"{point.name}: {arm}")
        if system is not None and system.estimate is not None:
            yield column, system


def _lines(points: Sequence[Point], columns: Mapping[str, list[Column]]) -> list[dict[str, Any]]:
    """One line a run and arm: the axes, what training took, and each score with its interval."""
    lines = []
    for point in points:
        for arm in point.config.arms:
            facts = read_json(point.folder / "pretrain" / arm / "facts.json")
            line: dict[str, Any] = {**point.values, "arm": arm, "run": point.folder.name}
            line |= {key: facts.get(key) for key in ("steps", "characters", "seconds", "trained_parameters")}
            for column, system in _cells(point, arm, columns):
                e = system.estimate
                assert e is not None
                line |= {column.key: e.mean, f"{column.key} low": e.low, f"{column.key} high": e.high}
            lines.append(line)
    return lines


def _pairs(points: Sequence[Point], columns: Mapping[str, list[Column]]) -> list[dict[str, Any]]:
    """Each run against the one that differs in one axis alone, where it has the axis's first value."""
    lines: list[dict[str, Any]] = []
    for axis in points[0].values if points else ():
        first: dict[tuple[Any, ...], Point] = {}
        for point in points:
            rest = {key: value for key, value in point.values.items() if key != axis}
            base = first.setdefault(tuple(rest.values()), point)
            if base is point or columns[base.name] is not columns[point.name]:
                continue
            for arm in (arm for arm in point.config.arms if arm in base.config.arms):
                against = {column.key: system for column, system in _cells(base, arm, columns)}
                for column, system in _cells(point, arm, columns):
                    if column.key not in against:
                        continue
                    found = compare_systems(column, system, against[column.key])
                    if found.low == found.high == 0:  # nothing that the axis changes reaches this arm
                        continue
                    lines.append({
                        "axis": axis, "value": point.values[axis], "against": base.values[axis], **rest, "arm": arm,
                        "task": column.key, "difference": found.difference, "low": found.low, "high": found.high,
                        "p": found.p, "verdict": found.verdict, "run": point.folder.name,
                    })  # fmt: skip
    return lines


def _markdown(
    points: Sequence[Point],
    done: Sequence[Point],
    columns: Mapping[str, list[Column]],
    pairs: pd.DataFrame,
    failed: Mapping[str, str],
) -> str:
    axes = list(points[0].values)
    heads = {column.key: column for group in columns.values() for column in group}
    names = [f"{column.title} ({column.unit_text})" for column in heads.values()]
    text = [f"# Sweep over {' and '.join(f'`{axis}`' for axis in axes)}", ""]
    text += _row([*map(short, axes), "arm", *names, "steps", "run"])
    text += _row(["---"] * (len(axes) + len(names) + 3))
    for point in done:
        for arm in point.config.arms:
            own = {column.key: _shown(column, system) for column, system in _cells(point, arm, columns)}
            steps = read_json(point.folder / "pretrain" / arm / "facts.json").get("steps", "")
            text += _row([*point.values.values(), arm, *(own.get(key, "") for key in heads), steps, point.folder.name])
    text += [
        "",
        "Mean over seeds and 95 % interval. Runs that were measured on the same items count the same words.",
        "",
    ]
    for axis in axes:
        own_pairs = [] if pairs.empty else pairs[pairs.axis == axis].to_dict("records")
        if not own_pairs:
            continue
        others = [key for key in axes if key != axis]
        text += [f"## `{axis}`, all else equal", ""]
        text += _row([*map(short, others), "arm", "what", "from", "to", "difference", "95 % interval", ""])
        text += _row(["---"] * (len(others) + 7))
        for pair in own_pairs:
            column = heads[pair["task"]]
            low, high = number(pair["low"], column, True), number(pair["high"], column, True)
            verdict = f"{_MARKS.get(pair['verdict'], '≈')} {pair['verdict']}"
            text += _row([*(pair[key] for key in others), pair["arm"], column.title, pair["against"], pair["value"],
                          number(pair["difference"], column, True), f"{low} to {high}", verdict])  # fmt: skip
        text.append("")
    missing = [f"- {p.name}: {failed.get(p.name) or Run(p.folder).status}" for p in points if p not in done]
    return "\n".join([*text, *(["Not in the table:", "", *missing, ""] if missing else [])])


def _row(cells: Sequence[Any]) -> list[str]:
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"]


def _shown(column: Column, system: System) -> str:
    e = system.estimate
    assert e is not None
    return f"{number(e.mean, column)} [{number(e.low, column)}, {number(e.high, column)}]"
