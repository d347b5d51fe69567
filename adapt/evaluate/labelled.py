"""The way that every labelled task goes: read, get log-probabilities from each seed's head, decode, score, write.

POS and NER read the state of each word's first piece; a word of which the tokenizer leaves no piece (its normaliser
drops every character) has a state of zeros, is still predicted and still counted, and its share is in the scores.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapt.evaluate import features, heads, metrics
from adapt.evaluate.data import Data, load, read_sets
from adapt.evaluate.job import Job, is_done, write_json, write_seed

MAIN = {"pos": "accuracy", "ner": "span_f1", "classes": "macro_f1"}
_METRIC = {"pos": "tags", "ner": "spans", "classes": "classes"}
# Raised when a change here would change scores, so that a half-finished folder of an older version is not taken over.
VERSION = 1


def run(job: Job, kind: Any) -> None:
    """Measure one arm on one labelled task, for every seed that is not done yet.

    Args:
        job: what to measure and where to write.
        kind: `pos`, `ner` or `classes`.
    """
    job.set_threads()
    if job.shared.mode == "finetune":
        from adapt.evaluate.finetune import run as finetune

        finetune(job, kind)
        return
    _probe(job, load(job, kind))


def fingerprint_of(job: Job, data: Data, *settings: Any) -> str:
    """SHA-256 of model, tokenizer, data and the settings that decide a seed's scores."""
    short = [] if job.shared.long_texts == "windows" else [job.shared.long_texts]
    extra = [VERSION, job.shared.mode, features.LAYERS, features.fast(), data.fingerprint(), *settings, *short]
    return features.fingerprint(*job.folders(), extra)


def lengths_of(data: Data, split: Any) -> list[int] | None:
    """Words of each sentence; None for texts."""
    return [len(words) for words in split["tokens"]] if data.tagged else None


def scorer(data: Data) -> Callable[[np.ndarray], float]:
    """Dev log-probabilities to the main score, on the fast counts of `statistics`."""
    from adapt.evaluate import statistics as s

    gold, lengths = data.names(data.dev), lengths_of(data, data.dev)

    def score(scores: np.ndarray) -> float:
        predicted = heads.decode(scores, lengths, data.labels, data.kind)
        if data.kind == "pos":
            return float(s.ratio(s.tag_parts(gold, predicted).sum(0)))
        if data.kind == "ner":
            return float(s.span_f1(s.span_parts(gold, predicted).sum(0)))
        return float(s.macro_f1(s.class_parts(gold, predicted, sorted(set(gold))).sum(0)))

    return score


def label_ids(split: Any, data: Data) -> np.ndarray:
    """Labels by id, one a text or one a word, int64 (items,)."""
    rows = split["labels"][:]
    return np.array([i for row in rows for i in row] if data.tagged else rows, dtype=np.int64)


def finish(
    job: Job,
    data: Data,
    seed: int,
    predicted: Sequence[Any],
    fingerprint: str,
    *,
    facts: dict[str, Any] | None = None,
    fill: Callable[[Path], None] | None = None,
    arm: str | None = None,
    mode: str | None = None,
    folder: Path | None = None,
) -> None:
    """Score the predictions on the test set and write the seed's folder.

    Args:
        job: the job.
        data: its data.
        seed: the seed.
        predicted: one label, or one list of labels, a test item.
        fingerprint: what the scores depend on.
        facts: what else scores.json says.
        fill: writes the head into the folder it is given.
        arm: name in scores.json, where it is not the job's.
        mode: `probe`, `finetune` or `floor`; nothing means as configured.
        folder: the seed's folder; nothing means `<out>/seed-N`.
    """
    gold = data.names(data.test)
    scores = {
        "task": job.task,
        "arm": arm or job.arm,
        "seed": seed,
        "mode": mode or job.shared.mode,
        "main": MAIN[data.kind],
        "better": "higher",
        "unit": "%",
        "metrics": metrics.compute(_METRIC[data.kind], predicted, gold),
        "labels": data.labels,
        "label_counts": label_counts(gold),
        "precision": None if mode == "floor" else "bf16" if features.fast() else "fp32",
        "fingerprint": fingerprint,
        **data.facts,
        **(facts or {}),
    }
    inputs = data.test[data.column][:]
    records = (
        {"line": line, data.column: text, "gold": g, "predicted": p}
        for line, text, g, p in zip(data.test["line"][:], inputs, gold, predicted, strict=True)
    )
    write_seed(folder or job.out / f"seed-{seed}", scores, records, fill)


def label_counts(gold: Sequence[Any]) -> dict[str, int]:
    """How often each label is in the test set."""
    counts: dict[str, int] = {}
    for label in (x for row in gold for x in ([row] if isinstance(row, str) else row)):
        counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items()))


def cuts_of(cutter: features.Cutter, data: Data, split: Any, body: Any, long_texts: str) -> list[features.Cut]:
    """Sentences of a split as pieces; `long_texts` as configured, for what `body` cannot read at once."""
    if data.tagged:
        return cutter.words(split["tokens"][:])
    return _texts(cutter, split["text"][:], body, long_texts)


def _texts(cutter: features.Cutter, texts: Sequence[str], body: Any, long_texts: str) -> list[features.Cut]:
    cuts = cutter.texts(texts)
    room = features.room_of(body.config, len(cutter.prefix) + len(cutter.suffix))
    return cuts if long_texts == "windows" else features.head_and_tail(cuts, room)


def _probe(job: Job, data: Data) -> None:
    job.out.mkdir(parents=True, exist_ok=True)
    fingerprint = fingerprint_of(job, data)
    waiting = [seed for seed in job.shared.seeds if not is_done(job.out / f"seed-{seed}", fingerprint)]
    job.tell(0.0, step="reading states")
    cache = job.out / "features"
    if waiting:
        splits = {"train": data.train, "dev": data.dev, "test": data.test}
        states = {
            name: heads.arrange(found, lengths_of(data, splits[name]), data.kind)
            for name, found in _states(job, data, cache, fingerprint).items()
        }
        targets, score = label_ids(data.train, data), scorer(data)
        lengths = lengths_of(data, data.test)
        missing = _missing(cache)
        for n, seed in enumerate(waiting):
            job.tell(0.8 + 0.2 * n / len(waiting), step=f"head of seed {seed}")
            weight, bias, facts = heads.train(states["train"], targets, states["dev"], score, len(data.labels), seed)
            facts |= {"kind": data.kind, "layers": features.LAYERS, "mode": "probe"}
            facts |= {"long_texts": job.shared.long_texts}
            head = heads.Head(weight, bias, data.labels, facts)
            predicted = heads.decode(head.log_probabilities(states["test"]), lengths, data.labels, data.kind)
            finish(
                job,
                data,
                seed,
                predicted,
                fingerprint,
                facts={"dev_score": facts["dev"], "epoch": facts["epoch"], **missing},
                fill=head.save,
            )
    shutil.rmtree(cache, ignore_errors=True)
    job.tell(1.0)


def _states(job: Job, data: Data, cache: Path, fingerprint: str) -> dict[str, np.ndarray]:
    """States of the three sets, from the job's folder where they are there already."""
    splits = {"train": data.train, "dev": data.dev, "test": data.test}
    if cache.is_dir() and _said(cache) != fingerprint:
        shutil.rmtree(cache)
    cache.mkdir(exist_ok=True)
    write_json(cache / "of.json", {"fingerprint": fingerprint})
    size = {name: max(1, len(split)) for name, split in splits.items()}
    body: list[Any] = []
    states, before = {}, 0.0
    for name, split in splits.items():
        share = 0.8 * size[name] / sum(size.values())

        def make(name: str = name, split: Any = split, before: float = before, share: float = share) -> np.ndarray:
            model, tokenizer = job.folders()
            if not body:
                body.extend([features.load_body(model), features.Cutter(tokenizer)])
            cuts = cuts_of(body[1], data, split, body[0], job.shared.long_texts)
            if name == "test":
                words = sum(len(cut.first) for cut in cuts)
                lost = sum(p < 0 for cut in cuts for p in cut.first)
                empty = sum(not cut.ids for cut in cuts)
                write_json(cache / "missing.json", {"words_without_piece": lost, "words": words, "empty_items": empty})
            return features.compute(
                body[0],
                body[1],
                cuts,
                pool=not data.tagged,
                bf16=features.fast(),
                tell=lambda done: job.tell(before + share * done, step=f"states of the {name} set"),
            )

        states[name] = features.cached(cache / f"{name}.npy", make)
        before += share
    return states


def _said(cache: Path) -> str | None:
    try:
        return str(json.loads((cache / "of.json").read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _missing(cache: Path) -> dict[str, int]:
    return dict(json.loads((cache / "missing.json").read_text(encoding="utf-8")))


def text_fingerprint(*parts: Any) -> str:
    """SHA-256 of anything JSON can write, for floors, which have no model."""
    return hashlib.sha256(json.dumps([VERSION, *parts], sort_keys=True, default=str).encode()).hexdigest()


def inspect(kind: Any) -> Callable[[dict[str, Path]], list[str]]:
    """Make what says, before a run, what a task's files hold, and refuses bad ones.

    Args:
        kind: `pos`, `ner` or `classes`.

    Returns:
        `(files by part) -> sentences`; raises InputError as the readers do.
    """

    def look(files: dict[str, Path]) -> list[str]:
        from corpora.tasks import leakage

        sets = read_sets(files, kind)
        said = []
        for part, items in sets.items():
            tags = [
                x.label if kind == "classes" else tag for x in items for tag in ([0] if kind == "classes" else x.tags)
            ]
            counts = sorted(label_counts(tags).items(), key=lambda pair: -pair[1])
            shown = ", ".join(f"{name} {100 * n / len(tags):.0f} %" for name, n in counts[:4])
            unit = "texts" if kind == "classes" else f"sentences, {len(tags):,} words"
            said.append(
                f"{part}: {len(items):,} {unit}, {len(counts)} labels ({shown}{', …' if len(counts) > 4 else ''})"
            )
        if "train" in sets and "test" in sets:
            found = leakage(sets["train"], sets["test"])
            if found["leaked"]:
                said.append(f"{found['leaked']:,} of {found['test']:,} test items are also in train: scores flatter")
        return said

    return look


def predict(
    evaluated: Path,
    model: Path,
    tokenizer: Path,
    sentences: Iterable[str],
    words_of: Callable[[str], list[str]] = str.split,
) -> Iterator[dict[str, Any]]:
    """Label new text with the heads of a run.

    Probe: the seeds' heads read the same states and their log-probabilities are averaged. Fine-tuned: the seed that was
    best on dev (the only one whose body is kept).

    Args:
        evaluated: `<run>/evaluate/<arm>/<task>`.
        model: the arm's model folder (its body; not used when the task was fine-tuned).
        tokenizer: its tokenizer folder.
        sentences: one sentence each.
        words_of: splits a sentence for tagging.

    Yields:
        `{"tokens": [...], "labels": [...]}` for tagging, `{"text": ..., "label": ...}` otherwise, one a sentence.
    """
    folders = sorted(path.parent for path in Path(evaluated).glob("seed-*/head.json"))
    loaded = [heads.Head.load(folder) for folder in folders]
    if not loaded:
        from lexigraft import InputError

        raise InputError("no trained heads here", file=evaluated, expected="seed-N/head.json")
    if loaded[0].facts.get("mode") == "finetune":
        kept = [(head, folder) for head, folder in zip(loaded, folders, strict=True) if (folder / "body").is_dir()]
        best = max(kept, key=lambda pair: pair[0].facts["dev"])
        loaded, model = [best[0]], best[1] / "body"
    body, cutter = features.load_body(Path(model)), features.Cutter(tokenizer)
    kind, labels = loaded[0].facts["kind"], loaded[0].labels
    texts = list(sentences)
    for at in range(0, len(texts), 256):
        part = texts[at : at + 256]
        words = [words_of(text) for text in part] if kind != "classes" else []
        long_texts = loaded[0].facts.get("long_texts", "windows")
        cuts = cutter.words(words) if kind != "classes" else _texts(cutter, part, body, long_texts)
        layers = loaded[0].facts["layers"]
        states = features.compute(body, cutter, cuts, pool=kind == "classes", layers=layers, bf16=features.fast())
        lengths = [len(row) for row in words] if kind != "classes" else None
        if loaded[0].facts.get("mode") != "finetune":  # a fine-tuned body has put the neighbours into the state itself
            states = heads.arrange(states, lengths, kind)
        scores = np.mean([head.log_probabilities(states) for head in loaded], axis=0)
        found = heads.decode(scores, lengths, labels, kind)
        if kind == "classes":
            yield from ({"text": text, "label": label} for text, label in zip(part, found, strict=True))
        else:
            yield from ({"tokens": row, "labels": tags} for row, tags in zip(words, found, strict=True))
