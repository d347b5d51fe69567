"""What a launcher declares (where runs are carried out), and the registry that finds the launchers of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vocab.options import Options
from vocab.registry import Registry


@dataclass(frozen=True)
class Launcher:
    """One place where a batch of runs can be carried out.

    Attributes:
        name: what users type after `--on`.
        summary: one line.
        options: its options model.
        launch: `(configuration files, key=value overrides) -> exit code of each`.
    """

    name: str
    summary: str
    options: type[Options]
    launch: Callable[[list[Path], list[str]], dict[Path, int]]


LAUNCHERS: Registry[Launcher] = Registry("adapt.launch", "launcher")
