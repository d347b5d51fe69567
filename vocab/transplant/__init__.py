"""Vocabulary transplant: give a model a new vocabulary, its rows made from the old ones.

`vocab.transplant(source, target)` is the call; each method is one file of this folder. `vocab.transplant.forecast` says
before any of it how near methods come to rows that are hidden from them, `vocab.transplant.apply_mixture` puts the rows
of one transplant on another checkpoint, `vocab.transplant.check` looks a model over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from lexigraft import InputError
from vocab.device import DeviceName, by_device, here, told

if TYPE_CHECKING:
    from vocab.mixture import Mixture
    from vocab.transplant.graft import Graft
    from vocab.transplant.setting import Setting
    from vocab.transplant.start import Asked

Progress = Callable[[float, float, dict[str, Any]], None]
AUTO = "auto"
_CALLS = {"apply_mixture": "reuse", "check": "checking", "forecast": "forecasting"}


@by_device
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
    edits: Any = None,
    texts: Any = None,
    seed: int = 0,
    options: Any = None,
    source_tokenizer: Any = None,
    trust_remote_code: bool = False,
    bias: Literal["frequency", "mixed"] | None = None,
    score: Any = True,
    device: DeviceName | None = "auto",
    progress: Progress | None = None,
) -> Graft:
    """Give a model a new vocabulary.

    Args:
        source: folder, hub id or model (a model given is not changed: the graft gets a copy).
        target: the new tokenizer: an object, a folder, a file or a hub id.
        method: a method's name (as published, with its own fallback), a chain (`focus -> subwords -> mean`), `auto`
            (what a short training of a shrunken model, or else a forecast, says is best; see `auto.AutoOptions`), or
            None: focus on counts and characters with the norm restored, then old pieces, then the mean.
        vectors: evidence about the target's tokens: an array (target vocabulary, k), what `vocab.token_vectors`
            returns, a kind of it to be made from `texts`, or a file of word vectors.
        source_vectors: the same for the source's tokens, for methods that compare across vocabularies.
        dictionary: bilingual dictionary, for methods that use one.
        parallel: parallel text, for methods that use it.
        helper: a small model with the target's tokenizer, for methods that use one.
        edits: rows written by hand, put in place of what the method made; see `Mixture.edit`.
        texts: paths or a re-iterable of lines in the language: evidence and the report's frequencies come from them.
        seed: seed of everything drawn.
        options: options by method name, and those of `auto`.
        source_tokenizer: where the source's tokenizer is, if not beside the model.
        trust_remote_code: run code that comes with the source model.
        bias: the output bias, where the model has one: `mixed` as the rows are (as published), or by `frequency`:
            shifted after that until the model predicts each token as often as the texts show it (see `prior`; it loads
            the whole model). None means frequency for the default chain and `auto`, mixed where a method is named.
        score: put into the report how well source, copy + random and graft write the language before any training, on
            words of the texts, or of the held-out texts given here; False leaves it out. It loads the whole model.
        device: what similarities, factorisations and models are computed on: `auto` (CUDA where it is, else numpy),
            `cuda` or `cpu` (torch there), or None (numpy). The report says which. Rows differ by rounding only.
        progress: called as (steps done, steps in all, {"step": what, "device": name}); `notice` in what is for people
            to read.

    Returns:
        The graft: model, tokenizer, mixture, report.

    Raises:
        InputError: something given does not fit; see the message.
    """
    from vocab.memory import give_back
    from vocab.mixture_join import read_edits
    from vocab.transplant import auto, chain
    from vocab.transplant.prior import with_prior
    from vocab.transplant.setting import Setting
    from vocab.transplant.start import words_asked

    if bias not in (None, "frequency", "mixed"):
        raise InputError("unknown way to make the output bias", found=repr(bias), expected="frequency or mixed")
    if bias == "frequency" and texts is None:
        raise InputError("an output bias by frequency needs text that shows it", expected="texts=..., or bias mixed")
    by_frequency = bias == "frequency" or (bias is None and method in (None, AUTO))
    clock = Clock(progress, 5 + (method == AUTO) + by_frequency + (score is not False))
    links = chain.parse(None if method == AUTO else method)
    settings = chain.options_of(links, options, default=method is None, strict=method != AUTO)
    own = auto.options_of(options) if method == AUTO else None
    written = {} if edits is None else read_edits(edits)
    clock("loading")
    setting = Setting.of(
        source, target, vectors=vectors, source_vectors=source_vectors, dictionary=dictionary, parallel=parallel,
        helper=helper, texts=texts, seed=seed, source_tokenizer=source_tokenizer, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    chosen = None
    if own is None:
        evidence_given = {"vectors": vectors, "source_vectors": source_vectors, "dictionary": dictionary}
        for name in chain.unused(links, {**evidence_given, "helper": helper}):
            setting.notes.append(f"{name} was given, and nothing in {' -> '.join(links)} looks at it")
    if own is not None:
        clock("choosing")
        chosen = auto.choose(setting, own, options, by_frequency=by_frequency, progress=clock.part)
        links, settings = chosen.links, chosen.options
    clock("evidence")
    problem = setting.problem(links, default=method in (None, AUTO))
    clock("mixing")
    made = chosen.mixture if chosen is not None else None
    mixture = (chain.run(problem, links, settings) if made is None else made).edit(written)
    evidence = problem.vectors.kind if problem.vectors else "none"
    # What nothing needs any more makes room for the model's body.
    del problem
    setting.drop_evidence()
    asked = words_asked(setting, score)
    facts: dict[str, Any] = {} if chosen is None else {"auto": chosen.facts}
    if by_frequency:
        clock("bias")
        mixture, facts["output_bias"] = with_prior(setting, mixture, asked_for=bias == "frequency")
        give_back()
    return finish(setting, mixture, links, clock, evidence=evidence, asked=asked, facts=facts)


def __getattr__(name: str) -> Any:
    """Import `forecast` and the other calls about transplants when they are first asked for."""
    if name in _CALLS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_CALLS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def finish(
    setting: Setting, mixture: Mixture, links: tuple[str, ...], clock: Clock, *, evidence: str,
    asked: Asked | str | None, facts: dict[str, Any],
) -> Graft:  # fmt: skip
    """Put a mixture on the model that a setting holds, look at what came of it, and report.

    Args:
        setting: what the transplant starts from; its carrier gets the rows.
        mixture: how the rows are made.
        links: the methods, for the report.
        clock: tells of the steps that are left: applying, scoring if asked for, reporting.
        evidence: what tokens were compared by.
        asked: words that models are scored on before training, or why they cannot be; None: they are not to be.
        facts: what the report holds besides.

    Returns:
        The graft.
    """
    from vocab.transplant import report
    from vocab.transplant.apply import matrices_of, put_on
    from vocab.transplant.graft import Graft
    from vocab.transplant.sentences import retrieval
    from vocab.transplant.start import before_training

    measured = dict(facts)
    if names := [file.stem.removeprefix("adapter-") for file in setting.carrier.adapters]:
        setting.notes.append(
            f"adapters go along as they are ({', '.join(names)}); what is measured here is without them"
        )
    if asked is not None:
        clock("scoring")
        measured["before_training"] = before_training(setting, mixture, " -> ".join(links), asked)
        measured["retrieval"] = retrieval(setting, mixture)
    clock("applying")
    setting.drop_old_tokenizer()
    setting.notes += put_on(setting.carrier.model, mixture, setting.old, setting.new)
    clock("reporting")
    place = here()
    setting.notes += place.notes if place is not None else []
    figures = report.facts(
        mixture, setting.old, setting.new, setting.matrices, matrices_of(setting.carrier.model, setting.new),
        chain=links, frequency=setting.frequency, evidence=evidence, notes=list(dict.fromkeys(setting.notes)),
    )  # fmt: skip
    figures |= {name: found for name, found in measured.items() if found is not None}
    return Graft(setting, mixture, {**figures, "device": told(), "seed": setting.seed, "seconds": clock.stop()})


class Clock:
    """Times the steps and tells of them."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.seconds = progress, total, dict[str, float]()
        self.step, self.since, self.device = "", time.perf_counter(), told()

    def __call__(self, step: str) -> None:
        """Begin a step."""
        self.stop()
        self.step = step
        if self.progress is not None:
            self.progress(len(self.seconds), self.total, {"step": step, "device": self.device})

    def part(self, done: float, total: float, facts: dict[str, Any]) -> None:
        """Tell how far the step is that is going on."""
        if self.progress is not None:
            self.progress(len(self.seconds) + done / max(total, 1), self.total, {"step": self.step, **facts})

    def stop(self) -> dict[str, float]:
        """End the step that is going on; says what each took, in seconds."""
        now = time.perf_counter()
        if self.step:
            self.seconds[self.step] = round(now - self.since, 3)
        self.since = now
        return self.seconds
