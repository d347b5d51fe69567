"""A short training as a trial: the model's first layers on each method's rows, and their loss on lines set apart.

All candidates start from the same first layers and head of the source and see the same batches with the same words
hidden; they differ in their rows alone, and share the target's tokens, so that nats a token can be compared. The output
bias is made as the transplant would make it, by frequency on the shrunken model itself, whose predictions are not the
whole model's. Our own; what it is worth as a forecast of the order after a long training: docs/forecast.md.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from lexigraft import InputError
from vocab.device import placed
from vocab.options import Options
from vocab.transplant.exercise import LINES, Batch, asker, cut_rows, longest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from vocab.mixture import Mixture
    from vocab.transplant.setting import Setting

Progress = Callable[[float, float, dict[str, Any]], None]
_FEWEST = 200  # held-out tokens, below which a loss says nothing
_TIMED = 4  # steps by which the whole is timed; the first of them is slower and does not count
_SCORED = 32  # rows scored at once
_DEPTHS = ("n_layers", "num_layers", "num_hidden_layers")  # where modules keep their own count


class TrialOptions(Options):
    """How a shrunken model is trained on each candidate's rows."""

    layers: int = Field(2, ge=1)
    """Layers of the source that are kept, from the first on."""
    steps: int = Field(40, ge=1)
    """Steps of training."""
    batch_tokens: int = Field(256, ge=1)
    """Tokens of a step."""
    sequence_length: int = Field(64, ge=8)
    """Tokens of a row, or as many as the model has positions for."""
    lr: float = Field(5e-4, gt=0)
    """Highest learning rate; reached after a tenth of the steps, then a cosine down to a tenth of it."""
    mask_rate: float = Field(0.3, gt=0, lt=1)
    """Share of words hidden from a masked model, all pieces of a word together."""
    heldout_tokens: int = Field(6144, ge=256)
    """Tokens that the loss is measured on."""


@dataclass(frozen=True)
class Exercise:
    """The same for all candidates: what is learnt from, a batch a step, and what is held out."""

    train: list[Batch]
    held: list[Batch]

    @classmethod
    def of(cls, setting: Setting, options: TrialOptions, causal: bool) -> Exercise:
        """Draw text, set lines apart evenly, cut both into rows, hide words.

        Args:
            setting: what the transplant starts from, with texts.
            options: how much of it.
            causal: every token is asked for, none is hidden.

        Raises:
            InputError: too little text, or no mask token.
        """
        from vocab.windows import sample_lines

        rows = max(1, options.batch_tokens // options.sequence_length)
        held_rows = -(-options.heldout_tokens // options.sequence_length)
        every = rows * options.steps + held_rows
        gap = max(2, every // held_rows)
        lines = sample_lines(setting.texts, LINES * every, setting.seed)
        held, lines = lines[::gap], [line for number, line in enumerate(lines) if number % gap]
        draw = np.random.default_rng(setting.seed)
        table, test = (cut_rows(setting, found, options.sequence_length) for found in (lines, held))
        test = test[np.sort(draw.permutation(len(test))[:held_rows])]
        if not len(table) or test.size < _FEWEST:
            raise InputError(
                "too little text to try methods on", found=f"{table.size} tokens and {test.size} held out",
                expected=f"{options.sequence_length} and {_FEWEST} or more",
            )  # fmt: skip
        order = np.concatenate([draw.permutation(len(table)) for _ in range(-(-rows * options.steps // len(table)))])
        ask = asker(setting, causal, options.mask_rate, draw)
        train = [ask(table[order[i * rows : (i + 1) * rows]]) for i in range(options.steps)]
        return cls(train, [ask(test[i : i + _SCORED]) for i in range(0, len(test), _SCORED)])


def trial(
    setting: Setting,
    rows: Mapping[str, Mixture],
    options: TrialOptions,
    *,
    by_frequency: bool = False,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Train the shrunken model on each candidate's rows and measure its loss on lines that are set apart.

    All of it is done on the text that rows are made with: what is held out for scores chooses nothing.

    Args:
        setting: what the transplant starts from: texts, and a source with a language-modelling head. Its seed draws
            the lines and what is hidden in them.
        rows: mixtures by name. Those that make equal rows are trained once.
        options: how.
        by_frequency: shift the output bias to the tokens' frequencies first, where the model has one.
        progress: told steps done, all steps, and of the first one after some steps `notice`: how long it will take.

    Returns:
        Nats of every held-out token asked for, by name; the tokens are the same for all. The same seed gives the same
        numbers on the same kind of processor with as many threads.

    Raises:
        InputError: too little text, or no mask token.
    """
    import torch

    from vocab.matrix import fingerprint
    from vocab.transplant.apply import matrices_of, with_rows
    from vocab.windows import is_causal

    # Beside it stand one with a candidate's rows, its gradients and two moments.
    small = placed(shrunken(setting.carrier.fresh(), options.layers), times=5)
    options = options.model_copy(update={"sequence_length": longest(setting, options.sequence_length)})
    exercise = Exercise.of(setting, options, is_causal(small))
    total = options.steps * len(rows)
    # A token that is measured on costs a third of one that is learnt from: there is no way back through the model.
    all_steps = total + len(rows) * options.heldout_tokens / options.batch_tokens / 3
    known: dict[tuple[str, ...], NDArray[np.float64]] = {}
    found: dict[str, NDArray[np.float64]] = {}
    times: list[float] = []
    for number, (name, mixture) in enumerate(rows.items()):

        def tell(step: int, number: int = number, name: str = name) -> None:
            facts: dict[str, Any] = {"step": f"trying {name}"}
            times.append(time.perf_counter())
            if len(times) == _TIMED:
                seconds = (times[-1] - times[0]) / (_TIMED - 1) * all_steps
                facts["notice"] = f"trying {len(rows)} methods for {options.steps} steps each: some {seconds:.0f} s"
            if progress is not None:
                progress(number * options.steps + step, total, facts)

        # The rows that are trained are this candidate's own, and so must the body be.
        model = copy.deepcopy(with_rows(small, mixture, setting.old, setting.new))
        key = tuple(fingerprint(matrix) for matrix in matrices_of(model, setting.new).values())
        if key not in known:
            with torch.random.fork_rng(devices=[]):
                if by_frequency:
                    _shift(setting, mixture, model)
                known[key] = _learn(model, exercise, options, tell)
        found[name] = known[key]
    return found


def shrunken(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """Cut a model down to its first layers, in place, in float32."""
    from torch import nn

    config: Any = model.config.get_text_config()
    depth = config.num_hidden_layers
    for module in list(model.base_model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ModuleList) and len(child) == depth:
                setattr(module, name, child[:layers])
        for name in _DEPTHS:
            if getattr(module, name, None) == depth:
                setattr(module, name, min(depth, layers))
    config.num_hidden_layers = min(depth, layers)
    return model.float().eval()


def _shift(setting: Setting, mixture: Mixture, model: Any) -> None:
    """Bring a model's output bias to the tokens' frequencies, in place."""
    import torch

    from vocab.transplant.apply import biases_of
    from vocab.transplant.prior import with_prior

    shift = with_prior(setting, mixture, model)[0].bias_shift
    if len(shift):
        (bias,) = biases_of(model, model.get_output_embeddings())
        with torch.no_grad():
            bias += torch.from_numpy(shift).to(bias.device)


def _learn(model: Any, exercise: Exercise, options: TrialOptions, tell: Callable[[int], None]) -> NDArray[np.float64]:
    """Train a model and return the nats of every held-out token; dropout stays off, so that nothing is drawn."""
    import torch

    from vocab.fit import pace, update
    from vocab.head import Predictor

    predictor = Predictor.of(model.requires_grad_(True))
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)
    for step, batch in enumerate(exercise.train):
        if len(batch.labels):
            update(optimiser, _nats(predictor, batch).mean(), options.lr * pace(step, options.steps))
        tell(step + 1)
    with torch.no_grad():
        return np.concatenate([_nats(predictor, batch).double().cpu().numpy() for batch in exercise.held])


def _nats(predictor: Any, batch: Batch) -> Any:
    """Nats of each token that is asked for."""
    import torch

    device = predictor.model.get_input_embeddings().weight.device
    ids, flat, labels = (torch.from_numpy(part).to(device) for part in (batch.ids, batch.flat, batch.labels))
    logits = predictor.logits(predictor.gathered(ids, None, flat))
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")
