"""Find the source model: a folder, or a hub id that is brought into a folder once."""

from __future__ import annotations

import json
from pathlib import Path

from adapt.config import Source
from lexigraft import InputError

# Weights as safetensors only: pickled ones can run code when they are opened.
_WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "merges.txt", "*.jinja"]


def find(source: Source) -> Path:
    """Return the folder of the source model, bringing it from the hub when it is a hub id.

    Raises:
        InputError: no such folder, nothing on the hub under this name, or no weights in it.
    """
    folder = Path(source.model).expanduser()
    if not folder.is_dir():
        folder = _from_hub(source)
    _check(folder)
    return folder.absolute()


def _from_hub(source: Source) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source.model, revision=source.revision, allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"source.model: no folder of this name, and the hub did not give it ({type(error).__name__})",
            found=repr(source.model),
            expected="a folder with config.json and *.safetensors, or a hub id that can be reached",
        ) from error


def _check(folder: Path) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(
            "source.model: not a model folder", file=folder, found="no config.json", expected="a transformers model"
        )
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"not JSON: {error}", file=config) from None
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(p.name for p in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.ckpt")])
        raise InputError(
            "source.model: a model folder without weights",
            file=folder,
            found=f"pickled weights {', '.join(pickled)}, which are not opened" if pickled else "no *.safetensors",
            expected="weights as safetensors",
        )
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy"):
                pass
        except SafetensorError as error:
            raise InputError(f"damaged weights: {error}", file=file, expected="a whole safetensors file") from None


def weight_files(folder: Path) -> tuple[Path, ...]:
    """List the files that decide what the source model is, in a fixed order."""
    kinds = ("*.safetensors", "config.json", "tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json")
    return tuple(sorted({path for kind in kinds for path in folder.glob(kind) if path.is_file()}))


def tokenizer_folder(config: Source, folder: Path) -> Path:
    """Where the source's tokenizer lies: beside the model unless the configuration says otherwise."""
    return Path(config.tokenizer).expanduser().absolute() if config.tokenizer else folder


def source_files(config: Source, folder: Path) -> tuple[Path, ...]:
    """List the files that decide what the source model and its tokenizer are, wherever that lies."""
    return tuple(dict.fromkeys((*weight_files(folder), *weight_files(tokenizer_folder(config, folder)))))
