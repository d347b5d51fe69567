"""What the tests of pretraining share: options as the configuration makes them, and a set-up on a tiny model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adapt.pretrain.data import tokenise
from adapt.pretrain.objectives.mlm import MlmOptions
from adapt.pretrain.step import Setup, set_up
from vocab.tokenizer.load import load_tokenizer


def options(**more: Any) -> SimpleNamespace:
    """Small steps in fp32, no checkpoints unless asked for."""
    mlm = {key: more.pop(key) for key in list(more) if key in MlmOptions.model_fields}
    base: dict[str, Any] = {
        "objective": None, "tuning": "full", "lr": 1e-3, "warmup": 0.1, "schedule": "cosine", "weight_decay": 0.01,
        "batch_tokens": 256, "micro_batch_tokens": None, "sequence_length": 32, "precision": "fp32", "dropout": 0.0,
        "checkpoint_seconds": 1e9, "objective_options": SimpleNamespace(mlm=MlmOptions(**mlm)), "tuning_options": None,
    }  # fmt: skip
    return SimpleNamespace(**{**base, **more})


def setup_on(model: Path, text: Path, folder: Path, given: Any, steps: int = 10, seed: int = 0) -> Setup:
    """A model ready for `train_step`."""
    tokenizer = load_tokenizer(model)
    return set_up(model, model, tokenise(text, tokenizer, folder / "tokens"), tokenizer, given, steps, seed)
