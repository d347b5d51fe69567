"""The README tells the truth: its commands exist, its links lead somewhere, its table of methods is the registry's."""

from __future__ import annotations

import re

from typer.main import get_command

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_exists():
    from adapt.cli import app

    known = set(get_command(app).commands)
    named = set(re.findall(r"^ *(?:\.venv/bin/)?lexigraft ([a-z]+)", README, re.M)) | set(
        re.findall(r"`lexigraft ([a-z]+)", README)
    )
    assert len(named) >= 8
    assert named <= known, named - known


def test_every_subcommand_exists():
    from adapt.cli import app

    commands = get_command(app).commands
    for group, listed in re.findall(r"`lexigraft (tokenizer|transplant) ([a-z |]+)`", README):
        assert {name.strip() for name in listed.split("|")} == set(commands[group].commands)


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^ +)make ([a-z-]+)", README, re.M))
    assert named and named <= targets


def test_the_table_of_methods_is_the_registry():
    from vocab.transplant.method import METHODS

    listed = re.findall(r"^\| `([a-z-]+)` \|", README, re.M)
    assert listed == METHODS.names


def test_the_python_example_uses_names_that_exist():
    import adapt
    import vocab

    block = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    for package, name in re.findall(r"\b(vocab|adapt)\.([a-z_]+)\(", block):
        assert callable(getattr({"vocab": vocab, "adapt": adapt}[package], name))


def test_every_method_has_its_place_on_the_page_of_methods():
    from vocab.transplant.method import METHODS

    page = (ROOT / "docs" / "transplant.md").read_text(encoding="utf-8")
    for method in METHODS:
        assert f"\n## {method.name}\n" in page and method.formula in page and method.when in page
