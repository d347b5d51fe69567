"""The files that a training may read beside its own text and the held-out one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Beside:
    """Texts that only some settings need; None where there is none.

    Attributes:
        source: text of a language that the source model knows, to be replayed.
        source_heldout: held-out text of that language, on which forgetting is measured.
    """

    source: Path | None = None
    source_heldout: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Those that are there, in the order of the fields."""
        found = [getattr(self, each.name) for each in fields(self)]
        return [path for path in found if path is not None]
