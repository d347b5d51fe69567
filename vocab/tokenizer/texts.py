"""Read what users give as `texts`: files, data sets, or lines that can be gone through more than once."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from lexigraft import InputError

_BOM = "\ufeff"
_LONGEST = 1 << 20  # bytes or characters; longer lines come in pieces, so that no line needs much memory
_RUN = 1 << 16  # bytes that are decoded together
_ROWS = 1000


class Lines:
    """Lines of text that can be gone through again.

    Args:
        texts: a file, several files, a data set of the library `datasets`, or a re-iterable of lines. A list of
            strings that all name files is taken as files, any other as lines. `.gz` and `.zst` files are unpacked
            while reading; of a `.parquet` file or a data set, the column `text` is read, or its only column of text.
        blank: give blank lines too, and no line in pieces, for texts that belong together line by line.

    Raises:
        InputError: a one-shot iterator, no text at all, or a file that is missing.
    """

    def __init__(self, texts: Any, *, blank: bool = False) -> None:
        self.blank = blank
        self.files: list[Path] = []
        self.lines: Iterable[str] = ()
        if isinstance(texts, str | Path):
            self.files = [Path(texts)]
        elif hasattr(texts, "column_names") and hasattr(texts, "iter"):
            self.lines = _DataSet(texts)
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
                raise InputError("there is no such text file", file=file, found="a folder" if file.is_dir() else None)

    def __iter__(self) -> Iterator[str]:
        """Give the lines, without line ends and byte order mark."""
        for file in self.files:
            rows = _parquet(file) if file.suffix == ".parquet" else None
            yield from self._clean(rows) if rows is not None else _read(file, self.blank)
        yield from self._clean(self.lines)

    def _clean(self, lines: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            if not isinstance(line, str):
                raise InputError("a line is no text", line=number, found=type(line).__name__, expected="str")
            if self.blank:
                yield line
            else:
                for part in line.removeprefix(_BOM).splitlines():
                    yield from _pieces(part) if part.strip() else ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.files)) or "the given lines"


class _DataSet:
    """The lines of a data set of the library `datasets`, read a thousand rows at a time."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        features = rows.features or {}
        texts = [name for name in features if getattr(features[name], "dtype", "") in ("string", "large_string")]
        self.column = _text_column(list(rows.column_names or features), texts, None)

    def __iter__(self) -> Iterator[str]:
        for batch in self.rows.iter(batch_size=_ROWS):
            yield from batch[self.column]


def _parquet(file: Path) -> Iterator[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"this is no parquet file: {error}", file=file) from None
    schema = table.schema_arrow
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    column = _text_column(schema.names, texts, file)
    for batch in table.iter_batches(batch_size=_ROWS, columns=[column]):
        yield from batch.column(0).to_pylist()


def _text_column(names: Sequence[str], texts: Sequence[str], file: Path | None) -> str:
    """Choose the column that holds the text."""
    if "text" in names:
        return "text"
    if len(texts) == 1:
        return texts[0]
    raise InputError(
        "which column is the text?",
        file=file,
        found=f"columns {', '.join(names) or 'none'}",
        expected="a column `text`, or a single column of strings",
    )


def _pieces(line: str) -> Iterator[str]:
    """Cut a line that is too long at spaces, or where there are none."""
    start = 0
    while len(line) - start > _LONGEST:
        end = line.rfind(" ", start + 1, start + _LONGEST)
        end = end if end > 0 else start + _LONGEST
        yield line[start:end]
        start = end
    yield line[start:]


def _names_file(text: object) -> bool:
    if isinstance(text, Path):
        return True
    try:
        return isinstance(text, str) and len(text) < 4096 and "\n" not in text and Path(text).is_file()
    except (OSError, ValueError):
        return False


def _open(file: Path) -> IO[bytes]:
    if file.suffix == ".gz":
        return gzip.open(file)  # type: ignore[return-value]
    if file.suffix == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(file), compression="zstd"), _LONGEST)
    return file.open("rb")


def _read(file: Path, blank: bool) -> Iterator[str]:
    number = 1
    try:
        with _open(file) as stream:
            for raw in _runs(stream, whole=blank):
                text = _decoded(raw, file, number)
                parts = (text.removeprefix(_BOM) if number == 1 else text).removesuffix("\n").split("\n")
                if "\r" in text:
                    parts = [part for line in parts for part in line.rstrip("\r").split("\r")]
                yield from parts if blank else [part for part in parts if part.strip()]
                number += raw.count(b"\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"the file is damaged after line {number - 1}: {error}", file=file) from None
    except OSError as error:
        if file.suffix != ".zst":
            raise
        raise InputError(f"the file is damaged after line {number - 1}: {error}", file=file) from None


def _runs(stream: IO[bytes], *, whole: bool) -> Iterator[bytes]:
    """Give some complete lines at a time; lines too long for the memory in pieces, each alone, unless `whole`."""
    while run := stream.read(_RUN):
        end = run.rfind(b"\n") + 1
        last = run[end:] + stream.readline(-1 if whole else _LONGEST - len(run) + end)
        if whole or last.endswith(b"\n") or len(last) < _LONGEST:
            yield run[:end] + last
            continue
        if end:
            yield run[:end]
        yield from _parts(last, stream)


def _parts(line: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    """Give the line that begins so and goes on in `stream`, cut at spaces or at least between characters."""
    while len(line) >= _LONGEST and not line.endswith(b"\n"):
        cut = line.rfind(b" ")
        if cut <= 0:
            cut = len(line) - 1
            while cut > len(line) - 4 and line[cut] & 0xC0 == 0x80:
                cut -= 1
        yield line[:cut]
        line = line[cut:]
        if not (more := stream.readline(_LONGEST)):
            break
        line += more
    if line:
        yield line


def _decoded(raw: bytes, file: Path, number: int) -> str:
    if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError("the text is not UTF-8", file=file, found="a UTF-16 byte order mark", expected="UTF-8")
    if b"\0" in raw:
        number += raw.count(b"\n", 0, raw.index(b"\0"))
        raise InputError("a binary file, not text", file=file, line=number, found="a zero byte")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.start - raw.rfind(b"\n", 0, error.start)
        cut_off = error.reason == "unexpected end of data" and not raw.endswith(b"\n")
        raise InputError(
            "the text is not UTF-8",
            file=file,
            line=number + raw.count(b"\n", 0, error.start),
            found=f"byte 0x{raw[error.start]:02x} at place {place} of the line",
            expected="the rest of the character: the file is cut off there"
            if cut_off
            else "UTF-8 (convert it with `iconv -f latin1 -t utf-8`, if that is what it is)",
        ) from None
