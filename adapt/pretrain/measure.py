"""Time a few steps before a run, to turn minutes into steps and to say what it will need."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adapt.pretrain.distributed import World, by_all
from adapt.pretrain.options import Pretrain
from adapt.pretrain.step import set_up, stream_of, train_step
from adapt.pretrain.tokens import Symbols, tokenise
from vocab.tokenizer.load import load_tokenizer

Progress = Callable[[float, float, Mapping[str, Any]], None]

WARM_STEPS = 2  # steps that are not counted
COUNTED_WINDOWS = 8  # windows of text that are packed to see how full blocks get


@by_all
def measure(
    model_dir: Path,
    tokenizer_dir: Path,
    text: Path,
    options: Pretrain,
    seed: int,
    steps: int = 6,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time a few throw-away steps, to turn minutes into steps and to say what a run will need.

    Args:
        model_dir: as for `pretrain`.
        tokenizer_dir: as for `pretrain`.
        text: as for `pretrain`; its first lines are enough.
        options: settings of the training.
        seed: seed.
        steps: steps that count; two before them do not.
        folder: where the tokens go; a temporary folder when None.
        progress: called as (steps done, steps in all, {}).

    Returns:
        seconds_per_step (median), seconds (all of it), tokens_per_step, characters_per_step, tokens_per_second,
        peak_rss_bytes (of all processes that train, so far), checkpoint_bytes (one), parameters, trained_parameters,
        precision, threads (of each process), processes, device.
    """
    import tempfile

    import torch

    began = time.monotonic()
    tokenizer, world = load_tokenizer(tokenizer_dir), World.here()
    with tempfile.TemporaryDirectory() as temporary:
        rows = max(1, options.batch_tokens // options.sequence_length)
        lines = min(50_000, max(1000, rows * (WARM_STEPS + steps) * 8))
        with world.leader_first():
            tokens = tokenise(text, tokenizer, folder or Path(temporary), max_lines=lines)
        setup = set_up(model_dir, tokenizer_dir, tokens, tokenizer, options, WARM_STEPS + steps, seed)
        if setup.tuning.at_step:
            setup.tuning.at_step(setup.model, setup.tuning_options, 1.0)
        times, counted = [], []
        for step in range(WARM_STEPS + steps):
            start = time.monotonic()
            counted.append(train_step(setup, step)["tokens"])
            times.append(time.monotonic() - start)
            if progress:
                progress(step + 1, WARM_STEPS + steps, {})
        per_token = tokens.facts["characters"] / tokens.facts["tokens"]
        setup.stream.tokens.__dict__.clear()  # lets go of the memory-mapped files before the folder goes
    seconds, count = statistics.median(times[WARM_STEPS:]), statistics.mean(counted)
    trained = sum(p.numel() for p in setup.trained.values())
    return {
        "seconds_per_step": seconds,
        "seconds": time.monotonic() - began,
        "tokens_per_step": count,
        "characters_per_step": count * per_token,
        "tokens_per_second": count / seconds,
        "peak_rss_bytes": round(world.totals([peak_memory()])[0]),
        "checkpoint_bytes": 12 * trained,
        "parameters": sum(p.numel() for p in setup.model.parameters()),
        "trained_parameters": trained,
        "precision": "bf16" if setup.bf16 else "fp32",
        "threads": torch.get_num_threads(),
        "processes": world.size,
        "device": str(setup.device),
    }


def steps_in_text(
    tokenizer_dir: Path, text: Path, options: Pretrain, seed: int, progress: Progress | None = None
) -> int:
    """Count the optimiser steps of a budget in tokens or epochs, by packing the text without training on it.

    Args:
        tokenizer_dir: as for `pretrain`.
        text: as for `pretrain`; all of it is tokenised.
        options: settings of the training, with `tokens` or `epochs`.
        seed: seed of the order that lines are packed in.
        progress: as for `measure`.

    Returns:
        The steps, at least 1. Of a text of more than `COUNTED_WINDOWS` windows those are taken for all.
    """
    import tempfile

    tokenizer = load_tokenizer(tokenizer_dir)
    with tempfile.TemporaryDirectory() as temporary:
        tokens = tokenise(text, tokenizer, Path(temporary), progress=progress)
        stream = stream_of(tokens, Symbols.of(tokenizer), options, seed)
        rows = max(1, options.batch_tokens // options.sequence_length)
        at_once = 1 if options.packing else rows  # rows that are not packed come by the step
        steps, inside = 0.0, 0
        while True:
            blocks = stream.take(at_once)
            if stream.epoch or stream.window >= COUNTED_WINDOWS:
                break
            steps, inside = steps + at_once / rows, inside + int(blocks.attention.sum())
        tokens.release()  # lets go of the memory-mapped files before the folder goes
    if options.epochs is not None:
        return max(1, math.ceil(options.epochs * steps * stream.windows / min(stream.windows, COUNTED_WINDOWS)))
    return max(1, math.ceil((options.tokens or 0) * steps / inside))


def estimated_steps(options: Pretrain, measured: Mapping[str, Any], characters: float, spent: float = 0.0) -> int:
    """Turn any budget into steps, from a measurement.

    Args:
        options: settings of the training.
        measured: what `measure` gave.
        characters: of the text, for a budget in epochs.
        spent: seconds of a budget in minutes that are gone already.

    Returns:
        The steps; below 1 when the minutes do not reach.
    """
    if options.steps is not None:
        return options.steps
    if options.tokens is not None:
        return math.ceil(options.tokens / measured["tokens_per_step"])
    if options.epochs is not None:
        return math.ceil(options.epochs * characters / measured["characters_per_step"])
    return int(((options.minutes or 0) * 60 - spent) / measured["seconds_per_step"])


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    import sys

    import psutil

    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
