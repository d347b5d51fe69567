"""Read what users give as `texts`: files, or lines that can be gone through more than once."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from lexigraft import InputError

_BOM = "\ufeff"


class Lines:
    """Lines of text that can be gone through again.

    Args:
        texts: a file, several files, or a re-iterable of lines. A list of strings that all name files is taken as
            files, any other as lines. `.gz` files are unpacked while reading.
        blank: give blank lines too, for texts that belong together line by line.

    Raises:
        InputError: a one-shot iterator, no text at all, or a file that is missing.
    """

    def __init__(self, texts: Any, *, blank: bool = False) -> None:
        self.blank = blank
        self.files: list[Path] = []
        self.lines: Iterable[str] = ()
        if isinstance(texts, str | Path):
            self.files = [Path(texts)]
        elif not isinstance(texts, Iterable):
            raise InputError("texts cannot be read", found=type(texts).__name__, expected="files or lines")
        elif iter(texts) is texts:
            raise InputError(
                "texts can be gone through only once",
                found=f"a one-shot iterator ({type(texts).__name__})",
                expected="files, a list of lines, or an object whose __iter__ starts anew",
            )
        elif isinstance(texts, list | tuple) and texts and all(map(_names_file, texts)):
            self.files = [Path(text) for text in texts]
        else:
            self.lines = texts
        for file in self.files:
            if not file.is_file():
                raise InputError("there is no such text file", file=file)

    def __iter__(self) -> Iterator[str]:
        """Give the lines, without line ends and byte order mark."""
        for file in self.files:
            yield from _read(file, self.blank)
        for number, line in enumerate(self.lines, 1):
            if not isinstance(line, str):
                raise InputError("a line is no text", line=number, found=type(line).__name__, expected="str")
            if self.blank:
                yield line
            else:
                yield from (part for part in line.removeprefix(_BOM).splitlines() if part.strip())

    def __str__(self) -> str:
        return ", ".join(map(str, self.files)) or "the given lines"


def _names_file(text: object) -> bool:
    if isinstance(text, Path):
        return True
    try:
        return isinstance(text, str) and len(text) < 4096 and "\n" not in text and Path(text).is_file()
    except (OSError, ValueError):
        return False


def _read(file: Path, blank: bool) -> Iterator[str]:
    stream: IO[bytes]
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:  # type: ignore[assignment]
        for number, raw in enumerate(stream, 1):
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    "the text is not UTF-8",
                    file=file,
                    line=number,
                    found=f"byte 0x{raw[error.start]:02x} at place {error.start + 1} of the line",
                    expected="UTF-8 (convert it with `iconv -f latin1 -t utf-8`, if that is what it is)",
                ) from None
            line = (line.removeprefix(_BOM) if number == 1 else line).rstrip("\r\n")
            if blank or line.strip():
                yield line
