"""`lexigraft init`: look at somebody's files, say what is in them, and write a short YAML that runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapt import config as configuration
from adapt.config import Source
from adapt.evaluate.task import TASKS
from adapt.files import write_atomic
from adapt.stages.source import find
from lexigraft import InputError


@dataclass(frozen=True)
class Found:
    """What `init` wrote and saw.

    Attributes:
        path: the YAML file.
        lines: what was found, one sentence a line.
    """

    path: Path
    lines: list[str]


def split_files(given: str, task: str) -> dict[str, Path]:
    """Find train, dev and test files: a folder that holds `train.*`, `dev.*`, `test.*`, or two or three file names.

    Raises:
        InputError: a file is missing, or train and test cannot be told apart.
    """
    path = Path(given)
    if path.is_dir():
        hits = {part: sorted(path.glob(f"{part}.*")) for part in ("train", "dev", "test")}
        found = {part: files[0] for part, files in hits.items() if files}
    else:
        names = [Path(name) for name in given.split(",")]
        if len(names) not in (2, 3):
            raise InputError(
                f"--{task}: cannot tell training from test examples",
                found=repr(given),
                expected="a folder with train.*, dev.*, test.*, or `train,test` or `train,dev,test` as file names",
            )
        found = dict(zip(("train", "dev", "test") if len(names) == 3 else ("train", "test"), names, strict=True))
    for part in ("train", "test"):
        if part not in found:
            raise InputError(f"--{task}: no {part} file", file=path, expected=f"a file named {part}.txt or the like")
    for part, file in found.items():
        if not file.is_file():
            raise InputError(f"--{task}: no such {part} file", file=file)
    return found


def initialise(
    language: str,
    model: str,
    text: list[Path],
    tasks: dict[str, str],
    *,
    heldout: Path | None = None,
    dictionary: Path | None = None,
    overrides: dict[str, Any] | None = None,
    output: Path | None = None,
    force: bool = False,
) -> Found:
    """Check every file, write the YAML, and tell what was found.

    Args:
        language: ISO 639-3 code, or a name.
        model: folder or hub id of the source model.
        text: text files.
        tasks: task name to a folder or file names, see `split_files`.
        heldout: held-out text.
        dictionary: bilingual dictionary.
        overrides: dotted keys written into the YAML.
        output: the YAML file; None means `<language>.yaml` here.
        force: write over a file that is there.

    Raises:
        InputError: a file is missing, empty, not UTF-8, or not in the form its task needs; the YAML is there already.
    """
    from corpora.card import load_card
    from corpora.text import read_lines

    path = output or Path(f"{language}.yaml")
    if path.exists() and not force:
        raise InputError(
            "this file is there already", file=path, expected="another --output, or --force to write over it"
        )
    lines = []
    try:
        card = load_card(language)
        name = f"  # {card.name}"
    except InputError:
        card, name = None, ""
    for file in [*text, *([heldout] if heldout else [])]:
        count = characters = 0
        for line in read_lines(file):
            count, characters = count + 1, characters + len(line)
        lines.append(f"{file}: {count:,} lines, {characters:,} characters")
    splits = {task: split_files(given, task) for task, given in tasks.items()}
    for task, files in splits.items():
        if inspect := TASKS[task].inspect:
            lines.extend(f"{task} {line}" for line in inspect(files))
    folder = find(Source(model=model))
    lines.append(_describe(folder))

    base = path.parent.absolute()

    def shown(file: Path) -> str:
        absolute = file.absolute()
        return str(absolute.relative_to(base)) if absolute.is_relative_to(base) else str(absolute)

    local = Path(model).expanduser().is_dir()
    body = [
        f"# lexigraft run {path.name} [key=value ...]; every setting: lexigraft run {path.name} --show",
        f"language: {language}{name}",
        f"source: {{model: {os.fspath(Path(model).expanduser().absolute()) if local else model}}}  # folder or hub id",
        f"corpus: {{text: [{', '.join(shown(file) for file in text)}]"
        + (f", heldout: {shown(heldout)}}}" if heldout else "}  # 5 % is held out, in blocks of lines"),
        "arms: [source, keep, adapted]  # as it is; trained as long, vocabulary kept; vocabulary replaced and trained",
        "tokenizer: {algorithm: unigram, vocab_size: 16000}",
        "transplant: {method: null"
        + (f", dictionary: {shown(dictionary)}" if dictionary else "")
        + "}  # null: our default chain; auto: tried in a short training; see lexigraft methods",
        "pretrain: {minutes: 10}  # for each trained arm; or steps: 2000",
        "evaluate:",
        "  mode: probe  # or finetune: the whole model, takes long without a GPU",
    ]
    if splits:
        body.append("  tasks:")
        for task, files in splits.items():
            body.append(f"    {task}: {{{', '.join(f'{part}: {shown(file)}' for part, file in files.items())}}}")
    write_atomic(path, "\n".join(body) + "\n")
    try:
        settings = configuration.load(path, overrides)
        if overrides:
            write_atomic(path, configuration.dump(settings))
    except InputError:
        path.unlink()
        raise
    return Found(path, lines)


def _describe(folder: Path) -> str:
    import json

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2**20
    kind = (config.get("architectures") or [config.get("model_type", "model")])[0]
    return f"{folder}: {kind}, vocabulary {config.get('vocab_size', 0):,}, {size:,.0f} MB"
