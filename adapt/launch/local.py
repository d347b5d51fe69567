"""Run on this machine: one run after the other, each in a process of its own; one that fails does not stop the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from adapt.launch.launcher import Launcher
from vocab.options import Options


class LocalOptions(Options):
    """Nothing to choose."""


def launch(files: list[Path], overrides: list[str]) -> dict[Path, int]:
    """Carry out the runs in order.

    Returns:
        The exit code of each file's run.
    """
    command = [sys.executable, "-m", "adapt.cli", "run"]
    return {file: subprocess.run([*command, str(file), *overrides], check=False).returncode for file in files}


SPEC = Launcher("local", "this machine, one run after the other", LocalOptions, launch)
