"""The wheel, installed in a fresh environment beside PyPI's `adapt`: it works, or says which file is in its place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import lexigraft
from tests.conftest import ROOT


def pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build from a copy, so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "src" / name)
    done = pip(
        Path(sys.executable), "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(folder / "src")
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("lexigraft-*.whl"))


@pytest.fixture
def fresh(tmp_path) -> Path:
    """A new environment whose dependencies are those of this one (installing torch again would take minutes)."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def command(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python.with_name("lexigraft")), *arguments], capture_output=True, text=True, cwd=python.parent
    )


def test_the_wheel_works_and_a_foreign_adapt_is_told(wheel, fresh):
    assert pip(fresh, "install", "--no-deps", str(wheel)).returncode == 0
    shown = command(fresh, "--version")
    assert (shown.returncode, shown.stdout.strip()) == (0, f"lexigraft {lexigraft.__version__}"), shown.stderr
    listed = command(fresh, "methods")
    assert listed.returncode == 0 and "focus" in listed.stdout, listed.stderr

    foreign = pip(fresh, "install", "--no-deps", "adapt")
    if foreign.returncode != 0:
        pytest.skip(f"PyPI's adapt cannot be installed here: {foreign.stderr.strip().splitlines()[-1]}")
    told = command(fresh, "--version")
    assert told.returncode == 2
    assert "adapt/__init__.py" in told.stderr.replace("\\", "/") and "pip uninstall adapt" in told.stderr

    assert pip(fresh, "install", "--no-deps", "--force-reinstall", str(wheel)).returncode == 0
    again = command(fresh, "--version")
    assert again.returncode == 0, again.stderr


def test_the_wheel_ships_what_it_needs(wheel):
    import zipfile

    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in ("lexigraft.py", "vocab/py.typed", "adapt/cli.py", "app/main.py", "corpora/languages/hau.yaml"):
        assert needed in names
    assert any(name.startswith("corpora/sample/") and not name.endswith(".py") for name in names)
    assert not any(name.split("/")[0] in {"tests", "benchmarks", "build"} for name in names)
