"""Sentence-embedding models: their vectors, and how well they find translations before and after a transplant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.device import placed

if TYPE_CHECKING:
    from vocab.mixture import Mixture
    from vocab.transplant.setting import Setting

PAIRS = 200
_LENGTH = 128
_BATCH = 32
_MODES = {"pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean"}


def pooling_of(folder: Path | None) -> str:
    """Read how states become one vector: cls, max or mean; mean where the folder does not say.

    Raises:
        InputError: the model joins several ways, or pools in another way.
    """
    file = None if folder is None else folder / "1_Pooling" / "config.json"
    if file is None or not file.is_file():
        return "mean"
    facts = json.loads(file.read_text(encoding="utf-8"))
    found = [mode for key, mode in _MODES.items() if facts.get(key)]
    found += [facts["pooling_mode"]] if facts.get("pooling_mode") in _MODES.values() else []
    if len(found) != 1:
        raise InputError("this pooling is not known", file=file, found=str(facts), expected="cls, max or mean")
    return str(found[0])


def embed(model: Any, tokenizer: Any, lines: Sequence[str], pooling: str = "mean") -> np.ndarray:
    """Make a vector of length 1 for each line.

    Args:
        model: a transformers encoder.
        tokenizer: its fast tokenizer.
        lines: the sentences; each is cut to 128 tokens.
        pooling: cls, max or mean of the last hidden states.

    Returns:
        float32 (lines, dim).
    """
    import torch

    body = model.base_model
    device = model.get_input_embeddings().weight.device
    # The longest a model takes: its tokenizer may not say, and position tables end somewhere.
    limit = min(_LENGTH, (getattr(model.config, "max_position_embeddings", None) or _LENGTH + 2) - 2)
    order = np.argsort([len(line) for line in lines], kind="stable")
    result = np.zeros((len(lines), 0), np.float32)
    for start in range(0, len(lines), _BATCH):
        chosen = order[start : start + _BATCH]
        batch = tokenizer(
            [lines[i] for i in chosen], truncation=True, max_length=limit, padding=tokenizer.pad_token is not None,
            return_tensors="pt", return_token_type_ids=False,
        ).to(device)  # fmt: skip
        with torch.no_grad():
            states = body(**batch)[0].float()
        mask = batch["attention_mask"][..., None].bool()
        if pooling == "cls":
            pooled = states[:, 0]
        elif pooling == "max":
            pooled = states.masked_fill(~mask, -torch.inf).amax(1)
        else:
            pooled = (states * mask).sum(1) / mask.sum(1)
        unit = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        if not result.shape[1]:
            result = np.zeros((len(lines), unit.shape[1]), np.float32)
        result[chosen] = unit
    return result


def hits(asked: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Say of each row whether its counterpart is the nearest by cosine: 1 or 0, of n that tie 1/n; float64 (pairs,).

    Args:
        asked: unit rows (pairs, dim).
        among: unit rows (pairs, dim), row by row their translations.
    """
    near = asked @ among.T
    own = np.diagonal(near)[:, None]
    return np.where((near > own).any(axis=1), 0.0, 1 / (near == own).sum(axis=1))


def accuracy(source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Share of rows whose counterpart is the nearest, from source to target and back; see `hits`."""
    return float(hits(source, target).mean()), float(hits(target, source).mean())


def retrieval(setting: Setting, mixture: Mixture) -> dict[str, Any] | None:
    """Look for translations with the source model and with the graft.

    The parallel text's first side is always embedded by the source model: it is the space the graft should stay in.

    Args:
        setting: what the transplant starts from, with parallel text: a pair of texts in the source's language and in
            the new one, line by line translations.
        mixture: how the rows are made.

    Returns:
        By model accuracy@1 both ways, or only a `note` where the model pools in a way that is not known; None without
        parallel text, or for a model that is not a plain encoder.

    Raises:
        InputError: the two sides differ in length.
    """
    from vocab.transplant.apply import put_on

    model, parallel = setting.carrier.model, setting.extra.get("parallel")
    if parallel is None or model.get_output_embeddings() is not None or model.config.is_encoder_decoder:
        return None
    first, second = _sample(parallel, setting.seed)
    try:
        pooling = pooling_of(setting.carrier.folder)
    except InputError as error:
        return {"note": f"Retrieval was not measured: {error}"}
    before = placed(setting.carrier.fresh(shared=True))
    here = embed(before, setting.old_tokenizer, first, pooling)
    models = {"source": embed(before, setting.old_tokenizer, second, pooling)}
    put_on(before, mixture, setting.old, setting.new)
    models["graft"] = embed(before, setting.tokenizer, second, pooling)
    found = {}
    for name, there in models.items():
        forth, back = accuracy(here, there)
        found[name] = {"source_to_target": forth, "target_to_source": back}
    how = f"{pooling} pooling; the source's language is embedded by the source model for both."
    return {"pairs": len(first), "pooling": pooling, "how": how, "models": found}


def _sample(parallel: Any, seed: int) -> tuple[list[str], list[str]]:
    """Draw pairs; a sentence that stands twice has two right answers and would count as wrong, so each comes once."""
    from vocab.transplant.translate import read_parallel

    once = {b: (a, b) for a, b in reversed(read_parallel(parallel))}
    pairs = sorted({a: (a, b) for a, b in once.values()}.values())
    if len(pairs) < 2:
        raise InputError("the parallel text holds too few pairs", found=f"{len(pairs)} different ones")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:PAIRS])
    return [pairs[i][0] for i in chosen], [pairs[i][1] for i in chosen]
