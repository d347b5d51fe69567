"""Give the new vocabulary its embeddings: the mixture, and the model that carries it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.events import Report
from adapt.graph import Context, Stage
from adapt.stages.source import source_files, tokenizer_folder
from vocab.device import DeviceName
from vocab.vectors import KINDS


def stage(config: RunConfig, source: Path) -> Stage:
    """Return the transplant stage of a run."""
    given = config.transplant
    vectors = None if given.vectors in (None, *KINDS) else Path(given.vectors)
    files = (given.dictionary, given.edits, given.source_vectors, vectors, *given.parallel)
    extra = tuple(file for file in files if file)
    options = given.model_dump(mode="json", exclude={"dictionary", "edits", "source_vectors", "parallel"})
    options["device"] = device_of(config)
    return Stage("transplant", work, ("corpus", "tokenizer"), options, (*source_files(config.source, source), *extra))


def device_of(config: RunConfig) -> DeviceName | None:
    """Say what `vocab.transplant` computes on: as asked for there, or the run's device; numpy where that is no GPU."""
    if config.transplant.device is not None:
        return config.transplant.device
    return config.device if config.device in ("auto", "cuda") else None


def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
    """Write `model/`, `mixture.safetensors` and the transplant's report."""
    import vocab

    options = context.config.transplant
    began = time.monotonic()
    graft = vocab.transplant(
        context.source,
        context.path("tokenizer"),
        method=options.method,
        vectors=options.vectors,
        source_vectors=options.source_vectors,
        dictionary=options.dictionary,
        parallel=options.parallel or None,
        helper=options.helper,
        edits=options.edits,
        bias=options.bias,
        texts=[context.path("corpus") / "train.txt"],
        seed=context.config.seed,
        options=options.options,
        source_tokenizer=tokenizer_folder(context.config.source, context.source),
        trust_remote_code=context.config.source.trust_remote_code,
        score=[context.path("corpus") / "heldout.txt"],
        device=device_of(context.config),
        progress=report,
    )
    graft.save(folder / "model")
    # The adapted arm pays for its rows in training time; looking at them is measuring, which no arm pays for.
    seconds = time.monotonic() - began - graft.report["seconds"].get("scoring", 0.0)
    return {"rows": graft.report["rows"], "device": graft.report["device"], "seconds": round(seconds, 2)}
