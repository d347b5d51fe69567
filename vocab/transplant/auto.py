"""Choose a method among those whose needs are met, and say why: by the model's own bits, or else by forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.transplant import chain
from vocab.transplant.forecasting import DEFAULT, Candidate, compare, of_setting, runnable
from vocab.transplant.method import METHODS
from vocab.transplant.setting import DEFAULT_EVIDENCE, WITHOUT_TEXT
from vocab.transplant.start import cannot_be_scored, score_rows

if TYPE_CHECKING:
    from vocab.options import Options
    from vocab.transplant.setting import Setting

MEASURE = "mrr"
MARGIN = 0.02  # of the default chain's bits: what a method must save for certain; training evens out less
MOST = 1000  # hidden tokens a draw: enough to tell methods apart that are worth telling apart
# They do not look at the token that a row is for: floors, which a forecast would only measure.
FLOORS = frozenset({"copy", "mean", "multivariate", "random", "reinit"})


@dataclass(frozen=True)
class Choice:
    """What `auto` stands for in one transplant.

    Attributes:
        links: the chain.
        options: its options.
        facts: why, the figures, and what could not run, for the report.
    """

    links: tuple[str, ...]
    options: dict[str, Options]
    facts: dict[str, Any]


def choose(setting: Setting, options: Any = None, *, score: Any = True) -> Choice:
    """Try every method that can run and take the best; the default chain where none is ahead of it beyond noise.

    A model that can be scored is asked itself, with each method's rows and before any training; for another the
    forecast on hidden shared tokens is all there is. All methods are given the same evidence: what the caller gave, or
    counts and characters (characters alone without text).

    Args:
        setting: what the transplant starts from.
        options: options by method name.
        score: whether models may be scored, and on what text; see `vocab.transplant`.

    Raises:
        InputError: the model cannot be scored, and there are too few shared tokens for a forecast.
    """
    vectors = setting.vectors if setting.vectors is not None else DEFAULT_EVIDENCE
    if setting.texts is None and setting.vectors is None:
        vectors = WITHOUT_TEXT
    names = [name for name in runnable(setting) if name not in FLOORS]
    candidates = {name: Candidate(None if name == DEFAULT else name, vectors, options) for name in names}
    refused: dict[str, str] = {}
    facts: dict[str, Any] = {"forecast": {}}
    table, least = None, 0.0
    try:
        table = of_setting(setting, candidates, most=MOST, refused=refused)
        shown = ["mrr", "mrr_low", "mrr_high", "first", "cosine", "seconds"]
        facts["forecast"] = table[shown].astype(float).round(4).to_dict("index")
    except InputError as error:
        if score is False or cannot_be_scored(setting):
            raise
        setting.notes.append(f"no forecast: {error}")
    scored = None if score is False else _scored(setting, candidates, refused, None if score is True else score)
    if scored is not None and "models" in scored:
        facts["bits"] = {name: row["value"] for name, row in scored["models"].items() if name != "source"}
        best = min(facts["bits"], key=lambda name: facts["bits"][name])
        # The others' differences to the default: below 0 is better.
        gap, low, high = (-x for x in scored["models"][best].get("against", (0.0, 0.0, 0.0)))
        low, high, unit = high, low, f"{scored['kind']} per character saved before any training"
        least = MARGIN * facts["bits"][DEFAULT]
    elif table is not None:
        best, unit = str(table.index[0]), f"{MEASURE} on hidden shared tokens"
        gap, low, high = compare(table, best, DEFAULT, MEASURE)
    else:
        raise InputError("auto has nothing to choose by", found=(scored or {}).get("note", "no text and no forecast"))
    ahead = f"{gap:+.3f} {unit}, 95 % interval {low:+.3f} to {high:+.3f}"
    method = best if best != DEFAULT and low > least else None
    if best == DEFAULT:
        why = f"No method that can run is ahead of the default chain ({len(names) - len(refused)} tried)."
    elif method is None:
        why = (
            f"{best} is not ahead of the default chain by enough ({ahead}; {least:.3f} asked for): the default is kept."
        )
    else:
        why = f"{best} is ahead of the default chain: {ahead}."
    links = chain.parse(method)
    needs = {m.name: f"needs {' and '.join(sorted(m.needs))}" for m in METHODS if m.name not in {*names, *FLOORS}}
    facts |= {"method": " -> ".join(links), "why": why, "not_run": needs | refused}
    return Choice(links, chain.options_of(links, options, default=method is None), facts)


def _scored(
    setting: Setting, candidates: dict[str, Candidate], refused: dict[str, str], heldout: Any
) -> dict[str, Any] | None:
    """Score the model with each candidate's rows, the default chain's last."""
    if cannot_be_scored(setting) or (setting.texts is None and heldout is None):
        return None
    made = {}
    for name, candidate in sorted(candidates.items(), key=lambda item: item[0] == DEFAULT):
        if name in refused:
            continue
        links, default = chain.parse(candidate.method), candidate.method is None
        try:
            problem = setting.problem(links, default=default, vectors=candidate.vectors)
            made[name] = chain.run(problem, links, chain.options_of(links, candidate.options, default=default))
        except InputError as error:
            refused[name] = str(error)
    return score_rows(setting, made, heldout=heldout)
