"""The speaker's marks: a table of badly cut words that someone who speaks the language fills in."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lexigraft import InputError
from vocab.compare.words import Case
from vocab.view import SPACE, Vocabulary

COLUMNS = ("word", "mark", "pieces", "frequency", "context")
WHOLE = "="
CUT = "|"
HOW = "mark: = keep the word whole; gida|je cut it there; empty: no opinion"


@dataclass(frozen=True)
class Marks:
    """What a speaker said of words.

    Attributes:
        words: words to keep whole.
        cuts: word -> its morphemes; what `vocab.compare(morphemes=...)` takes.
        seen: all words of the table, marked or not.
    """

    words: list[str]
    cuts: dict[str, list[str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    @property
    def morphemes(self) -> list[str]:
        """The parts, as `train_tokenizer` and `extend` take them: one that begins a word ends in a hyphen."""
        parts = [part + "-" * (place == 0) for cut in self.cuts.values() for place, part in enumerate(cut)]
        return list(dict.fromkeys(parts))

    def disregarded(self, tokenizer: Any) -> list[str]:
        """Say in a sentence which marked words a tokenizer cuts in another way; empty where it follows every mark."""
        from vocab.compare.pieces import encode_words

        view = Vocabulary.of(tokenizer)
        wanted = {word: [word] for word in self.words} | self.cuts
        others = []
        for (word, parts), ids in zip(wanted.items(), encode_words(view, list(wanted)), strict=True):
            found = [bare for index in ids.tolist() if (bare := view.forms[index].removeprefix(SPACE))]
            others += [word] * (found != [view.normalise(part).strip(SPACE + " ") for part in parts])
        if not others:
            return []
        return [f"{len(others)} of {len(wanted)} marked words are cut in another way: {', '.join(others[:5])}"]


def write_marks(file: str | Path, cases: Sequence[Case]) -> None:
    """Write the table to be filled in: tab-separated, one word a line.

    Raises:
        InputError: the file is there; marks are never written over.
    """
    path = Path(file)
    if path.exists():
        raise InputError("this file is there already, and may hold marks", file=path, expected="another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(marks_text(cases), encoding="utf-8")


def marks_text(cases: Sequence[Case], marks: Sequence[str] | None = None) -> str:
    """Return the table as text; `marks` are those given so far, one a case."""
    out = io.StringIO()
    out.write(f"# {HOW}\n")
    rows = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    rows.writerow(COLUMNS)
    for case, mark in zip(cases, marks or [""] * len(cases), strict=True):
        context = " ".join(case.context.split())
        rows.writerow([case.word, mark, " ".join(case.pieces), case.frequency, context])
    return out.getvalue()


def read_marks(file: str | Path) -> Marks:
    """Read a table that was filled in.

    Args:
        file: the table; columns beyond the second are not looked at.

    Returns:
        What it says.

    Raises:
        InputError: no such file, or a mark that is neither `=` nor the word with `|` in it.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError("there is no such file of marks", file=path, expected="one of `lexigraft tokenizer clinic`")
    words, cuts, seen = [], {}, []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not cells[0] or line.startswith("#") or cells[:2] == list(COLUMNS[:2]):
            continue
        word, mark = cells[0], cells[1] if len(cells) > 1 else ""
        seen.append(word)
        parts = [part.strip() for part in mark.split(CUT)]
        if mark == WHOLE:
            words.append(word)
        elif mark and "".join(parts) == word and len(parts) > 1 and all(parts):
            cuts[word] = parts
        elif mark:
            raise InputError(
                f"this mark says nothing of {word!r}", file=path, line=number, found=mark,
                expected=f"{WHOLE} (keep it whole), the word with {CUT} where to cut it, or nothing",
            )  # fmt: skip
    return Marks(words, cuts, seen)
