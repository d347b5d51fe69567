"""Bits of words under a language model: what two models with different vocabularies are compared by.

How a model is asked for a word: `vocab.windows`. The number of masks tells a masked model how many pieces there are, so
its are *pseudo*-bits: never in one column with a decoder's, which come from the chain rule. A word's context is its
line, cut to `context_tokens` around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.windows import Row, Windows, Word, windows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[float, float, dict[str, Any]], None]
LOGITS = 1 << 22  # logits in memory at a time


@dataclass(frozen=True)
class WordBits:
    """Bits of words.

    Attributes:
        bits: (n,) float64; nan for a word that could not be scored.
        pieces: (n,) int64, pieces that the tokenizer cuts the word into.
        status: for each word `ok`; `unk` (a piece is the unknown token) or `altered` (the normaliser changes it, or a
            piece reaches over its border), both scored all the same; `too_long` (more pieces than the context), nan.
        kind: `pseudo-bits` (masked model) or `bits` (decoder).
    """

    bits: NDArray[np.float64]
    pieces: NDArray[np.int64]
    status: list[str]
    kind: str


def bits_per_character(bits: Any, words: Sequence[Word], use: Any = None) -> float:
    """Sum of bits over the number of raw characters (the white space before a word is not counted).

    Args:
        bits: (n,) bits of the words.
        words: the words.
        use: (n,) bool, the words that count; all when None.
    """
    keep = np.ones(len(words), dtype=bool) if use is None else np.asarray(use, dtype=bool)
    characters = np.array([len(word.text) for word in words])
    return float(np.asarray(bits)[keep].sum() / max(1, characters[keep].sum()))


def side_by_side(systems: Iterable[tuple[str, Any, Windows]], words: Sequence[Word]) -> dict[str, Any]:
    """Score the same words in the same text under several models, the last of which the others are held against.

    Words that any of the tokenizers cannot write, alters, or cuts into too many pieces are left out for all.

    Args:
        systems: (name, model, the words as its tokenizer cuts them), one at a time, so that they need not all be in
            memory.
        words: the words.

    Returns:
        `kind` (bits or pseudo-bits); `drawn`, `words` scored and share `excluded`; and `models`: by name the `value` in
        bits per character with `low` and `high`, a 95 % interval (bootstrap over words), and `against`: the difference
        to the last model with its interval (paired).

    Raises:
        InputError: a model that cannot be scored, models of different kinds, or no word that all can write.
    """
    found: dict[str, WordBits] = {}
    for name, model, windows in systems:
        found[name] = bits_of(model, windows)
        del model  # before the next one is made
    kinds = sorted({score.kind for score in found.values()})
    if len(kinds) != 1:
        raise InputError("bits and pseudo-bits are never compared", found=" and ".join(kinds))
    use = np.all([[status == "ok" for status in score.status] for score in found.values()], axis=0)
    if not use.any():
        raise InputError("there is no word that all models can write", found=f"{len(words)} words")
    characters = np.array([len(word.text) for word in words], dtype=np.float64)[use]
    bits = np.stack([score.bits[use] for score in found.values()], axis=1)
    times = np.random.default_rng(0).multinomial(len(bits), np.full(len(bits), 1 / len(bits)), 1000)
    drawn = (times @ bits) / (times @ characters)[:, None]
    values = bits.sum(axis=0) / characters.sum()
    models: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(found):
        low, high = np.percentile(drawn[:, place], [2.5, 97.5])
        models[name] = {"value": float(values[place]), "low": float(low), "high": float(high)}
        if place < len(found) - 1:
            gap = np.percentile(drawn[:, place] - drawn[:, -1], [2.5, 97.5])
            models[name]["against"] = [float(values[place] - values[-1]), *map(float, gap)]
    return {
        "kind": kinds[0], "drawn": len(words), "words": int(use.sum()), "excluded": float(1 - use.mean()),
        "models": models,
    }  # fmt: skip


def word_bits(
    model: Any,
    tokenizer: Any,
    lines: Sequence[str],
    words: Sequence[Word],
    *,
    context_tokens: int = 128,
    batch_tokens: int = 2048,
    progress: Progress | None = None,
) -> WordBits:
    """Score words under a language model: `windows_of`, then `bits_of`."""
    windows = windows_of(model, tokenizer, lines, words, context_tokens=context_tokens)
    return bits_of(model, windows, batch_tokens=batch_tokens, progress=progress)


def bits_of(model: Any, windows: Windows, *, batch_tokens: int = 2048, progress: Progress | None = None) -> WordBits:
    """Score words under a language model.

    Args:
        model: a transformers model with a language-modelling head, masked or causal; put in eval mode and back.
        windows: the words, as `windows_of` cuts them.
        batch_tokens: tokens that go through the model at once.
        progress: told windows done and all windows.

    Returns:
        Bits, pieces and status of each word.
    """
    import torch

    from vocab.head import Predictor

    rows = windows.rows
    bits = np.zeros(len(windows.status))
    training = model.training
    model.eval()
    predictor = Predictor.of(model)
    chunk = max(1, LOGITS // model.get_output_embeddings().weight.shape[0])
    if predictor.full:
        batch_tokens = min(batch_tokens, max(windows.room, chunk))
    device = model.get_input_embeddings().weight.device
    done = 0
    try:
        for group in _groups(rows, batch_tokens):
            longest = max(len(row.ids) for row in group)
            ids = np.full((len(group), longest), windows.pad, dtype=np.int64)
            attention = np.zeros(ids.shape, dtype=np.int64)
            for r, row in enumerate(group):
                ids[r, : len(row.ids)], attention[r, : len(row.ids)] = row.ids, 1
            flat = np.concatenate([r * longest + row.positions for r, row in enumerate(group)])
            labels = np.concatenate([row.labels for row in group])
            owner = np.concatenate([np.full(len(row.labels), row.word) for row in group])
            with torch.no_grad():
                mask = None if attention.all() else torch.from_numpy(attention).to(device)
                gathered = predictor.gathered(torch.from_numpy(ids).to(device), mask, torch.from_numpy(flat).to(device))
                for first in range(0, len(labels), chunk):
                    part = slice(first, first + chunk)
                    nats = torch.nn.functional.cross_entropy(
                        predictor.logits(gathered[part]).float(),
                        torch.from_numpy(labels[part]).to(device),
                        reduction="none",
                    )
                    np.add.at(bits, owner[part], nats.cpu().numpy() / np.log(2))
            done += len(group)
            if progress:
                progress(done, len(rows), {})
    finally:
        model.train(training)
    bits[[s == "too_long" for s in windows.status]] = np.nan
    return WordBits(bits, windows.pieces, windows.status, "bits" if windows.causal else "pseudo-bits")


def _groups(rows: Sequence[Row], batch_tokens: int) -> Iterable[list[Row]]:
    """Rows of like length together, at most `batch_tokens` a group, padding included; longest first."""
    group: list[Row] = []
    for row in sorted(rows, key=lambda row: (-len(row.ids), row.word)):
        if group and (len(group) + 1) * len(group[0].ids) > batch_tokens:
            yield group
            group = []
        group.append(row)
    if group:
        yield group
