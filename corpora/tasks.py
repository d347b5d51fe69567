"""Reads labelled data, tokens with tags (CoNLL, CoNLL-U) and texts with labels (TSV, CSV), and checks it."""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from corpora.text import letters, number_lines, tidy
from lexigraft import InputError

UPOS = frozenset(
    ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART"]
    + ["PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"]
)
_BIO = re.compile(r"O|[BI]-\S+")
_LABEL_NAMES = ("label", "labels", "sentiment", "class", "polarity", "category", "target")
_TEXT_NAMES = ("tweet", "text", "sentence", "review", "comment", "content", "document")

Kind = Literal["pos", "ner"]


@dataclass(frozen=True)
class Sentence:
    """A sentence with one tag a token.

    Attributes:
        tokens: the words, NFC.
        tags: as many tags.
        line: line of the first token in the file, from 1.
        repaired: tags that were mended (an `I-` that no `B-` or `I-` of its type precedes became a `B-`).
    """

    tokens: list[str]
    tags: list[str]
    line: int
    repaired: int = 0

    @property
    def text(self) -> str:
        """The tokens with spaces between them."""
        return " ".join(self.tokens)


@dataclass(frozen=True)
class Labelled:
    """A text with one label; `line` is where it begins in the file, from 1."""

    text: str
    label: str
    line: int


def read_tagged(path: str | Path, *, kind: Kind | None = None, labels: Iterable[str] | None = None) -> list[Sentence]:
    """Read sentences with one tag a token.

    Two columns (token, tag; tab or spaces between), an empty line between sentences; or CoNLL-U when the name ends in
    `.conllu` (FORM and UPOS; ranges and empty nodes are left out).

    Args:
        path: the file; `.gz` is decompressed.
        kind: `pos` or `ner`; nothing means: NER when every tag is BIO.
        labels: the tags that may occur, such as those of the training file; where all are UPOS, any UPOS tag may.

    Returns:
        The sentences in the order of the file, never empty.

    Raises:
        InputError: names file, line, what was found and what was expected: no sentences, not two columns, the tags in
            the first column, a tag that is not BIO (NER), a tag outside `labels`, far too many different tags.
    """
    path = Path(path)
    rows = _conllu(path) if path.name.removesuffix(".gz").endswith(".conllu") else _columns(path)
    blocks = list(rows)
    if not blocks:
        raise InputError("no labelled sentences in it", file=path, expected="lines of two columns: token, tag")
    flat = [row for block in blocks for row in block]
    _refuse_wrong_column(flat, path)
    bio = kind == "ner" or (kind is None and all(_BIO.fullmatch(tag) for _, _, tag in flat))
    _check_tags(flat, path, bio=bio, labels=None if labels is None else set(labels))
    return [_sentence(block, bio=bio) for block in blocks]


def read_classified(path: str | Path, *, labels: Iterable[str] | None = None) -> list[Labelled]:
    """Read texts with one label each.

    Tab-separated (`.tsv`, `.txt`): text, label; quotes are plain characters. Comma-separated (`.csv`): the quoting of
    RFC 4180; label, text. A header line (`tweet<TAB>label`, `label,text`, ...) may come first and decides the order.

    Args:
        path: the file; `.gz` is decompressed.
        labels: the labels that may occur, such as those of the training file.

    Returns:
        The items in the order of the file, never empty.

    Raises:
        InputError: names file, line, what was found and what was expected: nothing in it, not two columns, the labels
            in the other column, an empty text or label, a label outside `labels`.
    """
    path = Path(path)
    comma = path.name.removesuffix(".gz").endswith(".csv")
    rows = list(_csv(path) if comma else _tsv(path))
    text_at, label_at = (1, 0) if comma else (0, 1)
    header = _header(rows[0][1]) if rows else None
    if header:
        text_at, label_at = header
        rows = rows[1:]
    if not rows:
        raise InputError("no labelled texts in it", file=path, expected="lines of two columns: text, label")
    width = max(text_at, label_at) + 1 if header else 2
    items = []
    for line, cells in rows:
        if len(cells) < width or (not header and len(cells) != 2):
            raise InputError(
                f"not {width} columns",
                file=path,
                line=line,
                found=f"{len(cells)}: {_short(' | '.join(cells))}",
                expected=("label, text" if comma else "text, a tab, label") if not header else "as in the header",
            )
        items.append(Labelled(tidy(cells[text_at]).strip(), cells[label_at].strip(), line))
    if not header and len({i.label for i in items}) > max(2, len({i.text for i in items})):
        _swapped(items, path, comma)
    seen = Counter(item.label for item in items)
    if len(seen) > 30 and len(seen) > len(items) / 10:
        _swapped(items, path, comma)
    known = None if labels is None else set(labels)
    for item in items:
        if not item.label or not item.text:
            raise InputError(f"empty {'text' if item.label else 'label'}", file=path, line=item.line)
        if known is not None and item.label not in known:
            raise _unknown(item.label, known, path, item.line)
    if len(seen) == 1:
        raise InputError("every text has the same label", file=path, found=repr(items[0].label), expected="two or more")
    return items


def leakage(train: Sequence[Sentence | Labelled], test: Sequence[Sentence | Labelled]) -> dict[str, int]:
    """Count test items that the training data has too.

    Args:
        train: what is trained on.
        test: what is measured on.

    Returns:
        `test` (items), `leaked` (test items whose letters and digits, lower-cased, equal those of a training item),
        `repeated` (test items that repeat an earlier test item).
    """
    seen = {letters(item.text) for item in train}
    keys = [letters(item.text) for item in test]
    return {"test": len(keys), "leaked": sum(k in seen for k in keys), "repeated": len(keys) - len(set(keys))}


def read_sentences(path: str | Path) -> list[str]:
    """Read only the texts of a file that may carry labels: what must be kept out of the training text.

    Args:
        path: two-column CoNLL (by content), `.conllu`, `.tsv`, `.csv`, or plain text.

    Returns:
        One string a sentence.
    """
    path = Path(path)
    name = path.name.removesuffix(".gz")
    if name.endswith((".tsv", ".csv")):
        return [item.text for item in read_classified(path)]
    if name.endswith((".conllu", ".conll", ".bio")):
        return [sentence.text for sentence in read_tagged(path)]
    lines = [(n, line) for n, line in number_lines(path)]
    filled = [line for _, line in lines if line.strip()]
    if filled and all(len(line.split()) == 2 for line in filled[:200]):
        return [sentence.text for sentence in read_tagged(path)]
    return [tidy(line).strip() for line in filled]


def _columns(path: Path) -> Iterator[list[tuple[int, str, str]]]:
    block: list[tuple[int, str, str]] = []
    for number, line in number_lines(path):
        line = tidy(line)
        if not line.strip() or line.startswith("-DOCSTART-"):
            if block:
                yield block
            block = []
            continue
        cells = [cell.strip() for cell in line.strip("\r\n").split("\t")] if "\t" in line.strip() else line.split()
        if len(cells) != 2 or not all(cells):
            raise InputError(
                f"{len(cells)} column{'s' * (len(cells) != 1)}",
                file=path,
                line=number,
                found=_short(repr(line)),
                expected="two columns: token, tag (a tab or a space between), an empty line after each sentence",
            )
        block.append((number, cells[0], cells[1]))
    if block:
        yield block


def _conllu(path: Path) -> Iterator[list[tuple[int, str, str]]]:
    block: list[tuple[int, str, str]] = []
    for number, line in number_lines(path):
        line = tidy(line).rstrip()
        if line.startswith("#"):
            continue
        if not line:
            if block:
                yield block
            block = []
            continue
        cells = line.split("\t")
        if len(cells) != 10:
            raise InputError(
                f"{len(cells)} columns", file=path, line=number, found=_short(repr(line)), expected="the 10 of CoNLL-U"
            )
        if cells[0].isdigit():
            block.append((number, cells[1], cells[3]))
    if block:
        yield block


def _refuse_wrong_column(flat: list[tuple[int, str, str]], path: Path) -> None:
    """Raise when the first column looks like tags and the second like words."""
    first, second = Counter(token for _, token, _ in flat), Counter(tag for _, _, tag in flat)
    hits = [sum(n for cell, n in column.items() if _like_tag(cell)) / len(flat) for column in (first, second)]
    line, token, tag = flat[0]
    crowded = len(second) > 60 and len(second) > 2 * len(first)
    if (hits[0] > 0.9 and hits[1] < 0.5) or crowded:
        raise InputError(
            "the tags seem to be in the first column",
            file=path,
            line=line,
            found=f"{token!r}, {tag!r} ({len(first)} different cells in column 1, {len(second)} in column 2)",
            expected="token, tag",
        )
    if len(second) > 60 and len(second) > len(flat) / 5:
        raise InputError(
            "too many different tags for a tag column",
            file=path,
            line=line,
            found=f"{len(second)} in {len(flat)} tokens, such as {', '.join(map(repr, list(second)[:4]))}",
            expected="token, tag",
        )


def _like_tag(cell: str) -> bool:
    return cell in UPOS or bool(re.fullmatch(r"O|[BIES]-[A-Za-z_]+", cell))


def _check_tags(flat: list[tuple[int, str, str]], path: Path, *, bio: bool, labels: set[str] | None) -> None:
    known = labels
    if known is not None and known <= UPOS:
        known = set(UPOS)
    if known is not None and bio:
        known = {f"{mark}{label[1:]}" for label in known if label[1:2] == "-" for mark in "BI"} | {"O"}
    if known is None and not bio:
        tags = Counter(tag for _, _, tag in flat)
        # A file that is UPOS but for a few tokens has typing errors in them; a tag set of one's own is nobody's error.
        if sum(n for tag, n in tags.items() if tag in UPOS) > 0.98 * len(flat) or len(flat) < 100 <= 100 * sum(
            tag in UPOS for tag in tags
        ):
            known = set(UPOS)
    for line, _, tag in flat:
        if bio and not _BIO.fullmatch(tag):
            raise InputError(
                "not a BIO tag", file=path, line=line, found=repr(tag), expected="O, B-TYPE or I-TYPE, such as B-PER"
            )
        if known is not None and tag not in known:
            raise _unknown(tag, known, path, line)


def _sentence(block: list[tuple[int, str, str]], *, bio: bool) -> Sentence:
    tags, repaired = [tag for _, _, tag in block], 0
    if bio:
        for i, tag in enumerate(tags):
            if tag[0] == "I" and (i == 0 or tags[i - 1][1:] != tag[1:]):
                tags[i] = f"B{tag[1:]}"
                repaired += 1
    return Sentence([token for _, token, _ in block], tags, block[0][0], repaired)


def _tsv(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in number_lines(path):
        if line.strip():
            yield number, line.rstrip("\r\n").split("\t")


def _csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    start = 0  # a quoted field may span lines: the number given is that of the row's first line

    def lines() -> Iterator[str]:
        for _, line in number_lines(path):
            yield f"{line}\n"

    reader = csv.reader(lines(), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start + 1, [" ".join(cell.split()) for cell in cells]
            start = reader.line_num
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", file=path, line=reader.line_num) from None


def _header(cells: list[str]) -> tuple[int, int] | None:
    """Positions of text and label when the row is a header, else None."""
    names = [cell.strip().lower().lstrip("\ufeff") for cell in cells]
    text_at = next((names.index(n) for n in _TEXT_NAMES if n in names), None)
    label_at = next((names.index(n) for n in _LABEL_NAMES if n in names), None)
    if label_at is not None and text_at is None and len(names) == 2:
        text_at = 1 - label_at
    return None if text_at is None or label_at is None else (text_at, label_at)


def _swapped(items: list[Labelled], path: Path, comma: bool) -> None:
    raise InputError(
        "the labels seem to be in the other column",
        file=path,
        line=items[0].line,
        found=f"label {_short(repr(items[0].label))} ({len({i.label for i in items})} different ones in "
        f"{len(items)} lines)",
        expected="label, text" if comma else "text, a tab, label",
    )


def _unknown(tag: str, known: set[str], path: Path, line: int) -> InputError:
    near = difflib.get_close_matches(tag, known, 1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return InputError(
        "unknown label", file=path, line=line, found=f"{tag!r}{hint}", expected=f"one of {', '.join(sorted(known))}"
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
