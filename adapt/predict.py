"""Label new text with the heads a run has trained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapt import config as configuration
from adapt.config import HANDED_OUT
from adapt.evaluate.task import TASKS
from adapt.stages.source import find, tokenizer_folder
from lexigraft import InputError

# Words as the tagged data sets have them: runs of letters, digits, apostrophes and hyphens; every other mark alone.
_WORDS = re.compile(r"\w+(?:['’ʼ-]\w+)*['’ʼ]?|[^\w\s]")


def words_of(line: str) -> list[str]:
    """Split a line into words and punctuation marks."""
    return _WORDS.findall(line)


def predict(folder: Path, task: str, file: Path, arm: str | None = None) -> Iterator[dict[str, Any]]:
    """Label a text file with an arm's trained heads.

    Args:
        folder: a run folder.
        task: the task's name.
        file: text, one sentence a line.
        arm: whose heads; None takes those of the model that the run hands out, or the source's.

    Yields:
        One mapping a line: `{"tokens": [...], "labels": [...]}` for tagging, `{"text": ..., "label": ...}` otherwise.

    Raises:
        InputError: not a run folder, no heads for this task, or a file that cannot be read.
    """
    from corpora.text import read_lines

    spec = TASKS[task]
    if spec.predict is None:
        raise InputError(f"the task {task} labels nothing", expected="pos, ner, sentiment …")
    if not (folder / "run.yaml").is_file():
        raise InputError("not a run folder", file=folder, found="no run.yaml")
    trained = [path.parent.name for path in folder.glob(f"evaluate/*/{task}") if path.parent.name != "floors"]
    chosen = arm or next((name for name in (*HANDED_OUT, "source") if name in trained), None)
    if chosen not in trained:
        raise InputError(
            f"no heads of the arm {chosen} for {task}",
            file=folder / "evaluate",
            found=f"heads of: {', '.join(trained) or 'none'}",
        )
    config = configuration.load(folder / "run.yaml")
    if chosen == "source":
        model = find(config.source)
        words = tokenizer_folder(config.source, model)
    else:
        model = words = folder / "pretrain" / str(chosen) / "model"
    lines = list(read_lines(file))
    yield from spec.predict(folder / "evaluate" / str(chosen) / task, model, words, lines, words_of)
