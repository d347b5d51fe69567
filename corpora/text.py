"""Reads plain text line by line: UTF-8 checked, compressed files opened, invisible characters taken out."""

from __future__ import annotations

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from lexigraft import InputError

# Zero-width space, word joiner, byte order mark inside a line, soft hyphen, bidi marks: never part of the spelling.
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# Joiners carry meaning in Arabic and Indic scripts and in emoji; next to Latin letters or at an edge they are dirt.
_STRAY_JOINER = re.compile("(?<![^\\sA-Za-z\u00c0-\u024f])[\u200c\u200d]|[\u200c\u200d](?=[\\sA-Za-z\u00c0-\u024f]|$)")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_SUSPECT = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LONGEST = 1 << 24  # bytes of a line: what comes of it takes some thirty times the memory


def read_lines(path: str | Path, *, empty: bool = False) -> Iterator[str]:
    """Yield the lines of a text file, streaming.

    Lines end at LF, CR LF or a lone CR. A byte order mark, invisible characters and white space at both ends are taken
    off, and the text is brought to NFC. Control characters are left for `clean` to count.

    Args:
        path: a text file in UTF-8; a name that ends in `.gz` is decompressed on the way.
        empty: yield empty lines too (needed where line numbers matter).

    Yields:
        One line, without its end.

    Raises:
        InputError: no such file, not UTF-8 (line and byte are named), a damaged gzip file, a binary file, a line of
            more than 16 MiB.
    """
    for _, line in number_lines(path):
        line = tidy(line).strip()
        if line or empty:
            yield line


def number_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line) of a UTF-8 file; only the byte order mark and the line end are taken off.

    Raises:
        InputError: as `read_lines`.
    """
    path = Path(path)
    number, offset = 0, 0
    with _open(path) as stream:
        try:
            for raw in stream:
                if number == 0:
                    raw = _without_mark(raw, path)
                for piece in raw.rstrip(b"\r\n").split(b"\r") if b"\r" in raw else (raw.rstrip(b"\n"),):
                    number += 1
                    if len(piece) > _LONGEST:
                        raise InputError(
                            "a line is too long",
                            file=path,
                            line=number,
                            found=f"{len(piece):,} bytes",
                            expected="one sentence or paragraph a line; was the text saved without its line ends?",
                        )
                    try:
                        line = piece.decode("utf-8")
                    except UnicodeDecodeError as error:
                        raise _not_utf8(path, number, offset, piece, error) from None
                    if "\x00" in line:
                        raise InputError("a binary file, not text", file=path, line=number, found="a zero byte")
                    yield number, line
                offset += len(raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"damaged gzip file after line {number}: {error}", file=path) from None


def tidy(line: str) -> str:
    """Take out characters that cannot be seen and bring the line to NFC."""
    if line.isascii():
        return line
    if _SUSPECT.search(line):
        line = _STRAY_JOINER.sub("", INVISIBLE.sub("", line))
    return line if unicodedata.is_normalized("NFC", line) else unicodedata.normalize("NFC", line)


class _Kept(dict[int, "str | None"]):
    """Translation that keeps letters, digits and marks; filled as characters turn up."""

    def __init__(self, other: str | None) -> None:
        self.other = other

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        kept = character.isalnum() or unicodedata.category(character)[0] == "M"
        self[code] = character if kept else self.other
        return self[code]


_LETTERS, _WORDS = _Kept(None), _Kept(" ")


def letters(text: str) -> str:
    """Give the letters, marks and digits of a text, lower-cased: texts with the same ones count as the same."""
    return text.lower().translate(_LETTERS)


def words(text: str) -> list[str]:
    """Give the words of a text, lower-cased: runs of letters, marks and digits; their concatenation is `letters`."""
    return text.lower().translate(_WORDS).split()


def _open(path: Path) -> IO[bytes]:
    if path.is_dir():
        raise InputError("a folder, not a file", file=path, expected="a text file")
    if not path.exists():
        raise InputError("no such file", file=path)
    # A gzip stream reads like a file of bytes; its class only lacks the name.
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _without_mark(raw: bytes, path: Path) -> bytes:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError("not UTF-8", file=path, line=1, found="a UTF-16 byte order mark", expected="UTF-8")
    return raw.removeprefix(b"\xef\xbb\xbf")


def _not_utf8(path: Path, number: int, offset: int, piece: bytes, error: UnicodeDecodeError) -> InputError:
    start = error.start
    nearby = piece[max(0, start - 12) : start].decode("utf-8", "replace")
    return InputError(
        "not UTF-8",
        file=path,
        line=number,
        found=f"byte 0x{piece[start]:02x} at byte {start + 1} of the line, {offset + start + 1} of the file, "
        f"after {nearby!r}",
        expected="UTF-8: save the file again in that encoding (`iconv -f CP1252 -t UTF-8` where it is Windows text)",
    )
