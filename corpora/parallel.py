"""Reads line-aligned text in two languages, and bilingual dictionaries."""

from __future__ import annotations

from pathlib import Path

from corpora.text import number_lines, read_lines, tidy
from lexigraft import InputError


def read_parallel(a: str | Path, b: str | Path) -> list[tuple[str, str]]:
    """Read two files whose lines translate each other.

    Args:
        a: text in one language, one sentence a line.
        b: the same sentences in the other language.

    Returns:
        The pairs of which both sides have text.

    Raises:
        InputError: the numbers of lines differ, or no pair has text on both sides.
    """
    left, right = list(read_lines(a, empty=True)), list(read_lines(b, empty=True))
    if len(left) != len(right):
        raise InputError(
            f"not as many lines as {a}",
            file=b,
            line=min(len(left), len(right)) + 1,
            found=len(right),
            expected=len(left),
        )
    pairs = [(x, y) for x, y in zip(left, right, strict=True) if x and y]
    if not pairs:
        raise InputError(f"no line has text both here and in {a}", file=b)
    return pairs


def read_dictionary(path: str | Path) -> list[tuple[str, str, float]]:
    """Read a bilingual dictionary: source word, tab, target word, and perhaps tab, score.

    Args:
        path: UTF-8, no header; empty lines and lines that begin with `#` are skipped.

    Returns:
        (source, target, score) in the order of the file, repeated pairs left out; the score is 1.0 where none is given.

    Raises:
        InputError: fewer than two columns, an empty cell, a score that is no number, nothing in it.
    """
    path = Path(path)
    entries: dict[tuple[str, str], float] = {}
    for number, raw in number_lines(path):
        line = tidy(raw).strip("\r\n")
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) not in (2, 3) or not cells[0] or not cells[1]:
            raise InputError(
                "not a dictionary entry",
                file=path,
                line=number,
                found=repr(line)[:80],
                expected="source, a tab, target",
            )
        try:
            score = float(cells[2]) if len(cells) == 3 else 1.0
        except ValueError:
            raise InputError("not a score", file=path, line=number, found=repr(cells[2]), expected="a number") from None
        entries.setdefault((cells[0], cells[1]), score)
    if not entries:
        raise InputError("no entries in it", file=path, expected="lines of two columns: source, a tab, target")
    return [(source, target, score) for (source, target), score in entries.items()]
