"""Load a model in the class it was saved as: no pickle, no code of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PEFT = "adapter_config.json"
MERGED = "the adapter merged into the weights (peft: `merge_and_unload()`) and the model saved"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def load_model(where: str | Path, *, trust_remote_code: bool = False, revision: str | None = None) -> PreTrainedModel:
    """Load a model in the class that its configuration names (a BertModel stays one).

    Args:
        where: folder or hub id.
        trust_remote_code: run code that comes with the model.
        revision: branch, tag or commit on the hub.

    Returns:
        The model in evaluation mode, in the dtype it was saved in.

    Raises:
        InputError: no model there, no weights, pickled weights, or a class that transformers does not have.
    """
    import torch
    import transformers

    folder = Path(where)
    if folder.is_dir():
        _look_at(folder)
    elif isinstance(where, Path) or folder.exists() or str(where).startswith((".", "/", "~")):
        raise InputError("there is no such folder", file=where, expected="a folder with config.json and weights")
    common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    try:
        config = transformers.AutoConfig.from_pretrained(str(where), **common)
        chosen = class_of(config)
        if chosen is not None:
            # Parts that the checkpoint lacks (BERT's pooler) are drawn: the same ones every time.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return chosen.from_pretrained(str(where), use_safetensors=True, revision=common["revision"]).eval()
        if getattr(config, "architectures", None) and not trust_remote_code:
            raise InputError(
                "transformers has no such model class, and code that comes with a model is not run",
                file=where,
                found=config.architectures[0],
                expected="a known architecture, or trust_remote_code=True if you have read its code",
            )
        return transformers.AutoModel.from_pretrained(str(where), use_safetensors=True, **common).eval()
    except InputError:
        raise
    except Exception as error:  # no network, no such repository, damaged files: transformers raises many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"no model could be loaded: {reason}", file=where) from error


def class_of(config: Any) -> Any:
    """Find the class that a configuration names; None where transformers has none of that name."""
    import transformers

    names = [name for name in getattr(config, "architectures", None) or [] if hasattr(transformers, name)]
    return getattr(transformers, names[0]) if names else None


def structure_of(kind: Any, config: Any) -> Any:
    """Make a model of a class on the meta device, where tensors have a shape and no memory.

    Args:
        kind: the model class.
        config: its configuration.

    Returns:
        The model; None where the class cannot be made so, such as one that reads numbers while it is made.
    """
    import torch

    try:
        with torch.device("meta"):
            return kind(config).eval()
    except (RuntimeError, NotImplementedError, TypeError):
        return None


def _look_at(folder: Path) -> None:
    """Refuse a folder that cannot be loaded, and say why, before transformers tries."""
    config = folder / "config.json"
    if not config.is_file() and (folder / PEFT).is_file():
        raise InputError("the folder holds a peft adapter without its model", file=folder, expected=MERGED)
    if not config.is_file():
        raise InputError("the folder holds no model", file=folder, expected="a config.json")
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"this is no JSON: {error}", file=config) from None
    names = sorted(file.name for file in folder.iterdir())
    if any(name.endswith((".safetensors", ".safetensors.index.json")) and "mixture" not in name for name in names):
        return
    pickled = [name for name in names if name.endswith(_PICKLED) and "training_args" not in name]
    if pickled:
        raise InputError(
            "the weights are pickled, and a pickle can run code: it is not opened",
            file=folder / pickled[0],
            expected="model.safetensors (save the model again with a current transformers)",
        )
    raise InputError(
        "the model folder has no weights",
        file=folder,
        found=", ".join(names[:8]) or "an empty folder",
        expected="model.safetensors",
    )
