"""What was gained and what it cost, before and after: pieces, pseudo-bits, size, speed, scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from adapt.evaluate.statistics import SAME
from adapt.report.read import Column, arms_of, read_json
from adapt.report.verdicts import compare_systems


def gains_of(run: Path, columns: list[Column], source: Path | None) -> list[dict[str, Any]]:
    """List the gains, each `{"what", "before", "after", "unit", "text", "better", "noise"}`.

    Args:
        run: the run folder.
        columns: what was measured.
        source: folder of the source model where it is on this machine, for its size.
    """
    return [*_tokenizer(run), *_language(columns), *_size(run, source), *_speed(run), *_scores(columns)]


def _gain(
    what: str, before: float, after: float, unit: str, text: str, better: str = "lower", noise: bool = False
) -> dict[str, Any]:
    return {
        "what": what,
        "before": before,
        "after": after,
        "unit": unit,
        "text": text,
        "better": better,
        "noise": noise,
    }


def _change(before: float, after: float) -> str:
    if not before:
        return ""
    share = 100 * (after - before) / before
    return f"{abs(share):.0f} % {'fewer' if share < 0 else 'more'}"


def _tokenizer(run: Path) -> list[dict[str, Any]]:
    facts = read_json(run / "tokenizer" / "facts.json")
    found = []
    if pair := _pair(facts.get("fertility")):
        text = f"{_change(*pair)} pieces on held-out text"
        found.append(_gain("Pieces per word", *pair, "pieces", text))
    if pair := _pair(facts.get("share_split")):
        before, after = (100 * x if max(pair) <= 1 else x for x in pair)
        found.append(_gain("Words cut into pieces", before, after, "% of words", "the rest is whole"))
    old, new = facts.get("source_vocab_size"), facts.get("vocab_size")
    if old and new:
        found.append(_gain("Vocabulary", old, new, "pieces", f"{_change(old, new)} rows to store and to score"))
    return found


def _pair(values: Any) -> tuple[float, float] | None:
    if isinstance(values, dict) and {"source", "target"} <= set(values):
        pair = float(values["source"]), float(values["target"])
        return pair if all(map(math.isfinite, pair)) else None
    return None


def _language(columns: list[Column]) -> list[dict[str, Any]]:
    found = []
    for column in columns:
        if column.scale == 100:
            continue
        old, new = _mean(column, "keep") or _mean(column, "source"), _mean(column, "adapted")
        if old is not None and new is not None:
            against = "keep, trained as long" if _mean(column, "keep") else "the source model"
            text = f"on the same held-out words; first: {against}"
            found.append(_gain(column.title, old, new, column.unit, text))
    return found


def _mean(column: Column, name: str) -> float | None:
    system = column.systems.get(name)
    return system.estimate.mean if system and system.estimate else None


def model_size(folder: Path) -> tuple[int, int] | None:
    """Parameters and bytes of a folder's safetensors, from their headers; None when there are none."""
    files = sorted(folder.glob("*.safetensors"))
    parameters = 0
    for file in files:
        with file.open("rb") as handle:
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        parameters += sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")
    return (parameters, sum(f.stat().st_size for f in files)) if files else None


def sizes(run: Path, source: Path | None) -> dict[str, tuple[int, int]]:
    """Parameters and bytes of each arm's model, where its folder is there."""
    folders = {arm: run / "pretrain" / arm / "model" for arm in arms_of(run)}
    if source is not None:
        folders["source"] = source
    return {arm: size for arm, folder in folders.items() if folder.is_dir() and (size := model_size(folder))}


def _size(run: Path, source: Path | None) -> list[dict[str, Any]]:
    found = sizes(run, source)
    old, new = found.get("keep") or found.get("source"), found.get("adapted")
    if not old or not new:
        return []
    return [
        _gain("Parameters", old[0] / 1e6, new[0] / 1e6, "million", f"{_change(old[0], new[0])}"),
        _gain("Model on disk", old[1] / 1e6, new[1] / 1e6, "MB", "weights as saved"),
    ]


def speeds(run: Path) -> dict[str, float]:
    """Characters a second of each trained arm."""
    found = {}
    for arm in arms_of(run):
        facts = read_json(run / "pretrain" / arm / "facts.json")
        if facts.get("characters") and facts.get("seconds"):
            found[arm] = facts["characters"] / facts["seconds"]
    return found


def _speed(run: Path) -> list[dict[str, Any]]:
    found = speeds(run)
    if "keep" not in found or "adapted" not in found:
        return []
    old, new = found["keep"], found["adapted"]
    text = f"{new / old:.1f} times as much text in the same time"
    return [_gain("Text read while training", old, new, "characters/s", text, "higher")]


def _scores(columns: list[Column]) -> list[dict[str, Any]]:
    found = []
    for column in columns:
        old, new = _mean(column, "source"), _mean(column, "adapted")
        if column.scale == 100 and old is not None and new is not None:
            a, b = column.systems["adapted"], column.systems["source"]
            noise = compare_systems(column, a, b).verdict == SAME
            text = "source, then adapted" + ("; the difference may be noise" if noise else "")
            found.append(_gain(column.title, old, new, column.unit_text, text, column.better, noise))
    return found
