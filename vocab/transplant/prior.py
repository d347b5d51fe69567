"""Output bias by frequency: the new model begins by predicting each token as often as the text shows it.

A bias that is mixed like the rows says how frequent the *old* tokens were. Meister et al. 2023 ("A Natural Bias for
Language Generation Models") start an untrained model's bias at the tokens' log frequencies. Here the model has been
trained, and what its body says stays: the model is asked for words of the text, and its mean prediction q of each token
is held against the token's frequency p; `log p - log q` is added to the bias, a few times over, until the two agree.
(It is the gradient of the loss for the bias that is brought to 0.) One half is added to each count.

What a few hundred places say of rare tokens is mostly chance, so the shift is weighed: of several factors from 0 to 1
the one stays that gives the lowest loss at places that the shift was not made from; at 0 nothing is shifted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.device import placed

if TYPE_CHECKING:
    import torch

    from vocab.mixture import Mixture
    from vocab.transplant.setting import Setting

TOKENS = 3072  # shown to the model: four times as many changed the scores by 0.002 pseudo-bits on Hausa
LENGTH = 64
RATE = 0.3  # of words hidden from a masked model
BATCH = 16  # rows at once
LOGITS = 1 << 21  # in memory at a time: 8 MB
FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)
ROUNDS = 6
NEAR = 1e-3  # nats between the mean prediction and the frequencies that count as agreement


def with_prior(
    setting: Setting, mixture: Mixture, model: Any = None, *, asked_for: bool = False
) -> tuple[Mixture, dict[str, Any] | None]:
    """Return the mixture with a shift of the output bias.

    Tokens of every kind are shifted where source tokens were lost. A vocabulary that keeps all of them still serves the
    old languages: there only rows that are no copies are shifted. Nothing is shifted where nothing is new.

    Args:
        setting: what the transplant starts from, with texts.
        mixture: its rows.
        model: a model that has them, to be asked; the source with them where it is not given.
        asked_for: the user named it: where there is nothing to shift, a note says why.

    Returns:
        The mixture, and what the report says: `factor`, `nats` a token at places the shift was not made from, without
        and with it, and `places`. As it was given, and None, where there is no text or no output bias, or nothing to
        shift. A note says so where the user might expect otherwise.
    """
    rows = _shifted_rows(setting, mixture)
    why = _nothing_to_shift(setting, rows)
    if why is not None and asked_for:
        setting.notes.append(f"no output bias was shifted to the tokens' frequencies: {why}")
    if why is not None or setting.texts is None:
        return mixture, None
    asked = _asked(setting, mixture, model)
    if asked is None:
        setting.notes.append("the output bias was mixed as the rows are: this model's head cannot be taken apart")
        return mixture, None
    states, labels, weight, bias = asked
    half = len(labels) // 2
    if half < 50:
        setting.notes.append(f"the output bias was mixed as the rows are: only {len(labels)} places to learn it from")
        return mixture, None
    frequency = setting.frequency
    assert frequency is not None  # there are texts
    wanted = np.log((frequency + 0.5) / (frequency + 0.5).sum())
    shift = _matched(states[:half], weight, bias, wanted, rows)
    nats = [_loss(states[half:], labels[half:], weight, bias + factor * shift) for factor in FACTORS]
    best = int(np.argmin(nats))
    if best:
        # Made once more, from all places, with the weight that was found for it.
        shift = FACTORS[best] * _matched(states, weight, bias, wanted, rows)
        mixture = replace(mixture, bias_shift=shift.cpu().numpy().astype(np.float32))
    facts = {"factor": FACTORS[best], "nats": [round(nats[0], 4), round(nats[best], 4)], "places": len(labels)}
    return mixture, facts


def _shifted_rows(setting: Setting, mixture: Mixture) -> np.ndarray:
    """Bool (target,): rows whose bias is to be shifted; none where all are copies."""
    from vocab.view import Kind

    made = ~mixture.copied
    plain = setting.new.kind <= Kind.BYTE
    if not made[plain].any():
        return np.zeros(len(mixture), bool)
    copied = np.unique(mixture.weights.indices[np.repeat(mixture.copied, np.diff(mixture.weights.indptr))])
    lost = np.setdiff1d(np.flatnonzero(setting.old.kind <= Kind.BYTE), copied)
    return plain & (made | bool(len(lost)))


def _nothing_to_shift(setting: Setting, rows: np.ndarray) -> str | None:
    """Say why nothing can be shifted; None where the model can be asked, and has one bias that training would change.

    Args:
        setting: what the transplant starts from.
        rows: bool (target,): rows whose bias is to be shifted.
    """
    import torch

    from vocab.transplant.apply import biases_of
    from vocab.transplant.start import cannot_be_scored
    from vocab.windows import is_causal

    if not rows.any():
        return "no row is new"
    model = setting.carrier.model
    if why := cannot_be_scored(setting):
        return why.rstrip(".")
    if setting.tokenizer.mask_token_id is None and not is_causal(model):
        return "the new tokenizer has no mask token"
    found = biases_of(model, model.get_output_embeddings())
    if len(found) == 1 and isinstance(found[0], torch.nn.Parameter):
        return None
    return f"{type(model).__name__} has {'one that no training changes' if found else 'none'}"


def _asked(
    setting: Setting, mixture: Mixture, model: Any = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """Ask the new model, or one that has its rows, for words of the text.

    Returns:
        What its decoder reads (places, dim), the tokens asked for (places,), the decoder's matrix and bias; float32.
        None where the decoder does not stand alone.
    """
    import torch

    from vocab.head import Predictor
    from vocab.transplant.apply import biases_of, with_rows
    from vocab.transplant.exercise import LINES, asker, cut_rows, longest
    from vocab.windows import is_causal, sample_lines

    carrier, sides = setting.carrier, (mixture, setting.old, setting.new)
    if model is None and not carrier.whole:
        model = carrier.filled(with_rows(carrier.model, *sides))
    if model is None:
        model = with_rows(carrier.fresh(), *sides)
    model = placed(model.eval())
    length = longest(setting, LENGTH)
    count = TOKENS // length
    draw = np.random.default_rng(setting.seed)
    table = cut_rows(setting, sample_lines(setting.texts, LINES * count, setting.seed), length)
    table = table[draw.permutation(len(table))[:count]]
    ask = asker(setting, is_causal(model), RATE, draw)
    predictor = Predictor.of(model)
    if predictor.full:
        return None
    head = model.get_output_embeddings()
    (bias,) = biases_of(model, head)
    device = head.weight.device
    states = [torch.zeros(0, head.weight.shape[1], device=device)]
    labels = [torch.zeros(0, dtype=torch.int64, device=device)]
    for start in range(0, len(table), BATCH):
        batch = ask(table[start : start + BATCH])
        ids, flat, asked = (torch.from_numpy(part).to(device) for part in (batch.ids, batch.flat, batch.labels))
        with torch.no_grad():
            states.append(predictor.gathered(ids, None, flat).float())
        labels.append(asked)
    return torch.cat(states), torch.cat(labels), head.weight.detach().float(), bias.detach().float()


def _matched(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, wanted: np.ndarray, rows: np.ndarray
) -> torch.Tensor:
    """Find the shift of the bias, (target,), with which the mean prediction is as the frequencies say."""
    import torch

    goal, on = (torch.from_numpy(part).to(bias.device) for part in (wanted.astype(np.float32), rows))
    shift = torch.zeros_like(bias)
    for _ in range(ROUNDS):
        mean = torch.zeros_like(bias)
        for logits in _logits(states, weight, bias + shift):
            mean += torch.softmax(logits, dim=-1).sum(dim=0)
        # Of the tokens that may move: the others keep what they have of the predictions.
        found = torch.log((mean[on] / mean[on].sum()).clamp_min(1e-12))
        asked = goal[on] - torch.logsumexp(goal[on], 0)
        shift[on] += asked - found
        if float((asked.exp() * (asked - found)).sum()) < NEAR:
            break
    return shift


def _loss(states: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> float:
    """Nats a place."""
    import torch

    done, total = 0, 0.0
    for logits in _logits(states, weight, bias):
        part = labels[done : done + len(logits)]
        total += float(torch.nn.functional.cross_entropy(logits, part, reduction="sum"))
        done += len(logits)
    return total / len(labels)


def _logits(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> Any:
    """Logits of a few places after the other, so that few are in memory at once."""
    import torch

    block = max(1, LOGITS // len(weight))
    for start in range(0, len(states), block):
        yield torch.addmm(bias, states[start : start + block], weight.T)
