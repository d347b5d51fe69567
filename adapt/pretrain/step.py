"""One optimiser step: what it needs, its loss and its gradient."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapt.pretrain.data import Stream, Symbols, TokenFile
from adapt.pretrain.model import load_with_head, objective_of, set_dropout, unigram_bias
from adapt.pretrain.objectives.objective import OBJECTIVES, Batch, Objective
from adapt.pretrain.optimizer import make_optimizer
from adapt.pretrain.options import Pretrain
from adapt.pretrain.schedule import factor
from adapt.tuning.tuning import TUNINGS, Tuning
from lexigraft import InputError
from vocab.head import Predictor

if TYPE_CHECKING:
    import torch

CLIP = 1.0  # largest gradient norm


@dataclass
class Setup:
    """A model ready to be trained, with everything a step needs."""

    model: Any
    predictor: Predictor
    objective: Objective
    objective_options: Any
    tuning: Tuning
    tuning_options: Any
    symbols: Symbols
    stream: Stream
    trained: dict[str, Any]
    optimizer: Any
    options: Pretrain
    steps: int
    seed: int
    new_head: bool
    bf16: bool

    @property
    def rows(self) -> int:
        """Blocks of one optimiser step."""
        return max(1, self.options.batch_tokens // self.options.sequence_length)

    @property
    def micro_rows(self) -> int:
        """Blocks that go through the model at once."""
        tokens = self.options.micro_batch_tokens
        return self.rows if tokens is None else max(1, tokens // self.options.sequence_length)


def set_up(
    model_dir: Path, tokenizer_dir: Path, tokens: TokenFile, tokenizer: Any, options: Pretrain, steps: int, seed: int
) -> Setup:
    """Load the model, give it a head where it has none, choose what is trained, make the optimiser.

    Raises:
        InputError: no weights, no mask token, more token ids than embedding rows, unknown objective or tuning.
    """
    objective = OBJECTIVES[options.objective or objective_of(model_dir)]
    objective_options = _options_for(objective, options.objective_options)
    tuning = TUNINGS[options.tuning]
    tuning_options = _options_for(tuning, options.tuning_options)
    symbols = Symbols.of(tokenizer)
    if objective.bidirectional and symbols.mask is None:
        raise InputError(
            "masked language modelling needs a mask token", file=tokenizer_dir, found="a tokenizer without one"
        )
    model, new = load_with_head(model_dir, objective.auto_class)
    rows = model.get_input_embeddings().weight.shape[0]
    if symbols.size > rows:
        raise InputError("the tokenizer has more ids than the model has embeddings", file=tokenizer_dir,
                         found=f"{symbols.size} ids, {rows} rows")  # fmt: skip
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and options.sequence_length > longest:
        raise InputError("sequence_length is more than the model's positions", file=model_dir,
                         found=options.sequence_length, expected=f"at most {longest}")  # fmt: skip
    bias = getattr(objective_options, "head_bias", "keep")
    if bias == "unigram" or (bias == "auto" and new):
        unigram_bias(model, tokens.counts(symbols.size))
    set_dropout(model, options.dropout)
    model = tuning.prepare(model, tuning_options)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise InputError(f"the tuning {tuning.name!r} leaves nothing to train", file=model_dir)
    predictor = Predictor.of(model)
    stream = Stream(tokens, symbols, options.sequence_length, seed)
    model.train()
    optimizer = make_optimizer(trained, options)
    return Setup(model, predictor, objective, objective_options, tuning, tuning_options, symbols, stream, trained,
                 optimizer, options, steps, seed, new, wants_bf16(options.precision))  # fmt: skip


def _options_for(spec: Any, given: Any) -> Any:
    """Find the options of one registry entry among those of a run."""
    return getattr(given, spec.name.replace("-", "_"))


def wants_bf16(precision: str) -> bool:
    """Whether matrix products run in bf16 (sums, norms, weights and optimiser stay fp32)."""
    import torch

    if precision != "auto":
        return precision == "bf16"
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def autocast(bf16: bool) -> AbstractContextManager[Any]:
    """Make the context that a forward pass runs in."""
    import torch

    return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else nullcontext()


def forward(setup: Setup, batch: Batch) -> torch.Tensor:
    """Sum of nats over a batch's predicted tokens."""
    import torch

    from adapt.pretrain.loss import linear_cross_entropy

    flat = torch.from_numpy(batch.rows * batch.inputs.shape[1] + batch.columns)
    attention = None if batch.attention.all() else torch.from_numpy(batch.attention).long()
    with autocast(setup.bf16):
        gathered = setup.predictor.gathered(torch.from_numpy(batch.inputs), attention, flat)
        labels = torch.from_numpy(batch.labels)
        if setup.predictor.full:
            return setup.predictor.loss_sum(gathered, labels)
        decoder = setup.predictor.decoder
        return linear_cross_entropy(gathered, decoder.weight, decoder.bias, labels)


def accumulate(setup: Setup, batch: Batch) -> float:
    """Add the gradient of a whole step, micro-batch by micro-batch, and return the loss in nats a predicted token."""
    predicted = max(1, len(batch.labels))
    total = 0.0
    for first in range(0, len(batch.inputs), setup.micro_rows):
        part = batch.part(first, min(first + setup.micro_rows, len(batch.inputs)))
        if not len(part.labels):
            continue
        loss = forward(setup, part) / predicted
        loss.backward()
        total += float(loss.detach())
    return total


def train_step(setup: Setup, step: int) -> dict[str, Any]:
    """One optimiser step.

    Returns:
        loss (nats a predicted token), predicted, tokens (padding not counted), lr, grad_norm.
    """
    import torch

    options = setup.options
    rate = options.lr * factor(options.schedule, step, setup.steps, options.warmup)
    for group in setup.optimizer.param_groups:
        group["lr"] = rate
    if setup.tuning.at_step:
        setup.tuning.at_step(setup.model, setup.tuning_options, step / setup.steps)
    blocks = setup.stream.take(setup.rows)
    generator = np.random.default_rng([setup.seed, 3, step])
    batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, generator)
    torch.manual_seed((setup.seed * 1_000_003 + step) % (1 << 63))  # dropout
    setup.optimizer.zero_grad(set_to_none=True)
    loss = accumulate(setup, batch)
    norm = float(torch.nn.utils.clip_grad_norm_(list(setup.trained.values()), CLIP))
    if math.isfinite(loss) and math.isfinite(norm):
        setup.optimizer.step()
    return {"loss": loss, "predicted": len(batch.labels), "tokens": int(batch.attention.sum()), "lr": rate,
            "grad_norm": norm}  # fmt: skip


def heldout_loss(setup: Setup, batch: Batch) -> float:
    """Loss in nats a predicted token on a fixed batch, dropout off, nothing drawn."""
    import torch

    setup.model.eval()
    with torch.no_grad():
        total = 0.0
        for first in range(0, len(batch.inputs), 8):
            part = batch.part(first, first + 8)
            total += float(forward(setup, part)) if len(part.labels) else 0.0
    setup.model.train()
    return total / max(1, len(batch.labels))
