"""Text in, clean training text and held-out text out; nothing of a test set stays in it.

Text of other languages is cleaned in the same way, and lines are selected where that is asked for.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.evaluate.task import TASKS, TaskFiles
from adapt.events import Report
from adapt.files import write_atomic, write_json
from adapt.graph import Context, Stage
from adapt.pretrain.texts import Beside
from adapt.pretrain.triples import read_triples


def protected(config: RunConfig) -> dict[str, Path]:
    """Dev and test files of the tasks by name (`pos test`): their text must not be trained on."""
    chosen = {task.name: getattr(config.evaluate.tasks, task.name, None) for task in TASKS}
    return {
        f"{name} {part}": path
        for name, files in chosen.items()
        if isinstance(files, TaskFiles)
        for part, path in (("dev", files.dev), ("test", files.test))
        if path
    }


def _texts(config: RunConfig) -> dict[str, list[Path]]:
    """Return the files that the stage reads, by what they are for."""
    corpus = config.corpus
    return {
        "text": corpus.text,
        "heldout": [corpus.heldout] if corpus.heldout else [],
        "source": corpus.source_text,
        **{f"other {name}": files for name, files in corpus.others.items()},
        "triples": [corpus.triples] if corpus.triples else [],
        "like": config.like,
        **{f"protected {name}": [path] for name, path in protected(config).items()},
    }


def stage(config: RunConfig) -> Stage:
    """Return the corpus stage of a run."""
    texts = _texts(config)
    return Stage(
        "corpus",
        work,
        options={
            **config.corpus.model_dump(mode="json", include={"heldout_share", "heldout_lines", "max_characters"}),
            "select": config.corpus.select.model_dump(mode="json", exclude={"like"}),
            "texts": {name: len(files) for name, files in texts.items()},
        },
        files=tuple(file for files in texts.values() for file in files),
        version=3,
    )


def beside(config: RunConfig, folder: Path) -> Beside:
    """Return the texts beside the language's own that a finished corpus stage and the run's settings offer."""
    corpus = config.corpus
    return Beside(
        source=folder / "source-train.txt" if corpus.source_text else None,
        source_heldout=folder / "source-heldout.txt" if corpus.source_text else None,
        dictionary=config.transplant.dictionary if config.pretrain.mix.code_switch.words else None,
        triples=folder / "triples.tsv" if corpus.triples else None,
        others={name: folder / f"other-{name}.txt" for name in corpus.others},
    )


def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
    """Write `train.txt`, `heldout.txt`, what `beside` names, and `facts.json`."""
    from adapt.selection.criterion import Evidence
    from adapt.selection.select import select
    from corpora.clean import count_text, prepare
    from corpora.tasks import read_sentences

    config = context.config
    corpus, texts = config.corpus, beside(config, folder)
    protect = {name: read_sentences(path) for name, path in protected(config).items()}
    clean = partial(prepare, heldout_lines=corpus.heldout_lines, protect=protect, seed=config.seed, progress=report)
    facts = clean(
        corpus.text, folder, heldout=corpus.heldout, share=corpus.heldout_share, max_characters=corpus.max_characters
    )
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        part = Path(temporary)
        if texts.source and texts.source_heldout:
            facts["source"] = clean(corpus.source_text, part, share=corpus.heldout_share)
            os.replace(part / "train.txt", texts.source)
            os.replace(part / "heldout.txt", texts.source_heldout)
        for name, path in texts.others.items():
            facts.setdefault("others", {})[name] = clean(corpus.others[name], part, heldout=folder / "heldout.txt")
            os.replace(part / "train.txt", path)
    if texts.triples and corpus.triples:
        triples = read_triples(corpus.triples)
        write_atomic(texts.triples, "".join("\t".join(triple) + "\n" for triple in triples))
        facts["triples"] = len(triples)
    if corpus.select.wanted:
        like = tuple(sentence for path in config.like for sentence in read_sentences(path))
        foreign = (*([texts.source] if texts.source else []), *texts.others.values())
        facts["selection"] = select(Evidence(folder / "train.txt", like, foreign), corpus.select)
        facts["train"] = count_text(folder / "train.txt")
    write_json(folder / "facts.json", facts)
    return facts
