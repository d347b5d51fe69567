"""Labelled data of a task as `datasets.Dataset`s: the same items, in the same order, for every arm and every floor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexigraft import InputError

if TYPE_CHECKING:
    from datasets import Dataset

    from adapt.evaluate.job import Job

Kind = Literal["pos", "ner", "classes"]


@dataclass
class Data:
    """The three sets of a task.

    Attributes:
        train: columns `tokens` (or `text`), `labels` (ids) and `line`.
        dev: the same; for choices made while training.
        test: the same.
        labels: names of the labels by id, sorted; for NER closed under B- and I-.
        kind: `pos`, `ner` or `classes`.
        facts: counts: items of each set and in each file, where dev came from, test items that are also in train.
    """

    train: Dataset
    dev: Dataset
    test: Dataset
    labels: list[str]
    kind: Kind
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def tagged(self) -> bool:
        """Whether each word has a label, not each text."""
        return self.kind != "classes"

    @property
    def column(self) -> str:
        """The column that is read: `tokens` or `text`."""
        return "tokens" if self.tagged else "text"

    def names(self, split: Dataset) -> list[Any]:
        """Labels by name: a list of lists for tagged data."""
        if self.tagged:
            return [[self.labels[i] for i in row] for row in split["labels"]]
        return [self.labels[i] for i in split["labels"]]

    def fingerprint(self) -> str:
        """SHA-256 over labels and all items, as hexadecimal."""
        digest = hashlib.sha256(json.dumps([self.kind, self.labels]).encode())
        for split in (self.train, self.dev, self.test):
            digest.update(json.dumps([split[self.column][:], split["labels"][:]]).encode())
        return digest.hexdigest()


def load(job: Job, kind: Kind) -> Data:
    """Read and check the files of a task, set a dev set aside where there is none, and draw subsets.

    `shared.max_train` caps train, `shared.max_test` caps test and dev; what is kept is drawn with the run's seed.

    Raises:
        InputError: a file cannot be read, or dev or test has a label that train lacks (UPOS tags may differ).
    """
    options = job.options
    sets = read_sets(
        {part: getattr(options, part) for part in ("train", "dev", "test") if getattr(options, part)}, kind
    )
    train, dev, test = sets["train"], sets.get("dev", []), sets["test"]
    labels = sorted({*_labels(train, kind), *_labels(dev, kind), *_labels(test, kind)})
    rng = np.random.default_rng([job.seed, 71])
    facts: dict[str, Any] = {"file_train": len(train), "file_test": len(test), "dev": "given"}
    if not dev:
        dev, train = _set_aside(train, rng, options)
        facts["dev"] = "a tenth of train"
    from corpora.tasks import leakage

    facts["leaked"] = leakage(train, test)["leaked"]
    max_test = job.shared.max_test
    train, dev, test = _draw(train, job.shared.max_train, rng), _draw(dev, max_test, rng), _draw(test, max_test, rng)
    facts |= {"n_train": len(train), "n_dev": len(dev), "n_test": len(test)}
    made = [_dataset(items, labels, kind) for items in (train, dev, test)]
    return Data(made[0], made[1], made[2], labels, kind, facts)


def read_sets(files: dict[str, Path], kind: Kind) -> dict[str, list[Any]]:
    """Read a task's files by part; dev and test may only have labels that train has (UPOS tags may differ).

    Raises:
        InputError: as the readers of `corpora.tasks` do, with file and line.
    """
    read = _readers(kind)
    train = read(files["train"], None) if "train" in files else None
    seen = None if train is None else _labels(train, kind)
    return {part: train if part == "train" and train is not None else read(path, seen) for part, path in files.items()}


def _readers(kind: Kind) -> Any:
    from corpora.tasks import read_classified, read_tagged

    if kind == "classes":
        return lambda path, labels: read_classified(path, labels=labels)
    return lambda path, labels: read_tagged(path, kind=kind, labels=labels)


def _labels(items: Sequence[Any], kind: Kind) -> set[str]:
    if kind == "classes":
        return {item.label for item in items}
    found = {tag for item in items for tag in item.tags}
    if kind == "ner":  # a type that opens spans can also go on, whether or not the file shows it
        return {"O"} | {f"{mark}{tag[1:]}" for tag in found if tag != "O" for mark in "BI"}
    return found


def _set_aside(train: list[Any], rng: np.random.Generator, options: Any) -> tuple[list[Any], list[Any]]:
    if len(train) < 10:
        raise InputError(
            "too few training items to set a tenth aside", file=options.train, found=len(train), expected="10 or more"
        )
    chosen = set(rng.permutation(len(train))[: max(1, len(train) // 10)].tolist())
    return [x for i, x in enumerate(train) if i in chosen], [x for i, x in enumerate(train) if i not in chosen]


def _draw(items: list[Any], most: int | None, rng: np.random.Generator) -> list[Any]:
    order = rng.permutation(len(items))
    if most is None or len(items) <= most:
        return items
    return [items[i] for i in sorted(order[:most].tolist())]


def _dataset(items: Sequence[Any], labels: list[str], kind: Kind) -> Dataset:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    number = {name: i for i, name in enumerate(labels)}
    line, label = Value("int64"), ClassLabel(names=labels)
    if kind == "classes":
        return Dataset.from_dict(
            {
                "text": [x.text for x in items],
                "labels": [number[x.label] for x in items],
                "line": [x.line for x in items],
            },
            features=Features({"text": Value("string"), "labels": label, "line": line}),
        )
    return Dataset.from_dict(
        {
            "tokens": [x.tokens for x in items],
            "labels": [[number[tag] for tag in x.tags] for x in items],
            "line": [x.line for x in items],
        },
        features=Features({"tokens": Sequence(Value("string")), "labels": Sequence(label), "line": line}),
    )
