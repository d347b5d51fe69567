"""What the tests of pretraining share: options as the configuration makes them, and a set-up on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapt.pretrain import checkpoint
from adapt.pretrain.engine import pretrain
from adapt.pretrain.objectives.mlm import MlmOptions
from adapt.pretrain.options import Pretrain
from adapt.pretrain.step import Setup, set_up
from adapt.pretrain.tokens import tokenise
from vocab.tokenizer.load import load_tokenizer


def options(**more: Any) -> Pretrain:
    """Small steps in fp32, no checkpoints unless asked for; options of masked language modelling by their names."""
    mlm = {key: more.pop(key) for key in list(more) if key in MlmOptions.model_fields}
    base: dict[str, Any] = {
        "lr": 1e-3, "batch_tokens": 256, "sequence_length": 32, "precision": "fp32", "checkpoint_seconds": 1e9,
        "objective_options": {"mlm": mlm},
    }  # fmt: skip
    return Pretrain.model_validate({**base, **more})


def setup_on(model: Path, text: Path, folder: Path, given: Pretrain, steps: int = 10, seed: int = 0) -> Setup:
    """A model ready for `train_step`."""
    tokenizer = load_tokenizer(model)
    return set_up(model, model, tokenise(text, tokenizer, folder / "tokens"), tokenizer, given, steps, seed)


def ends_in_the_same_bytes(
    arguments: tuple[Any, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, *, stop: int = 1
) -> dict[str, bytes]:
    """Train once whole and once stopped behind a checkpoint and resumed: the same files, byte by byte.

    Args:
        arguments: of `pretrain`, up to the folder that it writes to; a checkpoint is due at every step.
        folder: gets both trainings.
        monkeypatch: stops the second.
        stop: the step of the checkpoint.

    Returns:
        The files of weights, by name.
    """

    def save_and_stop(root: Path, last: Any) -> None:
        save(root, last)
        if last.state["step"] == stop:
            raise KeyboardInterrupt

    save = checkpoint.save
    whole, cut = folder / "whole", folder / "cut"
    pretrain(*arguments, whole)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "save", save_and_stop)
        pretrain(*arguments, cut)
    assert pretrain(*arguments, cut)["resumed_from"] == [stop]
    files, again = (
        {file.name: file.read_bytes() for file in (each / "model").glob("*.safetensors")} for each in (whole, cut)
    )
    assert files and files == again
    return files


def short_lines(folder: Path, language: Path, count: int = 600) -> Path:
    """Lines of one to four words, so that a row holds several."""
    lines = (language / "text.txt").read_text(encoding="utf-8").splitlines()
    short = [" ".join(line.split()[: 1 + number % 4]) for number, line in enumerate(lines[:count])]
    (folder / "short.txt").write_text("\n".join(short) + "\n", encoding="utf-8")
    return folder / "short.txt"
