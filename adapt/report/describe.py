"""What stands beside the numbers: title and headline, what was measured on, the limits, said honestly."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from adapt.evaluate.statistics import AHEAD, BEHIND, RESAMPLES
from adapt.report.read import Column, arms_of, read_json
from adapt.report.verdicts import number

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "python-crfsuite", "fasttext-community")


def language_name(config: Any) -> str:
    """Name of the run's language from its card; its code where there is no card."""
    code = str(getattr(config, "language", "") or "")
    try:
        from corpora.card import load_card

        return str(load_card(code).name)
    except (ImportError, ValueError):
        return code or "the language"


def source_name(config: Any) -> str:
    """Short name of the source model: the hub id, or the folder's own name."""
    text = str(getattr(getattr(config, "source", None), "model", "") or "the source model")
    path = Path(text)
    if not path.is_absolute():
        return text
    generic = ("model", "models", "checkpoint", "final")
    name = path.parent.name if path.name in generic else path.name
    return name.replace("_", "-")


def source_folder(config: Any) -> Path | None:
    """Folder of the source model, where it is a folder."""
    text = str(getattr(getattr(config, "source", None), "model", "") or "")
    return Path(text) if text and Path(text).is_dir() else None


def title_of(config: Any) -> str:
    """One line that says what the run is."""
    return f"{source_name(config)}, adapted to {language_name(config)}"


def headline(columns: list[Column], verdicts: list[dict[str, Any]]) -> str:
    """Two sentences for people who read no further."""
    found = []
    for column in columns:
        means = {n: number(s.estimate.mean, column) for n, s in column.systems.items() if s.estimate}
        if column.scale != 100 and {"keep", "adapted"} <= set(means):
            keys = (column.key, "adapted", "keep")
            now = next((v["verdict"] for v in verdicts if (v["task"], v["a"], v["b"]) == keys), "")
            kept = "the model that kept its vocabulary and was trained as long"
            if now in (AHEAD, BEHIND):
                how = "fewer" if now == AHEAD else "more"
                found.append(
                    f"On held-out text the adapted model needs {means['adapted']} {column.unit}, {how} than the "
                    f"{means['keep']} of {kept}."
                )
            else:
                found.append(
                    f"On held-out text the adapted model ({means['adapted']} {column.unit}) and {kept} "
                    f"({means['keep']}) are not distinguishable."
                )
    others = (
        *(("source", "the source model"), ("keep", "the model that kept its vocabulary")),
        ("scratch", "the model trained from scratch"),
    )
    for other, what in others:
        tasks = [v for v in verdicts if (v["a"], v["b"]) == ("adapted", other) and _is_task(columns, v["task"])]
        if tasks:
            found.append(f"Compared with {what}, it is {_tally(columns, tasks)}.")
    return " ".join(found)


def _is_task(columns: list[Column], key: str) -> bool:
    return any(c.key == key and c.scale == 100 for c in columns)


def _tally(columns: list[Column], tasks: list[dict[str, Any]]) -> str:
    titles = {c.key: c.title for c in columns}
    parts = []
    for verdict in (AHEAD, BEHIND, "not distinguishable"):
        names = [titles[v["task"]] for v in tasks if v["verdict"] == verdict]
        if names:
            parts.append(f"{verdict} on {' and '.join([', '.join(names[:-1]), names[-1]] if names[:-1] else names)}")
    return "; ".join(parts)


def notes_of(columns: list[Column], config: Any) -> list[str]:
    """Sentences on how far the numbers carry: intervals, probes, labels, leaks, words left out."""
    notes = [
        f"Intervals are 95 %: {RESAMPLES:,} resamples of the test items (held-out lines for language modelling) and, "
        "where there are several, of the seeds. Comparisons resample both arms alike (paired bootstrap); each stands "
        "alone, without correction for their number."
    ]
    modes = {mode for c in columns for mode in c.facts.get("modes", [])}
    if "probe" in modes:
        notes.append(
            "Task scores are probes: linear heads on a frozen body (mean of all layers; first piece of a word; "
            "NER also sees the neighbouring words and decodes well-formed spans only). They compare representations; "
            "fine-tuning the whole model usually scores higher."
        )
    if "finetune" in modes:
        notes.append("Task scores are from fine-tuning the whole model, the epoch chosen on dev.")
    if any("scratch" in c.systems for c in columns):
        notes.append(
            "scratch is an untrained model with the new vocabulary: it saw the same text for the same budget, never "
            "the source model. What it lacks is what the source model was worth. Its size is its own, so in the same "
            "time it may have taken more steps or fewer."
        )
    tasks = getattr(getattr(config, "evaluate", None), "tasks", None)
    for column in columns:
        notes += _notes_of_column(column, str(getattr(getattr(tasks, column.key, None), "about", "") or ""))
    if any(c.scale != 100 and c.unit.startswith("pseudo") for c in columns):
        notes.append(
            "Pseudo-bits: all pieces of a word are masked and filled in from left to right (Kauf & Ivanova 2023). The "
            "number of masks gives the length away, so they compare with other masked models only, on the same words."
        )
    return notes


def _notes_of_column(column: Column, about: str) -> list[str]:
    notes, facts = [], column.facts
    if about:
        notes.append(f"{column.title} labels: {about}.")
    if facts.get("leaked"):
        notes.append(
            f"{column.title}: {facts['leaked']:,} of {facts['file_test']:,} test items are also in the training file."
        )
    if facts.get("dev") == "a tenth of train":
        notes.append(f"{column.title}: no dev file was given; a tenth of train was set aside.")
    for name, count in facts.get("words_without_piece", {}).items():
        notes.append(
            f"{column.title}: the tokenizer of {name} leaves nothing of {count:,} test words; they count all the same."
        )
    if facts.get("words"):
        out = facts["words"] - facts["words_used"]
        why = "; ".join(
            f"{name}: {', '.join(f'{n:,} {_WHY.get(s, s)}' for s, n in lost.items())}"
            for name, lost in facts["lost"].items()
            if lost
        )
        share = 100 * out / facts["words"]
        notes.append(
            f"{column.title}: {facts['words']:,} held-out words were drawn once for all arms; {out:,} "
            f"({share:.1f} %) are left "
            f"out for all because an arm cannot score them as written{f' ({why})' if why else ''}."
        )
    return notes


_WHY = {"unk": "with an unknown piece", "altered": "altered by the normaliser", "too_long": "too long"}


def measured_on(run: Path, columns: list[Column], config: Any, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of what and value: data, seeds, budget, machine, versions."""
    pairs = [
        ("Language", f"{language_name(config)} ({getattr(config, 'language', '?')})"),
        ("Source", source_name(config)),
    ]
    corpus = read_json(run / "corpus" / "facts.json")
    for key, what in (("train", "Training text"), ("heldout", "Held-out text")):
        if text := _text_size(corpus, key):
            pairs.append((what, text))
    for column in columns:
        n = column.facts
        if n.get("n_test"):
            pairs.append((column.title, f"{n['n_train']:,} train, {n['n_dev']:,} dev, {n['n_test']:,} test"))
        elif n.get("words"):
            pairs.append((column.title, f"{n['words_used']:,} words"))
    seeds = sorted(
        {s for c in columns for x in c.systems.values() if not x.is_floor and c.scale == 100 for s in x.scores}
    )
    if seeds:
        pairs.append(("Seeds of the heads", ", ".join(map(str, seeds))))
    for arm in arms_of(run):
        one = read_json(run / "pretrain" / arm / "facts.json")
        if one.get("steps"):
            pairs.append((f"Training of {arm}", _training(one)))
    if made := facts.get("scratch", {}).get("summary"):
        pairs.append(("Model of scratch", f"{made}; {facts['scratch']['parameters'] / 1e6:.1f} million parameters"))
    took = {name: float(f["seconds"]) for name, f in facts.items() if isinstance(f, dict) and f.get("seconds")}
    for arm in arms_of(run):
        spent = sum(s for name, s in took.items() if name.startswith(f"evaluate/{arm}/"))
        if spent:
            pairs.append((f"Measuring {arm}", f"{spent:,.0f} s"))
    pairs.append(("Machine", f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}"))
    pairs.append(("Versions", ", ".join(versions())))
    return pairs


def versions() -> list[str]:
    """Lexigraft's version, Python's, and those of the packages that make the numbers."""
    from lexigraft import __version__

    found = [f"lexigraft {__version__}", f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _training(one: dict[str, Any]) -> str:
    parts = [f"{one['steps']:,} steps"]
    if one.get("seconds"):
        parts.append(f"{one['seconds'] / 60:.1f} min")
    if one.get("tokens"):
        parts.append(f"{one['tokens']:,} tokens")
    if one.get("characters"):
        parts.append(f"{one['characters']:,} characters")
    return ", ".join(parts)


def _text_size(corpus: dict[str, Any], key: str) -> str:
    found = corpus.get(key)
    if isinstance(found, dict):
        return ", ".join(
            f"{v:,} {k}" for k, v in found.items() if isinstance(v, int) and k in ("lines", "words", "characters")
        )
    parts = [
        f"{corpus[f'{key}_{u}']:,} {u}"
        for u in ("lines", "words", "characters")
        if isinstance(corpus.get(f"{key}_{u}"), int)
    ]
    return ", ".join(parts)
