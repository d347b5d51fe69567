"""Compare tokenizers on the same text; one file per metric."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vocab.compare.bootstrap import estimate
from vocab.compare.measure import measure
from vocab.compare.metric import METRICS, Measured, Metric
from vocab.compare.text import Documents

if TYPE_CHECKING:
    import pandas as pd

    from vocab.fit import FitOptions, Progress

__all__ = ["METRICS", "Measured", "compare", "measure", "tabulate"]


def compare(
    tokenizers: Mapping[str, Any],
    texts: Any,
    parallel: Any = None,
    *,
    words: Any = None,
    morphemes: Any = None,
    base: str | None = None,
    documents: Documents = "line",
    context: int = 512,
    also: Sequence[str] = (),
    train: Any = None,
    fit: FitOptions | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare tokenizers on the same text, which they should not have been learnt from.

    Args:
        tokenizers: name -> anything that `Vocabulary.of` takes.
        texts: a file, files, or lines that can be gone through twice.
        parallel: two texts, line by line translations of each other: the language, and the one it is held against;
            or a list of such (line, line) pairs; or language -> either.
        words: text whose white space separates words as people cut them (a treebank), or a list of lists of words.
        morphemes: word -> its morphemes in order, or a file of lines `word<tab>mor phemes`.
        base: name of the tokenizer that others are held against; the first where None.
        documents: what is resampled as one for intervals: each line, lines between blank lines, or each file.
        context: tokens of the context that words are fitted into.
        also: metrics that are computed only when asked for by name (see `METRICS`; `asked`).
        train: text for those of them that train a model.
        fit: size and training of that model; see `vocab.fit.FitOptions`.
        progress: called as (done, total, facts) by metrics that take long: first with `seconds_expected` of all
            tokenizers together, before any work; None prints that one line to standard error.
        seed: seed of the bootstrap.

    Returns:
        One row a tokenizer, one column a metric (see `METRICS` for definition, unit, direction). `.attrs`:
        `intervals` (metric -> tokenizer -> 95 % bootstrap interval [low, high] over documents, or over 128 to 256
        blocks of neighbouring documents where there are more), `differences` (metric -> tokenizer -> [difference to
        the base, low, high], paired), `base`, `units`, `better`, and `text` (lines, words, characters).

    Raises:
        InputError: no tokenizer, no text, a one-shot iterator, parallel texts of different length, morphemes that do
            not spell their words, or an unknown metric.
    """
    measured = measure(
        tokenizers, texts, parallel=parallel, words=words, morphemes=morphemes, base=base, documents=documents,
        context=context, given={"train": train, "fit": fit, "progress": progress},
    )  # fmt: skip
    return tabulate(measured, also=also, seed=seed)


def tabulate(measured: Mapping[str, Measured], *, also: Sequence[str] = (), seed: int = 0) -> pd.DataFrame:
    """Compute the metrics of what was measured.

    Args:
        measured: by tokenizer's name, as `measure` returns it.
        also: metrics that are computed only when asked for by name.
        seed: seed of the bootstrap.

    Returns:
        The table that `compare` returns.
    """
    import pandas as pd

    chosen = [metric for metric in METRICS if not metric.asked] + [METRICS[name] for name in also]
    chosen = sorted({metric.name: metric for metric in chosen}.values(), key=lambda metric: metric.name)
    _say_how_long(chosen, measured)
    base = next(name for name, one in measured.items() if one.base is None)
    estimates = {}
    for metric in chosen:
        results = {name: metric.measure(one) for name, one in measured.items()}
        found = {name: estimate(result, seed) for name, result in results.items() if result is not None}
        if found:
            estimates[metric.name] = found
    text = measured[base].text
    table = pd.DataFrame(
        {metric: {name: one.value for name, one in found.items()} for metric, found in estimates.items()},
        index=pd.Index(measured, name="tokenizer"),
    )
    table.attrs = {
        "base": base,
        "intervals": {m: {name: one.interval for name, one in found.items()} for m, found in estimates.items()},
        "differences": {
            m: {name: one.less(found[base]) for name, one in found.items() if name != base}
            for m, found in estimates.items()
            if base in found
        },
        "units": {metric.name: metric.unit for metric in chosen if metric.name in estimates},
        "better": {metric.name: metric.better for metric in chosen if metric.name in estimates},
        "text": {name: int(text.totals[name].sum()) for name in ("lines", "words", "characters")},
    }
    return table


def _say_how_long(chosen: Sequence[Metric], measured: Mapping[str, Measured]) -> None:
    """Tell what metrics that take long will take for all tokenizers, before the first begins."""
    for metric in chosen:
        if metric.seconds is None:
            continue
        progress = next(iter(measured.values())).given.get("progress")
        total = round(sum(map(metric.seconds, measured.values())), 1)
        if progress is None:
            sys.stderr.write(f"{metric.name}: about {total} seconds for {len(measured)} tokenizers\n")
        else:
            progress(0, len(measured), {"metric": metric.name, "seconds_expected": total})
