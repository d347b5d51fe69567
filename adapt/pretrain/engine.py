"""Continued pretraining: our own loop, because stock ones scale the loss wrongly and do not resume to the bit.

The loss of an optimiser step is the sum of nats over all its predicted tokens, divided by their number; how the step is
cut into micro-batches changes neither what is masked nor the gradient. Everything random in step s is drawn from
generators seeded by (seed, s), so a run goes on from a checkpoint as if it had never stopped: killed at any moment, it
ends in the same bytes on the same kind of processor with the same number of threads (`torch.get_num_threads()`, which
is noted in each checkpoint: other numbers give other sums and so other bits).
"""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from adapt.files import digest, digest_of, move_into_place, read_json, write_json
from adapt.pretrain import checkpoint as saved
from adapt.pretrain.data import Blocks, tokenise
from adapt.pretrain.distributed import World, by_all
from adapt.pretrain.measure import measure
from adapt.pretrain.model import save_plain
from adapt.pretrain.objectives.objective import Batch
from adapt.pretrain.options import BUDGETS, Pretrain
from adapt.pretrain.step import Setup, heldout_loss, set_up, stream_of, train_step
from adapt.pretrain.texts import Beside
from lexigraft import InputError
from vocab.tokenizer.load import load_tokenizer
from vocab.tokenizer.sampling import dropout

__all__ = ["measure", "pretrain"]

Progress = Callable[[float, float, dict[str, Any]], None]

NOTHING = Beside()
EXPLODED = 3.0  # a loss this many times the larger of ln V and the first loss stops the run
HELDOUT_ROWS, HELDOUT_TIMES = 32, 8


@by_all
def pretrain(
    model_dir: Path,
    tokenizer_dir: Path,
    text: Path,
    heldout: Path | None,
    options: Pretrain,
    steps: int,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
    beside: Beside = NOTHING,
) -> dict[str, Any]:
    """Train a model on a text, or go on where a call with the same arguments was stopped.

    Args:
        model_dir: the model to start from; a language-modelling head is added where it has none.
        tokenizer_dir: its tokenizer.
        text: training text, one line a sentence or paragraph.
        heldout: text for the loss that is looked at now and then, never trained on; or None.
        options: settings of the training.
        steps: optimiser steps.
        seed: seed of order, masks and dropout.
        folder: gets tokens/, checkpoints/, log.jsonl, and at last model/ and finished.json.
        progress: told steps done, all steps, and facts: loss, tokens_per_second, seconds_left; or a `notice`.
        beside: texts that some settings need.

    Returns:
        steps, seconds (in the loop, over all resumptions), step_seconds, tokens, characters, tokens_per_second,
        characters_per_second, loss, heldout_loss, parameters, trained_parameters, adapters (bytes of each file beside
        the plain model), resumed_from, notices, precision, threads, new_head.

    Raises:
        InputError: bad input, a full disk, or a loss that is not a number or explodes; checkpoints stay as they are.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    say: Progress = progress or (lambda done, total, facts: None)
    texts = {"text": text, **beside.files}
    identity = _identity(model_dir, tokenizer_dir, texts, options, steps, seed)
    finished = read_json(folder / "finished.json")
    if finished and finished.get("identity") == identity and (folder / "model" / "config.json").is_file():
        return finished["facts"]
    with saved.disk_full_said(folder):
        say(0, steps, {"what": "tokenising"})
        tokenizer, world = load_tokenizer(tokenizer_dir), World.here()
        with world.leader_first(), dropout(tokenizer):  # drawn once, here: training text only, never what is measured on
            tokens = tokenise(text, tokenizer, folder / "tokens", progress=lambda d, t, f: say(0, steps, f))
        setup = set_up(model_dir, tokenizer_dir, tokens, tokenizer, options, steps, seed)
        with world.leader_first():
            watched = _heldout_batch(setup, heldout, tokenizer, folder)

        root = folder / "checkpoints"
        state: dict[str, Any] = {
            "step": 0,
            "seconds": 0.0,
            "step_seconds": 0.0,
            "tokens": 0,
            "resumed_from": [],
            "notices": [],
        }
        with world.leader_first():
            last, notices = saved.load_last(root)
            if last is not None and last.state["identity"] != identity:
                notices.append("the checkpoints that were there are of other settings or another text: started afresh")
                shutil.rmtree(root, ignore_errors=True)
                last = None
        if last is not None:
            state = {**state, **last.state}
            if state["threads"] != torch.get_num_threads():
                notices.append(
                    f"{state['threads']} threads before, {torch.get_num_threads()} now: not equal to the bit"
                )
            _restore(setup, last)
            state["resumed_from"] = [*state["resumed_from"], state["step"]]
        if setup.predictor.full:
            notices.append("a head of an unknown kind: logits are computed at every position (slower, more memory)")
        state.update(identity=identity, threads=torch.get_num_threads(), notices=[*state["notices"], *notices])
        for notice in notices:
            say(state["step"], steps, {"notice": notice})
        _loop(setup, state, watched, folder, say)
        if not world.leads:
            return {}

        parameters = sum(p.numel() for p in setup.model.parameters())
        trained = sum(p.numel() for p in setup.trained.values())
        partial = folder / ".partial-model"
        with saved.whole_or_nothing(partial, 4 * parameters):
            save_plain(setup.tuning.finish(setup.model), tokenizer_dir, partial)
            for file in partial.iterdir():
                saved.sync(file)
            move_into_place(partial, folder / "model")
        adapters = {file.name: file.stat().st_size for file in sorted((folder / "model").glob("adapter-*.safetensors"))}
        if adapters:
            notice = f"plain transformers loads model/ without what lies beside it: {', '.join(adapters)}"
            state["notices"].append(notice)
            say(steps, steps, {"notice": notice})
        characters = round(state["tokens"] * tokens.facts["characters"] / tokens.facts["tokens"])
        keys = ("seconds", "step_seconds", "tokens", "loss", "heldout_loss", "resumed_from", "notices", "threads")
        facts = {
            "steps": steps,
            **{key: state.get(key) for key in keys},
            "characters": characters,
            "tokens_per_second": state["tokens"] / max(state["step_seconds"], 1e-9),
            "characters_per_second": characters / max(state["step_seconds"], 1e-9),
            "epochs": state["tokens"] / (tokens.facts["tokens"] + tokens.facts["lines"]),
            "parameters": parameters,
            "trained_parameters": trained,
            "adapters": adapters,
            "precision": "bf16" if setup.bf16 else "fp32",
            "objective": setup.objective.name,
            "new_head": setup.new_head,
        }
        write_json(folder / "finished.json", {"identity": identity, "facts": facts})
        return facts


def _loop(setup: Setup, state: dict[str, Any], watched: Batch | None, folder: Path, say: Progress) -> None:
    """Train from `state["step"]` to the end, writing the log and the checkpoints."""
    steps, options = setup.steps, setup.options
    world = setup.world
    log_file = folder / "log.jsonl" if world.leads else Path(os.devnull)
    _cut_log(log_file, state["step"])
    every = max(1, steps // HELDOUT_TIMES)
    last_saved = last_said = time.monotonic()
    recent: list[float] = []
    with log_file.open("a", encoding="utf-8") as log:
        for step in range(state["step"], steps):
            began = time.monotonic()
            facts = train_step(setup, step)
            took = time.monotonic() - began
            _check(facts, state, setup, step)
            state["step"], state["loss"] = step + 1, facts["loss"]
            state["tokens"] += facts["tokens"]
            state["step_seconds"] += took
            line = {"step": step + 1, **facts, "tokens_per_second": facts["tokens"] / took}
            if watched is not None and ((step + 1) % every == 0 or step + 1 == steps):
                state["heldout_loss"] = line["heldout_loss"] = heldout_loss(setup, watched)
            state["seconds"] += time.monotonic() - began
            log.write(json.dumps({**line, "seconds": state["seconds"]}) + "\n")
            log.flush()
            now = time.monotonic()
            recent = [*recent[-49:], now - began]
            if now - last_said > 0.5 or step + 1 == steps or step == 0:
                last_said = now
                left = statistics.median(recent) * (steps - step - 1)
                say(step + 1, steps, {**line, "seconds_left": left})
            if world.leads and step + 1 < steps and now - last_saved >= options.checkpoint_seconds:
                saved.save(folder / "checkpoints", _checkpoint(setup, state))
                last_saved = time.monotonic()
                state["seconds"] += last_saved - now


def _check(facts: dict[str, Any], state: dict[str, Any], setup: Setup, step: int) -> None:
    """Stop on a loss that is no number, or far above where it began."""
    loss = facts["loss"]
    start = state.setdefault("start_loss", max(loss, math.log(setup.symbols.size)) if math.isfinite(loss) else None)
    if start is None or not math.isfinite(loss) or not math.isfinite(facts["grad_norm"]):
        what = f"the loss or its gradient is no number (loss {loss}, gradient norm {facts['grad_norm']})"
    elif loss > EXPLODED * start:
        what = f"the loss exploded: {loss:.2f} nats a token, {start:.2f} at the start"
    else:
        return
    raise InputError(
        f"{what} at step {step + 1}; what was saved before is untouched",
        found=f"pretrain.lr = {setup.options.lr:g}, warmup = {setup.options.warmup:g}",
        expected="a lower pretrain.lr, a longer pretrain.warmup, or pretrain.precision = fp32",
    )


def _checkpoint(setup: Setup, state: dict[str, Any]) -> saved.Checkpoint:
    moments = {
        f"{name}.{key}": value
        for name, parameter in setup.trained.items()
        for key, value in setup.optimizer.state.get(parameter, {}).items()
    }
    weights = {name: parameter.data for name, parameter in setup.trained.items()}
    return saved.Checkpoint(weights, moments, {**state, "cursor": list(setup.stream.cursor)})


def _restore(setup: Setup, last: saved.Checkpoint) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in setup.trained.items():
            parameter.copy_(last.weights[name])
    for name, parameter in setup.trained.items():
        moments = {
            key: last.optimizer[f"{name}.{key}"]
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{name}.{key}" in last.optimizer
        }
        if moments:
            setup.optimizer.state[parameter] = {key: value.to(setup.device) for key, value in moments.items()}
    setup.stream.seek(last.state.pop("cursor"))


def _identity(
    model_dir: Path, tokenizer_dir: Path, texts: dict[str, Path], options: Pretrain, steps: int, seed: int
) -> str:
    """Fingerprint of everything that the final weights depend on, threads and processor excepted."""
    dump = options.model_dump(mode="json", exclude={*BUDGETS, "checkpoint_seconds"})
    files = [
        *sorted(model_dir.glob("*.safetensors")),
        model_dir / "config.json",
        tokenizer_dir / "tokenizer.json",
    ]
    sums = {str(number): digest(file) for number, file in enumerate(files) if file.is_file()}
    sums |= {name: digest(file) for name, file in texts.items()}
    return digest_of({"files": sums, "options": dump, "steps": steps, "seed": seed})


def _heldout_batch(setup: Setup, heldout: Path | None, tokenizer: Any, folder: Path) -> Batch | None:
    if heldout is None:
        return None
    tokens = tokenise(heldout, tokenizer, folder / "tokens" / "heldout", max_lines=HELDOUT_ROWS * 40)
    stream = stream_of(tokens, setup.symbols, setup.options, 0)
    parts = [stream.take(4) for _ in range(HELDOUT_ROWS // 4)]  # several, as lines of like length come together
    blocks = Blocks.joined(parts, setup.symbols.pad)
    return setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng([0, 4]))


def _cut_log(path: Path, step: int) -> None:
    """Drop lines of steps that will be done again, and a last line that was cut off."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue
    path.write_text("".join(kept), encoding="utf-8")
