"""Say what a run will take on this machine, from a few measured steps, and refuse what cannot fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from adapt.config import RunConfig
from adapt.evaluate.task import TASKS, TaskFiles
from adapt.events import clock
from adapt.files import digest_of, read_json, write_json
from adapt.graph import Context
from adapt.pretrain.options import BUDGETS
from adapt.pretrain.selective import Selective
from adapt.stages.source import tokenizer_folder
from lexigraft import InputError

# Measured for the shapes this is used with: a forward pass costs about a third of a training step on the same tokens.
_FORWARD_SHARE = 1 / 3
_PIECES_A_WORD, _CONTEXT = 2.5, 64
_CHARACTERS_A_TOKEN = 3.0
_CHARACTERS_AN_EXAMPLE = 100


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take.

    Attributes:
        pretrain_seconds: training of all arms.
        evaluate_seconds: all tasks of all arms.
        other_seconds: corpus, tokenizer, transplant, report.
        memory_bytes: peak memory of all processes that train.
        disk_bytes: size of the finished run folder and its checkpoints.
        steps: optimiser steps an arm (of the unchanged vocabulary).
    """

    pretrain_seconds: float
    evaluate_seconds: float
    other_seconds: float
    memory_bytes: float
    disk_bytes: float
    steps: int

    @property
    def seconds(self) -> float:
        """Whole time, in seconds."""
        return self.pretrain_seconds + self.evaluate_seconds + self.other_seconds


def estimate(context: Context) -> Estimate:
    """Measure a few training steps of the source model on the given text and add up the rest.

    The measurement is kept in the run folder, so that neither a resumed run nor one beside it that trains alike repeats
    it.
    """
    from adapt.pretrain.measure import estimated_steps, measure

    config, path = context.config, context.folder / "preflight.json"
    key = _measured_by(context)
    known = (read_json(file) or {} for file in (path, *sorted(context.folder.parent.glob("*/preflight.json"))))
    before = next((found for found in known if found.get("settings") == key), None)
    if before is None:
        words = tokenizer_folder(config.source, context.source)
        with context.events.progress("preflight") as report:
            # A reference model has the vocabulary of the arms, which is not always the source's.
            options = config.pretrain.model_copy(update={"selective": Selective()})
            measured = measure(context.source, words, config.corpus.text[0], options, config.seed, progress=report)
        before = {"settings": key, "measured": measured}
    measured = before["measured"]
    trained = [arm for arm in config.arms if arm != "source"]
    if config.pretrain.selective.reference:
        measured = {**measured, "seconds_per_step": measured["seconds_per_step"] * (1 + 2 * _FORWARD_SHARE)}
    a_step = float(measured["seconds_per_step"])
    times, extra = _scratch(context, measured) if "scratch" in trained else (1.0, 0.0)
    # Evaluation has the cores of all processes that train, but a single GPU; fine-tuning one for each of its processes.
    on_gpu = measured["device"].startswith("cuda")
    a_token = a_step * (measured["processes"] if on_gpu else 1) / config.pretrain.batch_tokens * _FORWARD_SHARE
    size = sum(p.stat().st_size for p in config.corpus.text)
    steps = estimated_steps(config.pretrain, measured, min(size, config.corpus.max_characters or size))
    weights = sum(p.stat().st_size for p in context.source.glob("*.safetensors"))
    sizes = [_characters(files, config.evaluate.max_train, config.evaluate.max_test) for files in _task_files(context)]
    tasks = sum(_task_tokens(config, *one) for one in sizes) * a_token / (config.evaluate.processes if on_gpu else 1)
    scored = config.evaluate.lm_words * _PIECES_A_WORD * _CONTEXT * a_token
    cost = len(trained) if config.pretrain.minutes is not None else len(trained) + times - 1
    found = Estimate(
        pretrain_seconds=steps * a_step * cost,
        evaluate_seconds=tasks * len(config.arms) + scored * len(trained) + 30.0,
        other_seconds=20.0 + size / 2**20 * 8.0,
        memory_bytes=float(measured["peak_rss_bytes"])
        + (extra + sum(p.stat().st_size for p in config.pretrain.selective.files.values())) * measured["processes"],
        # weights of each trained arm, two checkpoints with two optimiser moments while training, the transplanted model
        disk_bytes=weights * (len(trained) + 1 + 2 * 3) + 50 * 2**20,
        steps=steps,
    )
    write_json(path, {**before, "estimate": asdict(found)})
    return found


def _measured_by(context: Context) -> str:
    """Digest of all that the measured steps depend on."""
    config = context.config
    pretrain = config.pretrain.model_dump(mode="json", exclude={*BUDGETS})
    source = [str(context.source), str(tokenizer_folder(config.source, context.source))]
    return digest_of([source, str(config.corpus.text[0]), pretrain, config.seed, config.threads, config.device])


def _scratch(context: Context, measured: dict[str, Any]) -> tuple[float, float]:
    """Cost of a step of the untrained model over one of the source's, and bytes it needs beyond those measured.

    Both by parameters: those that multiply every token, the body's; weights, gradient and two moments of all.
    """
    from adapt.pretrain.presets.preset import size
    from adapt.stages.scratch import chosen

    preset, shape = chosen(context.config, context.source)
    words = context.config.tokenizer.vocab_size
    whole, body = size(preset, shape, words if isinstance(words, int) else 16_000)
    known = json.loads((context.source / "config.json").read_text(encoding="utf-8"))
    rows = known.get("vocab_size", 0) * known.get("embedding_size", known.get("hidden_size", 0))
    there = max(1, measured["parameters"] - rows)
    return body / there, 16.0 * max(0, whole - measured["parameters"])


def refuse_bad_input(context: Context) -> None:
    """Read everything once that a later stage would refuse, before time is spent.

    Raises:
        InputError: a file is missing or not in its form; file and line are named.
    """
    from adapt.pretrain.model import objective_of
    from adapt.pretrain.triples import read_triples
    from adapt.stages.scratch import chosen
    from corpora.parallel import read_dictionary
    from corpora.text import read_lines
    from vocab.mixture_join import read_edits
    from vocab.transplant.translate import read_parallel
    from vocab.vectors import KINDS
    from vocab.vectors.words import WordFile
    from vocab.view import Vocabulary

    config = context.config
    corpus = config.corpus
    texts = [*corpus.text, *corpus.source_text, *(file for files in corpus.others.values() for file in files)]
    for file in [*texts, *([corpus.heldout] if corpus.heldout else []), *corpus.select.like]:
        for _ in read_lines(file):
            pass
    models = {
        "selective.reference": config.pretrain.selective.reference,
        "distil.teacher": config.pretrain.distil.teacher,
    }
    for name, folder in models.items():
        if folder and not (folder / "config.json").is_file():
            raise InputError(f"pretrain.{name}: not a model folder", file=folder, expected="config.json in it")
    if corpus.triples:
        read_triples(corpus.triples)
    transplant = config.transplant
    if transplant.dictionary:
        read_dictionary(transplant.dictionary)
    if transplant.edits:
        read_edits(transplant.edits)
    if transplant.parallel:
        read_parallel(transplant.parallel)
    for words in (transplant.vectors, transplant.source_vectors):
        if words is not None and words not in KINDS:
            WordFile(words)
    for task in TASKS:
        files = getattr(config.evaluate.tasks, task.name, None)
        if task.inspect is not None and isinstance(files, TaskFiles):
            task.inspect({part: path for part in ("train", "dev", "test") if (path := getattr(files, part))})
    words = tokenizer_folder(config.source, context.source)
    wanted = {config.pretrain.objective or objective_of(context.source)}
    if "scratch" in config.arms:
        wanted.add(chosen(config, context.source)[0].objective)
    if "mlm" in wanted and "mask" not in Vocabulary.of(words).roles:
        raise InputError(
            "the source's tokenizer has no mask token, which masked-language-model training needs",
            file=words,
            expected="a tokenizer with a mask token, or pretrain.objective=clm",
        )


def check(context: Context) -> Estimate:
    """Estimate, show, and refuse a run that cannot fit.

    Raises:
        InputError: bad input; or too little memory or disk, with both numbers.
    """
    refuse_bad_input(context)
    context.events.say("[dim]preflight: measuring a few training steps…[/]")
    found = estimate(context)
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(context.folder).free
    context.events.emit("notice", "preflight", message="estimate", facts=asdict(found))
    budget = f"{found.steps} steps an arm" if context.config.pretrain.steps else f"about {found.steps} steps an arm"
    context.events.say(
        f"preflight: about {clock(found.seconds)} in all if nothing is done yet "
        f"(pretraining {clock(found.pretrain_seconds)}, {budget}; evaluation {clock(found.evaluate_seconds)}), "
        f"memory {found.memory_bytes / 2**30:.1f} of {memory.total / 2**30:.0f} GB, "
        f"disk {found.disk_bytes / 2**30:.1f} of {disk / 2**30:.0f} GB free"
    )
    if found.memory_bytes > memory.total * 0.95:
        raise InputError(
            "this run does not fit into memory",
            found=f"{memory.total / 2**30:.1f} GB in this machine",
            expected=f"{found.memory_bytes / 2**30:.1f} GB; try a smaller pretrain.micro_batch_tokens or model",
        )
    if found.disk_bytes > disk:
        raise InputError(
            "this run does not fit on the disk",
            file=context.folder,
            found=f"{disk / 2**30:.1f} GB free",
            expected=f"{found.disk_bytes / 2**30:.1f} GB",
        )
    return found


def _task_tokens(config: RunConfig, train: float, rest: float) -> float:
    """Tokens of forward passes that a task with so many characters of training and of other text takes, all seeds."""
    from adapt.evaluate.finetune import epochs_of, looks_of

    if config.evaluate.mode == "probe":
        return (train + rest) / _CHARACTERS_A_TOKEN
    epochs = epochs_of(config.evaluate, max(1, round(train / _CHARACTERS_AN_EXAMPLE)))
    # A training step costs a token's forward pass threefold.
    passes = train * epochs / _FORWARD_SHARE + rest * len(looks_of(config.evaluate, epochs))
    return passes / _CHARACTERS_A_TOKEN * len(config.evaluate.seeds)


def _task_files(context: Context) -> list[TaskFiles]:
    found: list[Any] = [getattr(context.config.evaluate.tasks, task.name, None) for task in TASKS]
    return [files for files in found if isinstance(files, TaskFiles)]


def _characters(files: TaskFiles, max_train: int | None, max_test: int | None) -> tuple[float, float]:
    """Characters of a task's training file, and of the others; a limit on examples is taken as 100 characters each."""

    def size(path: Path | None, limit: int | None) -> float:
        there = path.stat().st_size if path is not None and path.is_file() else 0
        return float(min(there, (limit or 10**9) * _CHARACTERS_AN_EXAMPLE))

    return size(files.train, max_train), size(files.dev, max_test) + size(files.test, max_test)
