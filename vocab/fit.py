"""One small training loop: the same tiny decoder on equal bytes with each tokenizer, scored in bits per byte.

A tokenizer's counts say how long text becomes; what a model makes of it only a model says. Every tokenizer gets the
same text in the same order, the same body (transformer decoder), the same number of updates, and the same bytes in
each; so a tokenizer that needs more tokens costs more time, not more text. The model has rows for the ids that the
texts use, and no others, so its size differs by tokenizer: that is what a larger vocabulary buys, and it is told.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.device import DeviceName, by_device, placed
from vocab.tokenizer.texts import Lines
from vocab.view import Vocabulary

if TYPE_CHECKING:
    import torch

Progress = Callable[[float, float, dict[str, Any]], None]
Batch = tuple[np.ndarray, int]
_WINDOW = 2048
_TIMED = 3  # updates that are timed before training


@dataclass(frozen=True)
class FitOptions:
    """The tiny decoder and its training.

    Attributes:
        width: of the hidden states.
        layers: number of them.
        heads: of attention.
        updates: steps of training.
        bytes: UTF-8 bytes of text in each update.
        rows: texts of an update that are read side by side.
        rate: highest learning rate; reached after a tenth of the updates, then a cosine down to a tenth of it.
        heldout: bytes of held-out text that are scored, at most.
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    updates: int = 250
    bytes: int = 4096
    rows: int = 8
    rate: float = 3e-3
    heldout: int = 100_000


@dataclass(frozen=True)
class Fit:
    """What training came to.

    Attributes:
        bits: bits per byte of the held-out text, one a seed.
        parameters: of the whole model.
        seconds: of training, all seeds.
        tokens: read in training by one seed.
        losses: nats per token of each update, one list a seed.
    """

    bits: list[float]
    parameters: int
    seconds: float
    tokens: int
    losses: list[list[float]] = field(default_factory=list)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean over seeds (Student's t); NaN for one seed."""
        if len(self.bits) < 2:
            return math.nan, math.nan
        from scipy.stats import t

        mean, error = float(np.mean(self.bits)), float(np.std(self.bits, ddof=1)) / math.sqrt(len(self.bits))
        reach = float(t.ppf(0.975, len(self.bits) - 1)) * error
        return mean - reach, mean + reach


@by_device
def fit(
    tokenizer: Any,
    train: Any,
    heldout: Any,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    options: FitOptions | None = None,
    device: DeviceName | None = "auto",
    progress: Progress | None = None,
) -> Fit:
    """Train the tiny decoder with a tokenizer, and score held-out text.

    Args:
        tokenizer: anything that `Vocabulary.of` takes.
        train: text to learn from; files or lines that can be gone through twice.
        heldout: text to score.
        seeds: one model is trained for each; the seed draws its weights, the text's order is the same for all.
        options: of model and training.
        device: what is computed on: `auto` (CUDA where it is, else the processor), `cuda` or `cpu`. Weights are drawn
            on the processor: models begin alike.
        progress: called as (updates done, all updates, facts); first with `seconds_expected`, after some updates were
            timed, before any training that counts.

    Returns:
        Bits per byte by seed; what unknown tokens stand for is counted at 8 bits a byte. The same seed gives the same
        bits on the same kind of CPU and number of threads; on a GPU the last digits may differ.

    Raises:
        InputError: too little text.
    """
    import torch

    options = options or FitOptions()
    view = Vocabulary.of(tokenizer)
    batches, held, size = _ready(view, train, heldout, options)
    lost = unknown_bits(view, _take(heldout, options.heldout))
    state = torch.get_rng_state()
    try:
        expected = _timed(size, batches, held, options) * len(seeds)
        total = options.updates * len(seeds)
        if progress is not None:
            progress(0, total, {"seconds_expected": round(expected, 1), "tokenizer": view.name})
        bits, losses = [], []
        start = time.perf_counter()
        for number, seed in enumerate(seeds):
            model = _model(size, options, seed)
            losses.append(_train(model, batches, options, progress, number * options.updates, total))
            bits.append(_score(model, held) + lost)
        seconds = time.perf_counter() - start
        parameters = sum(p.numel() for p in model.parameters())
        tokens = sum(int(ids.size) for ids, _ in batches)
    finally:
        torch.set_rng_state(state)
    return Fit(bits, parameters, seconds, tokens, losses)


@by_device
def seconds_expected(
    tokenizer: Any, train: Any, heldout: Any, *, seeds: Sequence[int] = (0, 1, 2), options: FitOptions | None = None,
    device: DeviceName | None = "auto",
) -> float:  # fmt: skip
    """Say how long `fit` will take with these, from some updates that are timed and thrown away."""
    import torch

    options = options or FitOptions()
    batches, held, size = _ready(Vocabulary.of(tokenizer), train, heldout, options)
    state = torch.get_rng_state()
    try:
        return _timed(size, batches, held, options) * len(seeds)
    finally:
        torch.set_rng_state(state)


def _ready(view: Vocabulary, train: Any, heldout: Any, options: FitOptions) -> tuple[list[Batch], list[Batch], int]:
    """Cut both texts: what is read in each update, what is scored, and how many different ids there are."""
    batches = _batches(view, train, options)
    held = list(_cut(view, _take(heldout, options.heldout), options))
    return batches, held, _renumber([*batches, *held])


def _take(texts: Any, room: int) -> list[str]:
    lines: list[str] = []
    for line in Lines(texts):
        room -= len(line.encode()) + 1
        if room < 0 and lines:
            break
        lines.append(line)
    if not lines:
        raise InputError("there is no text to score", expected="held-out text")
    return lines


def unknown_bits(view: Vocabulary, lines: Sequence[str]) -> float:
    """Spell what unknown tokens stand for at 8 bits a byte: what is lost must not come for nothing.

    Returns:
        Those bits, by the bytes of all lines with their ends.
    """
    unknown = view.roles.get("unk")
    lost = sum(
        len(line[start:end].encode())
        for line, encoding in zip(lines, view.encodings(lines), strict=True)
        for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if index == unknown
    )
    return 8 * lost / sum(len(line.encode()) + 1 for line in lines)


def _batches(view: Vocabulary, texts: Any, options: FitOptions) -> list[Batch]:
    """Cut the text into updates of equal bytes, and begin it again where it is too short."""
    lines = Lines(texts)
    batches: list[Batch] = []
    while len(batches) < options.updates:
        more = list(islice(_cut(view, lines, options, whole=True), options.updates - len(batches)))
        if not more:
            raise InputError("there is too little text to train on", expected=f"{options.bytes} bytes or more")
        batches += more
    return batches


def _cut(view: Vocabulary, texts: Iterable[str], options: FitOptions, *, whole: bool = False) -> Iterator[Batch]:
    """Cut lines into tables of equal bytes: (ids (rows, longest) padded with -1, bytes); `whole` drops the rest."""
    lines: list[str] = []
    size = 0
    for line in texts:
        lines.append(line)
        size += len(line.encode()) + 1
        if size >= options.bytes:
            yield _rows(view, lines, options)
            lines, size = [], 0
    if lines and not whole:
        yield _rows(view, lines, options)


def _rows(view: Vocabulary, lines: list[str], options: FitOptions) -> Batch:
    """Lay lines behind each other in some rows, by bytes, so that every tokenizer's model sees the same before each.

    Ids are moved up by two: 0 begins a row, 1 ends a line.
    """
    per_row: list[list[np.ndarray]] = [[] for _ in range(options.rows)]
    length = np.zeros(options.rows, dtype=np.int64)
    for line, ids in zip(lines, view.encode(lines), strict=True):  # the shortest row takes the next line
        row = int(length.argmin())
        per_row[row].append(np.append(ids + 2, 1))
        length[row] += len(line.encode()) + 1
    filled = [np.concatenate([[0], *parts]) for parts in per_row]
    table = np.full((options.rows, max(map(len, filled))), -1, dtype=np.int64)
    for row, ids in enumerate(filled):
        table[row, : len(ids)] = ids
    return table, int(length.sum())


def _renumber(batches: Sequence[Batch]) -> int:
    """Give the ids that occur new numbers from 0 on, in place; returns how many there are.

    Rows of other ids would only be pushed away, at the cost of hours where the vocabulary is of many languages.
    """
    used = np.unique(np.concatenate([[0, 1], *(table[table >= 0] for table, _ in batches)]))
    for table, _ in batches:
        table[table >= 0] = np.searchsorted(used, table[table >= 0])
    return len(used)


def _model(size: int, options: FitOptions, seed: int) -> torch.nn.Module:
    """Make the decoder over so many ids."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.default_generator.manual_seed(seed)  # the processor's alone: its state is put back, a GPU's is not touched
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        max_position_embeddings=1 << 16,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=None,
    )
    model: torch.nn.Module = placed(LlamaForCausalLM(config))
    return model


def _nats(model: Any, table: np.ndarray) -> tuple[torch.Tensor, int]:
    """Return the sum of nats over a table's tokens, and their number; a long row is read in windows."""
    import torch

    device = model.lm_head.weight.device
    total, number = torch.zeros((), device=device), 0
    for start in range(0, table.shape[1] - 1, _WINDOW):
        part = torch.from_numpy(table[:, start : start + _WINDOW + 1]).to(device)
        use = part[:, 1:] >= 0
        if not bool(use.any()):
            break
        hidden = model.model(part[:, :-1].clamp(min=0)).last_hidden_state
        logits = model.lm_head(hidden[use])
        total = total + torch.nn.functional.cross_entropy(logits, part[:, 1:][use], reduction="sum")
        number += int(use.sum())
    return total, number


def _train(
    model: Any,
    batches: list[Batch],
    options: FitOptions,
    progress: Progress | None = None,
    done: int = 0,
    total: int = 0,
) -> list[float]:
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.01)
    losses = []
    for step, (table, size) in enumerate(batches):
        nats, number = _nats(model, table)
        # By bytes, not tokens: equal text weighs the same whatever it is cut into.
        update(optimiser, nats / size, options.rate * pace(step, options.updates))
        losses.append(float(nats.detach()) / number)
        if progress is not None:
            progress(done + step + 1, total, {"loss": losses[-1]})
    return losses


def pace(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step: up over a tenth of the steps, then a cosine down to a tenth."""
    warm = max(1, steps // 10)
    late = max(0.0, (step - warm) / max(1, steps - warm))
    return min((step + 1) / warm, 0.55 + 0.45 * math.cos(math.pi * late))


def update(optimiser: Any, loss: torch.Tensor, rate: float) -> None:
    """One step of an optimiser down a loss; gradients are cut to norm 1."""
    import torch

    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _score(model: Any, held: Sequence[Batch]) -> float:
    """Bits per byte; line ends count on both sides."""
    import torch

    model.eval()
    with torch.no_grad():
        nats = sum(float(_nats(model, table)[0]) for table, _ in held)
    return nats / math.log(2) / sum(size for _, size in held)


def _timed(size: int, batches: list[Batch], held: list[Batch], options: FitOptions) -> float:
    """Time some updates of a model that is thrown away; seconds of a whole training, and of scoring (forward only)."""
    model = _model(size, options, 0)
    few = batches[: _TIMED + 1]
    _train(model, few[:1], options)  # the first is slower
    start = time.perf_counter()
    _train(model, few[1:] or few, options)
    one = (time.perf_counter() - start) / max(1, len(few) - 1)
    return one * (options.updates + sum(size for _, size in held) / options.bytes / 3)
