"""Forecast how well methods make rows, before any training: hide shared tokens, make their rows, compare with the true.

A share of the tokens that both vocabularies have is hidden from the old one (see `hidden`); each method makes rows for
them as if they were new, and is scored against the rows that they truly have. All methods are asked for the same
tokens. Hidden tokens are drawn so that their lengths are those of the tokens that are really new, which are longer than
shared ones: a method is to be judged on what it will be asked for.

What it does not see: how rows behave together in the model. Ranks compare evidence fairly; cosines prefer flat weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.device import DeviceName, by_device
from vocab.matrix import take
from vocab.transplant.method import METHODS, Problem
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from pandas import DataFrame

    from vocab.transplant.setting import Setting

DEFAULT = "default"
MEASURES = ("cosine", "centred", "mrr", "first")
FEWEST = 20  # hidden tokens, below which a forecast says nothing
_RESAMPLES = 1000
Progress = Callable[[float, float, dict[str, Any]], None]


@dataclass(frozen=True)
class Candidate:
    """One way to be forecast.

    Attributes:
        method: what `vocab.transplant` takes as its method; None is the default chain.
        vectors: its evidence; None means what the call was given, or what the method was published with.
        options: options by method name.
    """

    method: str | None
    vectors: Any = None
    options: Any = None

    @classmethod
    def named(cls, methods: Iterable[str] | Mapping[str, Any]) -> dict[str, Candidate]:
        """Read methods as users give them: names and chains, or a name of theirs for each method or set of settings."""
        if not isinstance(methods, Mapping):
            methods = {name: None if name == DEFAULT else name for name in methods}
        return {
            name: given if isinstance(given, cls) else cls(**given) if isinstance(given, Mapping) else cls(given)
            for name, given in methods.items()
        }


@by_device
def forecast(
    source: Any,
    target: Any,
    texts: Any = None,
    methods: Iterable[str] | Mapping[str, Any] | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    share: float = 0.2,
    most: int = 2000,
    device: DeviceName | None = "auto",
    progress: Progress | None = None,
    **given: Any,
) -> DataFrame:
    """Say how near each method's rows come to true rows that are hidden from it.

    Args:
        source: folder, hub id or model.
        target: the new tokenizer.
        texts: paths or a re-iterable of lines in the language.
        methods: names and chains as `vocab.transplant` takes them, `default` for the default chain; or a mapping of
            your names to such, or to `{"method": ..., "vectors": ..., "options": ...}`. None: every method whose needs
            are met.
        seeds: one draw of hidden tokens each.
        share: how much of the overlap is hidden in a draw.
        most: at most so many tokens a draw.
        device: what rows are made on; see `vocab.transplant`.
        progress: told draws done and all of them, a method a time.
        given: vectors, source_vectors, dictionary, parallel, helper, source_tokenizer, trust_remote_code: as for
            `vocab.transplant`.

    Returns:
        A row for each method, best `mrr` first. `cosine` of a made row with the true one; `centred`: the same after
        the mean of the shown shared rows is taken from both; `mrr` (mean reciprocal rank) and `first` (share ranked
        first) of the true row among all hidden ones by centred cosine; each with `_low` and `_high`, a 95 % interval
        (bootstrap over tokens, one that several seeds draw counted together). `hidden` tokens a draw, `draws`, and
        `seconds` a draw for making the rows. The scores of every token are in `attrs["scores"]`, see `compare`.

    Raises:
        InputError: too few shared tokens, or a method that cannot run.
    """
    from vocab.transplant.setting import Setting

    return of_setting(
        Setting.of(source, target, texts=texts, **given),
        methods,
        seeds=seeds,
        share=share,
        most=most,
        progress=progress,
    )


def of_setting(
    setting: Setting,
    methods: Iterable[str] | Mapping[str, Any] | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    share: float = 0.2,
    most: int = 2000,
    refused: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> DataFrame:
    """Forecast for a transplant that is set up already; see `forecast`.

    With `refused` a method that cannot use what was given is left out, and there is told why.
    """
    import pandas as pd

    from vocab.transplant import chain

    candidates = Candidate.named(runnable(setting) if methods is None else methods)
    parsed = {name: (chain.parse(c.method), c) for name, c in candidates.items()}
    settings = {
        name: chain.options_of(links, c.options, default=c.method is None) for name, (links, c) in parsed.items()
    }
    problems = {
        name: setting.problem(links, default=c.method is None, vectors=c.vectors) for name, (links, c) in parsed.items()
    }
    pool = _pool(setting)
    hidden = min(int(round(share * len(pool[0]))), most)
    if hidden < FEWEST:
        raise InputError(
            "too few shared tokens to hide some of them and ask for their rows",
            found=f"{len(pool[0])} shared tokens that can be hidden",
            expected=f"{int(np.ceil(FEWEST / share))} or more",
        )
    scores: dict[str, list[np.ndarray]] = {name: [] for name in candidates}
    seconds = dict.fromkeys(candidates, 0.0)
    drawn = []
    for number, seed in enumerate(seeds):
        rows, old = _draw(setting.new, *pool, hidden, seed)
        drawn.append(rows)
        task = _Task.of(setting, rows, old, pool, seed)
        for place, name in enumerate(candidates):
            if progress is not None:
                progress(number * len(candidates) + place, len(seeds) * len(candidates), {"method": name})
            if refused is not None and name in refused:
                continue
            since = time.perf_counter()
            try:
                made = task.rows_by(problems[name], parsed[name][0], settings[name])
            except InputError as error:
                if refused is None:
                    raise
                refused[name] = str(error)
                continue
            seconds[name] += (time.perf_counter() - since) / len(seeds)
            scores[name].append(task.score(made))
    who = np.concatenate(drawn)
    every = {name: np.concatenate(found) for name, found in scores.items() if len(found) == len(seeds)}
    table = pd.DataFrame(
        {name: {**_interval(who, found), "hidden": hidden, "draws": len(seeds), "seconds": round(seconds[name], 3)}
         for name, found in every.items()}
    ).T.astype({"hidden": int, "draws": int})  # fmt: skip
    table = table.sort_values("mrr", ascending=False, kind="stable").rename_axis("method")
    table.attrs["scores"] = {"tokens": who.tolist(), **{name: found.tolist() for name, found in every.items()}}
    return table


def runnable(setting: Setting) -> list[str]:
    """Name the default chain and every method whose needs are met by what was given (vectors: given, or text)."""
    have = {name for name, value in setting.extra.items() if value is not None}
    have |= {"vectors"} if setting.vectors is not None or setting.texts is not None else set()
    have |= {"source_vectors"} if setting.source_vectors is not None else set()
    return [DEFAULT, *(method.name for method in METHODS if method.needs <= have)]


def compare(table: DataFrame, a: str, b: str, measure: str = "mrr") -> tuple[float, float, float]:
    """Compare two methods on the same hidden tokens.

    Args:
        table: what `forecast` returned.
        a: a method.
        b: another.
        measure: which of `MEASURES`.

    Returns:
        By how much `a` is ahead of `b`, and a 95 % interval (paired bootstrap over tokens).
    """
    scores, column = table.attrs["scores"], MEASURES.index(measure)
    gap = np.array(scores[a])[:, column] - np.array(scores[b])[:, column]
    low, high = _bootstrap(np.array(scores["tokens"]), gap[:, None])[:, 0]
    return float(gap.mean()), float(low), float(high)


@dataclass(frozen=True)
class _Task:
    """One draw: what is hidden, and what is true of it."""

    source: Vocabulary
    source_vectors: Any
    matrix: Any
    rows: np.ndarray
    old: np.ndarray
    truth: np.ndarray
    centre: np.ndarray
    seed: int

    @classmethod
    def of(cls, setting: Setting, rows: np.ndarray, old: np.ndarray, pool: tuple[Any, Any], seed: int) -> _Task:
        from vocab.transplant.hidden import blank, without
        from vocab.vectors import as_evidence

        given = setting.source_vectors
        given = given if given is None else blank(as_evidence(given, setting.old), old)
        matrix = setting.matrices["input"]
        shown = take(matrix, np.setdiff1d(pool[1], old))
        view = without(setting.old, old)
        return cls(view, given, matrix, rows, old, take(matrix, old), shown.mean(axis=0, dtype=np.float64), seed)

    def rows_by(self, problem: Problem, links: tuple[str, ...], options: dict[str, Any]) -> np.ndarray:
        """Let a chain make the hidden rows, (hidden, dim)."""
        from vocab.transplant import chain

        wanted = np.zeros(len(problem.target), bool)
        wanted[self.rows] = True
        posed = replace(
            problem, source=self.source, source_vectors=self.source_vectors, matrices={"input": self.matrix},
            wanted=wanted, seed=self.seed, notes=[],
        )  # fmt: skip
        mixture = chain.run(posed, links, options)
        leaked = np.isin(mixture.weights.indices, self.old)
        if leaked.any():
            token = problem.source.tokens[int(mixture.weights.indices[leaked][0])]
            raise RuntimeError(f"{' -> '.join(links)} used the row of {token!r}, which was hidden from it")
        return take(mixture.apply(self.matrix, only=self.rows), slice(None))

    def score(self, made: np.ndarray) -> np.ndarray:
        """Score rows, (hidden, measures)."""
        cosine = np.sum(_unit(made) * _unit(self.truth), axis=1)
        near = _unit(made - self.centre) @ _unit(self.truth - self.centre).T
        own = np.diagonal(near)[:, None]
        # Of equals the middle place: a method that makes all rows alike must not win by the order of tokens.
        rank = 1 + (near > own).sum(axis=1) + ((near == own).sum(axis=1) - 1) / 2
        return np.column_stack([cosine, own[:, 0], 1 / rank, rank == 1])


def _pool(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Shared pieces that can be hidden, as target and source ids: each old one once; those the text shows."""
    from vocab.transplant.copy_ import overlap

    rows, old = overlap(setting.old, setting.new)
    added = list(setting.old.backend.get_added_tokens_decoder())
    keep = (setting.new.kind[rows] == Kind.PIECE) & (setting.old.kind[old] == Kind.PIECE) & ~np.isin(old, added)
    if setting.frequency is not None:
        keep &= setting.frequency[rows] > 0
    rows, old = rows[keep], old[keep]
    real = take(setting.matrices["input"], old).any(axis=1)
    rows, old = rows[real], old[real]
    first = np.sort(np.unique(old, return_index=True)[1])
    return rows[first], old[first]


def _draw(
    target: Vocabulary, rows: np.ndarray, old: np.ndarray, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw tokens whose lengths are like those of the new tokens, as far as the overlap has such."""
    length = np.minimum([len(form) for form in target.forms], 12)
    new = np.setdiff1d(np.flatnonzero(target.kind == Kind.PIECE), rows)
    asked, there = (np.bincount(length[ids], minlength=13).astype(float) for ids in (new, rows))
    # One pseudo-count: no length that the overlap has is left out, and without new tokens all are alike.
    weight = ((asked + 1) / np.maximum(there, 1))[length[rows]]
    chosen = np.random.default_rng(seed).choice(len(rows), number, replace=False, p=weight / weight.sum())
    chosen.sort()
    return rows[chosen], old[chosen]


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def _interval(who: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    low, high = _bootstrap(who, scores)
    found: dict[str, float] = {}
    for column, measure in enumerate(MEASURES):
        found[measure] = float(scores[:, column].mean())
        found[f"{measure}_low"], found[f"{measure}_high"] = float(low[column]), float(high[column])
    return found


def _bootstrap(who: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """95 % interval of each column's mean, (2, columns): tokens are drawn anew, with all the scores that they have."""
    token, place = np.unique(who, return_inverse=True)
    total = np.zeros((len(token), scores.shape[1]))
    np.add.at(total, place, scores)
    count = np.bincount(place).astype(float)
    times = np.random.default_rng(0).multinomial(len(token), np.full(len(token), 1 / len(token)), _RESAMPLES)
    return np.percentile((times @ total) / (times @ count)[:, None], [2.5, 97.5], axis=0)
