"""Vocabulary transplant: give a model a new vocabulary, its rows made from the old ones.

`vocab.transplant(source, target)` is the call; each method is one file of this folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lexigraft import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from vocab.transplant.graft import Graft
    from vocab.vectors.evidence import Evidence
    from vocab.view import Vocabulary

Progress = Callable[[float, float, dict[str, Any]], None]


def transplant(
    source: Any,
    target: Any,
    *,
    method: str | None = None,
    vectors: Any = None,
    source_vectors: Any = None,
    dictionary: Any = None,
    parallel: Any = None,
    helper: Any = None,
    texts: Any = None,
    seed: int = 0,
    options: Any = None,
    source_tokenizer: Any = None,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Graft:
    """Give a model a new vocabulary.

    Args:
        source: folder, hub id or model (a model given is not changed: the graft gets a copy).
        target: the new tokenizer: an object, a folder, a file or a hub id.
        method: a method's name (as published, with its own fallback), a chain (`focus -> subwords -> mean`), or None:
            focus on counts and characters with the norm restored, then old pieces, then the mean.
        vectors: evidence about the target's tokens: an array (target vocabulary, k), what `vocab.token_vectors`
            returns, or a kind of it to be made from `texts`.
        source_vectors: the same for the source's tokens, for methods that compare across vocabularies.
        dictionary: bilingual dictionary, for methods that use one.
        parallel: parallel text, for methods that use it.
        helper: a small model with the target's tokenizer, for methods that use one.
        texts: paths or a re-iterable of lines in the language: evidence and the report's frequencies come from them.
        seed: seed of everything drawn.
        options: options by method name.
        source_tokenizer: where the source's tokenizer is, if not beside the model.
        trust_remote_code: run code that comes with the source model.
        progress: called as (steps done, steps in all, {"step": what}).

    Returns:
        The graft: model, tokenizer, mixture, report.

    Raises:
        InputError: something given does not fit; see the message.
    """
    from vocab.tokenizer.load import load_tokenizer
    from vocab.tokenizer.texts import Lines
    from vocab.transplant import chain, report
    from vocab.transplant.apply import matrices_of, put_on
    from vocab.transplant.graft import Graft
    from vocab.transplant.method import Problem
    from vocab.view import Vocabulary

    clock = _Clock(progress)
    links = chain.parse(method)
    settings = chain.options_of(links, options, default=method is None)
    texts = None if texts is None else Lines(texts)
    clock("loading")
    tokenizer = load_tokenizer(target)
    model, old = _source(source, source_tokenizer, trust_remote_code)
    new = Vocabulary.of(tokenizer)
    before = matrices_of(model, old)
    clock("evidence")
    notes: list[str] = []
    evidence = _evidence(links, method, vectors, texts, new, seed, notes)
    given = {"dictionary": dictionary, "parallel": parallel, "helper": helper, "texts": texts}
    problem = Problem(old, new, before, evidence, source_vectors, seed, given, notes=notes)
    clock("mixing")
    mixture = chain.run(problem, links, settings)
    clock("applying")
    notes += put_on(model, mixture, old, new)
    clock("reporting")
    figures = report.facts(
        mixture, old, new, before, matrices_of(model, new),
        chain=links, frequency=_frequency(evidence, new, texts), evidence=evidence.kind if evidence else "none",
        notes=notes,
    )  # fmt: skip
    figures["seed"] = seed
    figures["seconds"] = clock.stop()
    return Graft(model, tokenizer, mixture, figures)


class _Clock:
    """Times the steps and tells of them."""

    def __init__(self, progress: Progress | None, total: int = 5) -> None:
        self.progress, self.total, self.seconds = progress, total, dict[str, float]()
        self.step, self.since = "", time.perf_counter()

    def __call__(self, step: str) -> None:
        self.stop()
        self.step = step
        if self.progress is not None:
            self.progress(len(self.seconds), self.total, {"step": step})

    def stop(self) -> dict[str, float]:
        now = time.perf_counter()
        if self.step:
            self.seconds[self.step] = round(now - self.since, 3)
        self.since = now
        return self.seconds


def _source(source: Any, tokenizer: Any, trust_remote_code: bool) -> tuple[PreTrainedModel, Vocabulary]:
    """Load the source model and view its vocabulary."""
    import copy
    from pathlib import Path

    from vocab.tokenizer.load import load_tokenizer
    from vocab.transplant.load import load_model
    from vocab.view import Vocabulary

    if isinstance(source, str | Path):
        model = load_model(source, trust_remote_code=trust_remote_code)
        return model, Vocabulary.of(load_tokenizer(source if tokenizer is None else tokenizer))
    if not hasattr(source, "get_input_embeddings"):
        raise InputError("this is no model", found=type(source).__name__, expected="a folder, a hub id or a model")
    where = tokenizer if tokenizer is not None else getattr(source, "name_or_path", "")
    if not where:
        raise InputError(
            "the source model does not say where its tokenizer is", expected="source_tokenizer=: folder or tokenizer"
        )
    return copy.deepcopy(source), Vocabulary.of(load_tokenizer(where))


def _evidence(
    links: tuple[str, ...], method: str | None, vectors: Any, texts: Any, new: Vocabulary, seed: int, notes: list[str]
) -> Evidence | None:
    """Take the vectors given, or make those that the chain needs."""
    from vocab.transplant.method import METHODS
    from vocab.vectors import KINDS, token_vectors
    from vocab.vectors.evidence import Evidence

    if vectors is not None and not isinstance(vectors, str):
        return Evidence.of(vectors, len(new))
    if not any("vectors" in METHODS[link].needs for link in links):
        return None
    if vectors is None:
        vectors = "counts+characters" if method is None else "fasttext"
    if vectors not in KINDS:
        raise InputError(f"unknown kind of vectors {vectors!r}", expected=f"an array or one of {', '.join(KINDS)}")
    if texts is None and method is None and vectors == "counts+characters":
        notes.append("no text was given: tokens were compared by their characters alone")
        vectors = "characters"
    if texts is None and vectors != "characters":
        raise InputError(
            f"{links[0]} needs vectors, or text to make them from", expected="vectors=... or texts=...",
        )  # fmt: skip
    return token_vectors(new, texts, vectors, seed=seed)


def _frequency(evidence: Evidence | None, new: Vocabulary, texts: Any) -> Any:
    """How often the text shows each new token, or None without text."""
    if evidence is not None and evidence.frequency is not None:
        return evidence.frequency
    if texts is None:
        return None
    import numpy as np

    from vocab.vectors.counts import encode

    return np.bincount(encode(new, texts)[0], minlength=len(new))
