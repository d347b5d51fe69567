"""Choose a method by forecast: among those whose needs are met, the one that finds hidden rows best, and say why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vocab.transplant import chain
from vocab.transplant.forecasting import DEFAULT, Candidate, compare, of_setting, runnable
from vocab.transplant.method import METHODS
from vocab.transplant.setting import DEFAULT_EVIDENCE, WITHOUT_TEXT

if TYPE_CHECKING:
    from vocab.options import Options
    from vocab.transplant.setting import Setting

MEASURE = "mrr"
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


def choose(setting: Setting, options: Any = None) -> Choice:
    """Forecast every method that can run and take the best; the default chain where none is ahead of it beyond noise.

    All are given the same evidence: what the caller gave, or counts and characters (characters alone without text).

    Args:
        setting: what the transplant starts from.
        options: options by method name.

    Raises:
        InputError: too few shared tokens for a forecast.
    """
    vectors = setting.vectors if setting.vectors is not None else DEFAULT_EVIDENCE
    if setting.texts is None and setting.vectors is None:
        vectors = WITHOUT_TEXT
    names = [name for name in runnable(setting) if name not in FLOORS]
    refused: dict[str, str] = {}
    table = of_setting(
        setting,
        {name: Candidate(None if name == DEFAULT else name, vectors, options) for name in names},
        most=MOST,
        refused=refused,
    )
    best = str(table.index[0])
    gap, low, high = compare(table, best, DEFAULT, MEASURE)
    figures = dict(zip(table.index, table[MEASURE].astype(float), strict=True))
    ahead = f"{MEASURE} {figures[best]:.3f} against {figures[DEFAULT]:.3f}, {gap:+.3f} ({low:+.3f} to {high:+.3f})"
    taken = best if low > 0 else DEFAULT
    if best == DEFAULT:
        why = f"No method that can run finds hidden rows better than the default chain ({len(table)} tried)."
    elif taken == DEFAULT:
        why = f"{best} is not distinguishable from the default chain ({ahead}): the default is kept."
    else:
        why = f"{best} finds hidden rows better than the default chain: {ahead}."
    method = None if taken == DEFAULT else taken
    links = chain.parse(method)
    rows = table[["mrr", "mrr_low", "mrr_high", "first", "cosine", "seconds"]].astype(float).round(4)
    facts = {
        "method": " -> ".join(links),
        "why": why,
        "forecast": rows.to_dict("index"),
        "not_run": {
            **{m.name: f"needs {' and '.join(sorted(m.needs))}" for m in METHODS if m.name not in {*names, *FLOORS}},
            **refused,
        },
    }
    return Choice(links, chain.options_of(links, options, default=method is None), facts)
