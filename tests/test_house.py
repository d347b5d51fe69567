"""The house: imports go one way, what is offered has its parts, and nothing of a machine is in the files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ALLOWED = {
    "vocab": {"vocab"},
    "corpora": {"corpora"},
    "adapt": {"adapt", "vocab", "corpora"},
    "app": {"app", "adapt", "vocab", "corpora"},
}


def _imports(path: Path) -> set[tuple[str, int]]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name.split(".")[0], node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add((node.module.split(".")[0], node.lineno))
    return found


def wrong_directions(root: Path) -> list[str]:
    """Imports of a room that stands above."""
    return [
        f"{path.relative_to(root)}:{line} imports {name}"
        for package, allowed in ALLOWED.items()
        for path in sorted((root / package).rglob("*.py"))
        for name, line in sorted(_imports(path))
        if name in ALLOWED and name not in allowed
    ]


def test_imports_go_one_way():
    assert wrong_directions(ROOT) == []


def test_a_wrong_direction_is_seen(tmp_path):
    (tmp_path / "vocab").mkdir()
    (tmp_path / "vocab" / "bad.py").write_text("def f():\n    from adapt.config import load\n")
    assert wrong_directions(tmp_path) == ["vocab/bad.py:2 imports adapt"]


def test_vocab_is_light():
    """`import vocab` brings in none of the heavy packages."""
    code = (
        "import sys, vocab; "
        "heavy = {'torch','transformers','fasttext','adapt','streamlit','datasets','peft'} & set(sys.modules); "
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def _registries():
    from adapt.evaluate.task import TASKS
    from adapt.launch.launcher import LAUNCHERS
    from adapt.pretrain.objectives.objective import OBJECTIVES
    from adapt.pretrain.watchers.watcher import WATCHERS
    from adapt.selection.criterion import CRITERIA
    from adapt.tuning.tuning import TUNINGS
    from vocab.compare.metric import METRICS
    from vocab.transplant.method import METHODS

    return [CRITERIA, TASKS, LAUNCHERS, OBJECTIVES, TUNINGS, WATCHERS, METRICS, METHODS]


def test_every_registered_thing_has_its_parts():
    for registry in _registries():
        assert len(registry) >= 1
        for spec in registry:
            assert spec.summary and spec.summary == spec.summary.strip(), spec.name
            options = getattr(spec, "options", None)
            if options is not None:
                for name, field in options.model_fields.items():
                    assert field.description, f"{registry.kind} {spec.name}: option {name} has no description"


def test_unknown_names_suggest_the_nearest():
    from lexigraft import InputError
    from vocab.transplant.method import METHODS

    with pytest.raises(InputError, match="did you mean 'focus'"):
        METHODS["focsu"]


def test_every_setting_says_what_it_does():
    from adapt.config import RunConfig
    from vocab.options import Options

    def walk(model: type[Options], path: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Options):
                missing += walk(kind, f"{path}{name}.")
            elif not field.description:
                missing.append(path + name)
        return missing

    assert walk(RunConfig, "") == []


def test_no_path_of_a_machine():
    """Files speak of the project alone."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    roots = ["/" + name + "/" for name in ("work", "root", "home")]
    bad = []
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ""} and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            bad += [f"{name}: {root}" for root in roots if root in text]
    assert bad == []
