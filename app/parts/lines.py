"""JSON lines of a file that grows, read once each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Lines:
    """Where a file was read up to; a last line that is not whole yet waits for the next call."""

    def __init__(self) -> None:
        self._offset, self._rest = 0, b""

    def read(self, path: Path) -> tuple[list[dict[str, Any]], bool]:
        """Read what is new.

        Args:
            path: the file; the same one in every call.

        Returns:
            The new lines that are JSON objects, and whether they begin at the file's beginning (at the first call, and
            when the file became shorter).
        """
        try:
            if path.stat().st_size < self._offset:
                self._offset, self._rest = 0, b""
            begins = self._offset == 0
            with path.open("rb") as handle:
                handle.seek(self._offset)
                data = self._rest + handle.read()
                self._offset = handle.tell()
        except OSError:
            return [], False
        *lines, self._rest = data.split(b"\n")
        return [found for line in lines if isinstance(found := _parse(line), dict)], begins


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
