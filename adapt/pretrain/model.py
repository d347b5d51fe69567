"""The model in training: loading it with a head, running the decoder at predicted positions only, saving it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapt.tuning.adapters import load_adapters, save_tuned
from lexigraft import InputError
from vocab.head import head_parts

HEAD_GAIN = 0.25
HEAD_SEED = 20_240_229  # of a head that the source model lacks: the same for every arm, whatever the run's seed

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"),
    *("vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model"),
)


def objective_of(folder: Path) -> str:
    """Say which objective a saved model was made for: `clm` for decoders, `mlm` for everything else."""
    config = _config(folder)
    names = [str(name) for name in config.get("architectures") or []]
    decoder = any(name.endswith(("CausalLM", "LMHeadModel")) for name in names) or config.get("is_decoder", False)
    if not decoder and not any("MaskedLM" in n for n in names):
        from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

        decoder = config.get("model_type") not in MASKED
    return "clm" if decoder else "mlm"


def _config(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("not a model folder: config.json is missing", file=folder) from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}", file=folder / "config.json") from None
    if not isinstance(data, dict):
        raise InputError("not a model's configuration", file=folder / "config.json", found=type(data).__name__)
    return data


def load_with_head(folder: Path, auto_class: str) -> tuple[Any, bool]:
    """Load a model in fp32 with a language-modelling head.

    Adapters that lie beside the weights come with it. A head that the folder lacks is made, tied to the embeddings,
    always with the same seed: its transform begins as the identity (see `_fresh_head`), its bias at 0.

    Args:
        folder: a transformers model folder with safetensors weights.
        auto_class: `AutoModelForMaskedLM` or `AutoModelForCausalLM`.

    Returns:
        The model and whether its head is new.

    Raises:
        InputError: no weights, or not a model that has such a head.
    """
    import torch
    import transformers

    _config(folder)
    if not any(folder.glob("*.safetensors")):
        raise InputError("a model folder without weights", file=folder, expected="model.safetensors")
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(HEAD_SEED)
            model, info = getattr(transformers, auto_class).from_pretrained(
                str(folder), dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
            missing = [key for key in info["missing_keys"] if not _tied(model, key)]
            new = _fresh_head(model, set(missing))
            lost = [key for key in missing if key.startswith(f"{model.base_model_prefix}.")]
            if lost:
                raise InputError("weights of the body are missing", file=folder, found=lost[0])
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot load this model: {error}", file=folder) from None
    return load_adapters(model, folder), new


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from telling of weights that it makes anew and from drawing bars."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _tied(model: Any, key: str) -> bool:
    """Say True for a parameter that shares its memory with the input embeddings."""
    embeddings = model.get_input_embeddings().weight
    found = dict(model.named_parameters(remove_duplicate=False)).get(key)
    return found is None or found is embeddings


def _fresh_head(model: Any, missing: set[str]) -> bool:
    """Start a new head's transform as the identity, so that the states reach the embeddings as the body made them.

    A GELU would cut negative states off; a bias of 3 lifts them above it, and the layer norm that follows takes the
    lift out again. So the new head computes the layer norm of its input, up to the curvature of GELU; the norm's gain
    begins at a quarter, so that the first predictions are near the bias (the unigram frequencies) and not noise on it.

    Args:
        model: the model.
        missing: names of the parameters that the folder did not have.

    Returns:
        True when the head was new.
    """
    import torch

    lacking = {id(p) for name, p in model.named_parameters(remove_duplicate=False) if name in missing}
    new = False
    for module in [m for part in head_parts(model)[0] for m in part.modules()]:
        if isinstance(module, torch.nn.LayerNorm) and id(module.weight) in lacking:
            torch.nn.init.constant_(module.weight, HEAD_GAIN)
        if isinstance(module, torch.nn.Linear) and id(module.weight) in lacking:
            new = True
            if module.in_features != module.out_features:
                continue
            with torch.no_grad():
                torch.nn.init.eye_(module.weight)
                module.weight += 0.02 * torch.randn_like(module.weight) / module.in_features**0.5
                if module.bias is not None:
                    module.bias.fill_(3.0)
    return new


def set_dropout(model: Any, rate: float | None) -> None:
    """Set every dropout rate while training; the saved configuration keeps the source's. None leaves them alone."""
    from torch import nn

    if rate is None:
        return
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        for name in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, rate)


def recompute(model: Any, folder: Path) -> None:
    """Have each layer compute its inner states again in the backward pass (Chen et al. 2016, section 4).

    Raises:
        InputError: an architecture whose layers cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise InputError("this model's layers cannot compute their states again", file=folder,
                         found="pretrain.gradient_checkpointing = true", expected="false")  # fmt: skip
    # Newer versions of transformers know it by the first name.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def unigram_bias(model: Any, counts: Any) -> bool:
    """Set the decoder's bias to each token's log frequency (add one half), less its mean.

    The loss then begins at the unigram entropy of the text instead of ln V, and training need not learn frequencies.

    Returns:
        False when the decoder has no bias.
    """
    import numpy as np
    import torch

    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is None:
        return False
    log = np.log(counts.astype(np.float64) + 0.5)
    with torch.no_grad():
        bias.fill_(float(log.min() - log.mean()))
        bias[: len(log)] = torch.from_numpy(log - log.mean()).to(bias.dtype)
    return True


def save_plain(model: Any, tokenizer_folder: Path, folder: Path) -> None:
    """Write a folder that plain transformers load: configuration, weights, tokenizer; adapters in files beside them."""
    with quiet():
        save_tuned(model, folder)
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).is_file():
            shutil.copyfile(tokenizer_folder / name, folder / name)
