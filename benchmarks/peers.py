"""Environments of their own for the packages that ours is compared with."""

from __future__ import annotations

import os
import site
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = Path.home() / ".cache" / "lexigraft"
# Name -> packages for pip, a module that shows that they work, and what files say they were made with.
PEERS = {
    "deepfocus": (
        ("deepfocus==1.0.1", "entmax", "fastdist", "print-on-steroids", "numba", "llvmlite"),
        "deepfocus",
        "deepfocus 1.0.1",
    ),
    "wechsel": (
        ("wechsel==0.0.4", "gensim==4.4.0", "nltk", "smart-open", "wrapt", "regex"),
        "wechsel",
        "wechsel 0.0.4",
    ),
    "tokenization-scorer": (("tokenization-scorer==1.1.8",), "tokenization_scorer", "tokenization-scorer 1.1.8"),
    "omp": (("mergekit==0.1.5",), "torch", "mergekit 0.1.5"),
}


def python_of(name: str) -> Path | None:
    """Give the Python of a known peer's environment; None where pip cannot install it, which is printed."""
    packages, module, _ = PEERS[name]
    return peer_python(name, packages, module)


def peer_python(name: str, packages: Sequence[str], module: str, cache: Path = CACHE) -> Path | None:
    """Make a virtual environment that holds a peer, once, and sees this environment's packages behind its own.

    Args:
        name: of the environment.
        packages: what pip installs there, without dependencies: torch, transformers and the like are this
            environment's, so that both sides run on the same libraries.
        module: what must be importable afterwards.
        cache: folder that environments are made in.

    Returns:
        Its Python; None where pip cannot install the peer, which is printed.
    """
    folder = cache / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready, wanted = folder / "ready", "\n".join(packages)
    if ready.is_file() and ready.read_text() == wanted:
        return python
    print(f"making an environment for {name} in {folder} ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    inside = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (Path(inside) / "zz_host.pth").write_text("\n".join(site.getsitepackages()))
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", *packages], capture_output=True, text=True
    )
    works = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True)
    if done.returncode or works.returncode:
        print(f"{name} cannot be installed here: {(done.stderr + works.stderr).strip().splitlines()[-1]}")
        return None
    ready.write_text(wanted)
    return python
