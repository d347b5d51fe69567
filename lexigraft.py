"""Ground floor of Lexigraft: the version, the one error for bad input, and the door to the command line.

Every other package may import this module; it imports none of them until `main` is called.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

__version__ = "0.1.0"

PACKAGES = ("vocab", "adapt", "corpora", "app")
_MARK = "A package of Lexigraft."


class InputError(ValueError):
    """Something the user gave is wrong: says where, what was found, what was expected and what to do.

    Args:
        message: what is wrong, in one sentence.
        file: the file it is in.
        line: the line number, counted from 1.
        found: what was found there.
        expected: what was expected instead.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        found: object = None,
        expected: object = None,
    ) -> None:
        self.file, self.line, self.found, self.expected = file, line, found, expected
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        parts = [f"{where}{message}"]
        if found is not None:
            parts.append(f"found {found}")
        if expected is not None:
            parts.append(f"expected {expected}")
        super().__init__("; ".join(parts))


def foreign_packages() -> list[str]:
    """Say which of our import packages would be taken from somebody else's distribution.

    PyPI has other projects that install a package called `adapt` or `vocab`. The files are looked at, never run.

    Returns:
        One sentence for each foreign package, with the file it lies in; empty when all is well.
    """
    problems = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec else None
        if not origin:
            problems.append(f"the package `{name}` of Lexigraft is missing")
        elif _MARK not in Path(origin).read_text(encoding="utf-8", errors="replace")[:2000]:
            problems.append(f"`import {name}` takes {origin}, which is not Lexigraft's")
    return problems


def refuse_foreign_packages() -> None:
    """Raise when another project's package stands in place of ours.

    Raises:
        ImportError: names the foreign file and what to do.
    """
    problems = foreign_packages()
    if problems:
        raise ImportError(
            "; ".join(problems) + ". Another installed project uses the same package name: uninstall it "
            "(`pip uninstall adapt vocab`) and reinstall lexigraft, or give lexigraft a virtual environment of its own."
        )


def main() -> None:
    """Run the `lexigraft` command."""
    try:
        refuse_foreign_packages()
    except ImportError as error:
        sys.stderr.write(f"lexigraft: {error}\n")
        raise SystemExit(2) from None
    from adapt.cli import run_app

    run_app()
