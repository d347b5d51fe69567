"""Choose a method among those whose needs are met, and say why: by a short training, or else by forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from lexigraft import InputError
from vocab.transplant import AUTO, Progress, chain
from vocab.transplant.forecasting import DEFAULT, Candidate, compare, of_setting, runnable
from vocab.transplant.method import METHODS
from vocab.transplant.setting import DEFAULT_EVIDENCE, WITHOUT_TEXT
from vocab.transplant.start import cannot_be_scored
from vocab.transplant.trial import TrialOptions, trial

if TYPE_CHECKING:
    from pandas import DataFrame

    from vocab.mixture import Mixture
    from vocab.options import Options
    from vocab.transplant.setting import Setting

MEASURE = "cosine"  # it orders methods as training does better than ranks do: docs/forecast.md
MOST = 1000  # hidden tokens a draw: enough to tell methods apart that are worth telling apart
# They do not look at the token that a row is for: floors, which a trial would only measure.
FLOORS = frozenset({"copy", "mean", "multivariate", "random", "reinit"})


class AutoOptions(TrialOptions):
    """How `auto` chooses."""

    by: Literal["trial", "forecast"] | None = None
    """trial: a shrunken model is trained on each method's rows; forecast: shared tokens are hidden and their rows made;
    nothing: a trial where the source has a language-modelling head and there is text, else a forecast."""
    margin: float = Field(0.03, ge=0)
    """Nats a token by which a method must be ahead of the default chain in the trial, beyond what held-out tokens and
    seeds change."""
    seeds: int = Field(2, ge=1)
    """Trials, each with text, batches and hidden words of its own; after the first one only of the default chain and of
    what was ahead of it by the margin, since nothing else could take its place."""
    forecast: bool = False
    """Forecast all methods for the report, also where a trial decides."""


@dataclass(frozen=True)
class Choice:
    """What `auto` stands for in one transplant.

    Attributes:
        links: the chain.
        options: its options.
        facts: why, the figures, and what could not run, for the report.
        mixture: its rows, where they were made to choose.
    """

    links: tuple[str, ...]
    options: dict[str, Options]
    facts: dict[str, Any]
    mixture: Mixture | None = None


def options_of(given: Any) -> AutoOptions:
    """Take `auto`'s own options out of the options by method.

    Raises:
        InputError: they are not known.
    """
    value = getattr(given, AUTO, {}) if isinstance(given, BaseModel) else (given or {}).get(AUTO, {})
    try:
        return value if isinstance(value, AutoOptions) else AutoOptions.model_validate(value)
    except ValidationError as error:
        raise InputError(f"options of {AUTO}: {error.errors()[0]['msg']}", found=repr(value)) from None


def choose(
    setting: Setting,
    own: AutoOptions,
    options: Any = None,
    *,
    by_frequency: bool = False,
    progress: Progress | None = None,
) -> Choice:
    """Try every method that can run and take the best; the default chain where none is ahead of it beyond noise.

    All methods are given the same evidence: what the caller gave, or counts and characters (characters alone without
    text).

    Args:
        setting: what the transplant starts from.
        own: how to choose.
        options: options by method name.
        by_frequency: the output bias will be shifted to the tokens' frequencies, so a trial does it too.
        progress: told how far it is, and for each trial of a `notice`: how long it will take.

    Raises:
        InputError: a trial is not possible, and there are too few shared tokens for a forecast.
    """
    vectors = setting.vectors if setting.vectors is not None else DEFAULT_EVIDENCE
    if setting.texts is None and setting.vectors is None:
        vectors = WITHOUT_TEXT
    names = [name for name in runnable(setting) if name not in FLOORS]
    candidates = {name: Candidate(None if name == DEFAULT else name, vectors, options) for name in names}
    refused: dict[str, str] = {}
    facts: dict[str, Any] = {}
    made: dict[str, Mixture] = {}
    told: dict[str, list[str]] = {}
    table = None
    found: list[dict[str, np.ndarray]] = []
    if own.by != "forecast":
        try:
            made = _made(setting, candidates, refused, told)
            found = _trials(setting, made, own, by_frequency, progress)
        except InputError as error:
            if own.by == "trial":
                raise
            setting.notes.append(f"no trial: {error}")
    quiet = replace(setting, notes=[])  # what is said of hidden tokens is not said of the transplant
    if not found:
        table = of_setting(quiet, candidates, most=MOST, refused=refused, progress=progress)
        lead = _by_forecast(table)
    else:
        lead = _by_trial(found, own.margin)
        first, *again = ({name: round(float(nats.mean()), 4) for name, nats in one.items()} for one in found)
        facts["trial"] = {"layers": own.layers, "steps": own.steps, "tokens": len(found[0][DEFAULT]),
                          "bias": "frequency" if by_frequency else "mixed", "loss": first, "again": again}  # fmt: skip
        if own.forecast:
            try:
                table = of_setting(quiet, candidates, most=MOST, refused=refused, progress=progress)
            except InputError as error:
                setting.notes.append(f"no forecast: {error}")
    if table is not None:
        shown = ["mrr", "mrr_low", "mrr_high", "first", "cosine", "cosine_low", "cosine_high", "seconds"]
        facts["forecast"] = table[shown].astype(float).round(4).to_dict("index")
    method = None if lead.kept else lead.best
    links = chain.parse(method)
    needs = {m.name: f"needs {' and '.join(sorted(m.needs))}" for m in METHODS if m.name not in {*names, *FLOORS}}
    facts |= {"by": "trial" if found else "forecast", "method": " -> ".join(links),
              "why": lead.told(len(names) - len(refused)), "not_run": needs | refused}  # fmt: skip
    taken = DEFAULT if method is None else method
    setting.notes += told.get(taken, [])
    return Choice(links, chain.options_of(links, options, default=method is None), facts, made.get(taken))


@dataclass(frozen=True)
class _Lead:
    """The best method, and why.

    Attributes:
        best: its name.
        gap: by how much it is ahead of the default chain, from and to.
        unit: of the gap.
        least: a lead that is asked for.
        each: the lead with each seed.
        beside: methods that are as good.
    """

    best: str
    gap: tuple[float, float, float]
    unit: str
    least: float = 0.0
    each: tuple[float, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether the default chain is kept."""
        return self.best == DEFAULT or not self.gap[1] > self.least  # nor where nothing can be said: nan

    def told(self, tried: int) -> str:
        """Say why."""
        if self.best == DEFAULT:
            return f"No method that can run is ahead of the default chain ({tried} tried)."
        gap, low, high = self.gap
        ahead = f"{gap:+.3f} {self.unit}, 95 % interval {low:+.3f} to {high:+.3f}"
        if len(self.each) > 1:
            seeds = " and ".join(f"{lead:+.3f}" for lead in self.each)
            ahead = f"{gap:+.3f} {self.unit}, by seed {seeds}; {low:+.3f} to {high:+.3f} allowing for tokens and seeds"
        if not self.kept:
            alike = f" Not told apart from it: {', '.join(self.beside)}, which need no less." if self.beside else ""
            return f"{self.best} is ahead of the default chain: {ahead}.{alike}"
        asked = f"{ahead}; {self.least:.3f} asked for"
        return f"{self.best} is not ahead of the default chain by enough ({asked}): the default is kept."


def _trials(
    setting: Setting, made: dict[str, Mixture], own: AutoOptions, by_frequency: bool, progress: Progress | None
) -> list[dict[str, np.ndarray]]:
    """Run a trial a seed, the later ones with what can still take the default chain's place; nats a token, by name."""
    found: list[dict[str, np.ndarray]] = []
    rows = made
    for number in range(own.seeds):
        drawn = replace(setting, seed=setting.seed + number, notes=[])

        def tell(done: float, total: float, facts: dict[str, Any], number: int = number) -> None:
            if progress is not None:
                progress(number + done / total, own.seeds, facts)

        found.append(trial(drawn, rows, own, by_frequency=by_frequency, progress=tell))
        level = found[-1][DEFAULT].mean() - own.margin
        rows = {name: rows[name] for name, nats in found[-1].items() if name == DEFAULT or nats.mean() < level}
        if len(rows) == 1:
            break
    return found


def _by_trial(found: list[dict[str, np.ndarray]], margin: float) -> _Lead:
    """Take what saves most, over the seeds; among methods that cannot be told from it, what needs least."""
    tried = list(found[-1])  # all seeds know these
    saved = {name: _saved(found, name, DEFAULT) for name in tried}
    best = max(tried, key=lambda name: np.nan_to_num(saved[name][0][0], nan=-np.inf))
    alike = [name for name in tried if saved[name][0][1] > margin and not _saved(found, best, name)[0][1] > 0]
    needs = {name: len(METHODS[name].needs - {"texts", "vectors"}) for name in alike}
    chosen = min(alike, key=lambda name: (needs[name], -saved[name][0][0]), default=best)
    gap, each = saved[chosen]
    beside = tuple(name for name in alike if name != chosen)
    return _Lead(chosen, gap, "nats a held-out token saved", margin, each, beside)


def _saved(
    found: list[dict[str, np.ndarray]], name: str, other: str
) -> tuple[tuple[float, float, float], tuple[float, ...]]:
    """Nats a token that one method saves on another: the mean over seeds, from and to; and each seed's.

    It may be off by what the tokens leave open (95 %, paired), or by as much as the seeds differ.
    """
    gaps = [one[other] - one[name] for one in found]
    each = [float(gap.mean()) for gap in gaps]
    tokens = 1.96 * float(np.sqrt(sum(gap.var() / len(gap) for gap in gaps))) / len(gaps)
    mean, reach = float(np.mean(each)), max(tokens, max(each) - min(each))
    return (mean, mean - reach, mean + reach), tuple(each)


def _by_forecast(table: DataFrame) -> _Lead:
    """Take the highest cosine."""
    best = str(table[MEASURE].idxmax())
    return _Lead(best, compare(table, best, DEFAULT, MEASURE), f"{MEASURE} on hidden shared tokens")


def _made(
    setting: Setting, candidates: Mapping[str, Candidate], refused: dict[str, str], told: dict[str, list[str]]
) -> dict[str, Mixture]:
    """Make every candidate's rows; one that cannot use what was given is left out, and in `refused` is told why.

    What is to be said of its rows goes into `told`, since only one of them will be taken.

    Raises:
        InputError: the model has no language-modelling head, or there is no text: rows would be made for nothing.
    """
    if why := cannot_be_scored(setting):
        raise InputError(why.rstrip("."))
    if setting.texts is None:
        raise InputError("no text was given")
    made = {}
    for name, candidate in candidates.items():
        own = replace(setting, notes=told.setdefault(name, []))
        try:
            made[name] = own.mixture(candidate.method, options=candidate.options, vectors=candidate.vectors)
        except InputError as error:
            refused[name] = str(error)
    return made
