"""Label new text with the heads a run has trained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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


def folders_of(folder: Path, arm: str) -> tuple[Path, Path]:
    """Find the model folder and the tokenizer folder of an arm.

    Args:
        folder: a run folder.
        arm: one of its arms; `source` is the model as it is, wherever that lies.
    """
    if arm != "source":
        return (folder / "pretrain" / arm / "model",) * 2
    source = configuration.load(folder / "run.yaml").source
    model = find(source)
    return model, tokenizer_folder(source, model)


def predict(folder: Path, task: str, text: Path | Sequence[str], arm: str | None = None) -> Iterator[dict[str, Any]]:
    """Label text with an arm's trained heads.

    Args:
        folder: a run folder.
        task: the task's name.
        text: a file of one sentence a line, or the sentences.
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
    lines = list(read_lines(text)) if isinstance(text, Path) else text
    yield from spec.predict(folder / "evaluate" / str(chosen) / task, *folders_of(folder, str(chosen)), lines, words_of)
