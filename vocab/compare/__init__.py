"""Compare tokenizers on the same text; one file per group of metrics."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.compare.metric import METRICS, Measured, Ratio, Resampled
from vocab.compare.pieces import encode_words
from vocab.tokenizer.texts import Lines
from vocab.view import Vocabulary

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METRICS", "Measured", "compare", "measure"]

_DRAWS = 500
_BLOCKS = 1000
_ROUND_TRIPS = 2000
_BATCH = 5000


def compare(
    tokenizers: Mapping[str, Any], texts: Any, parallel: tuple[Any, Any] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Compare tokenizers on the same text, which they should not have been learnt from.

    Args:
        tokenizers: name -> anything that `Vocabulary.of` takes.
        texts: a file, files, or lines that can be gone through twice.
        parallel: two texts, line by line translations of each other: the language, and the one it is held against.
        seed: seed of the bootstrap.

    Returns:
        One row a tokenizer, one column a metric (see `METRICS` for definition, unit, direction). `.attrs`:
        `intervals` (metric -> tokenizer -> 95 % bootstrap interval [low, high] over lines, or over 1,000 blocks of
        neighbouring lines where there are more), `units`, `better`, and `text` (lines, words, characters).

    Raises:
        InputError: no tokenizer, no text, a one-shot iterator, or parallel texts of different length.
    """
    import pandas as pd

    if not tokenizers:
        raise InputError("there is nothing to compare", expected="{name: tokenizer}")
    lines = list(Lines(texts))
    if not lines:
        raise InputError("there is no text to compare on", found="no line with a letter in it")
    sides = _sides(parallel)
    values: dict[str, dict[str, float]] = {}
    intervals: dict[str, dict[str, list[float]]] = {}
    for name, tokenizer in tokenizers.items():
        measured = measure(Vocabulary.of(tokenizer), lines, sides)
        for metric in METRICS:
            result = metric.measure(measured)
            if result is None:
                continue
            value, interval = _with_interval(measured, result, seed)
            values.setdefault(metric.name, {})[name] = value
            intervals.setdefault(metric.name, {})[name] = interval
    table = pd.DataFrame(values, index=pd.Index(tokenizers, name="tokenizer"))
    table.attrs = {
        "intervals": intervals,
        "units": {metric.name: metric.unit for metric in METRICS if metric.name in values},
        "better": {metric.name: metric.better for metric in METRICS if metric.name in values},
        "text": {
            "lines": len(lines),
            "words": sum(len(line.split()) for line in lines),
            "characters": sum(map(len, lines)),
        },
    }
    return table


def measure(view: Vocabulary, lines: Sequence[str], sides: tuple[list[str], list[str]] | None = None) -> Measured:
    """Go over the text once.

    Args:
        view: the tokenizer.
        lines: the text.
        sides: parallel text.

    Returns:
        What the metrics are computed from.
    """
    encoded = [ids for start in range(0, len(lines), _BATCH) for ids in view.encode(lines[start : start + _BATCH])]
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in encoded], dtype=np.int64)])
    sampled = np.unique(np.linspace(0, len(lines) - 1, min(len(lines), _ROUND_TRIPS)).astype(np.int64))
    chosen = [encoded[place].tolist() for place in sampled]
    decoded = view.backend.decode_batch(chosen, skip_special_tokens=False)
    returned = [_bare(text) == _bare(lines[place]) for text, place in zip(decoded, sampled.tolist(), strict=True)]
    cores, cut = _words_cut(view, lines)
    return Measured(
        view=view,
        ids=np.concatenate(encoded) if encoded else np.zeros(0, dtype=np.int32),
        starts=starts,
        words=np.array([len(line.split()) for line in lines], dtype=np.int64),
        characters=np.array([len(line) for line in lines], dtype=np.int64),
        bytes=np.array([len(line.encode("utf-8", "surrogatepass")) for line in lines], dtype=np.int64),
        cores=cores,
        cut=cut,
        returned=np.array(returned, dtype=bool),
        sampled=sampled,
        parallel=None
        if sides is None
        else np.array([[len(ids) for ids in view.encode(side)] for side in sides], dtype=np.int64).T,
    )


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFC", text).split())


def _words_cut(view: Vocabulary, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Count each line's words, and those in several pieces; every distinct word is encoded once."""
    seen: dict[str, int] = {}
    cores: dict[str, str] = {}
    places: list[int] = []
    number = np.zeros(len(lines), dtype=np.int64)
    for row, line in enumerate(lines):
        before = len(places)
        for word in line.split():
            core = cores.get(word)
            if core is None:
                core = cores[word] = _core(word)
            if core:
                places.append(seen.setdefault(core, len(seen)))
        number[row] = len(places) - before
    several = np.array([len(ids) > 1 for ids in encode_words(view, list(seen))], dtype=np.int64)
    before_line = np.concatenate([[0], np.cumsum(several[np.array(places, dtype=np.int64)])])
    ends = np.cumsum(number)
    return number, before_line[ends] - before_line[ends - number]


def _core(word: str) -> str:
    """Take the punctuation and signs off both ends of a word."""
    inside = [place for place, letter in enumerate(word) if unicodedata.category(letter)[0] in "LMN"]
    return word[inside[0] : inside[-1] + 1] if inside else ""


def _sides(parallel: tuple[Any, Any] | None) -> tuple[list[str], list[str]] | None:
    if parallel is None:
        return None
    first, second = (list(Lines(side, blank=True)) for side in parallel)
    if len(first) != len(second):
        raise InputError(
            "the parallel texts are not line by line translations",
            found=f"{len(first)} and {len(second)} lines",
            expected="as many lines in both",
        )
    return (first, second) if first else None


def _with_interval(measured: Measured, result: Ratio | Resampled, seed: int) -> tuple[float, list[float]]:
    """Compute a metric, and its 95 % interval over resampled lines (percentile bootstrap)."""
    lines = len(measured.words) if isinstance(result, Resampled) else len(result.below)
    blocks = min(lines, _BLOCKS)
    edges = np.linspace(0, lines, blocks, endpoint=False).astype(np.int64)
    weights = _weights(blocks, seed)
    if isinstance(result, Ratio):
        value = float(_divide(np.array([result.above.sum()]), np.array([result.below.sum()]))[0])
        above, below = (np.add.reduceat(part.astype(np.float64), edges) for part in (result.above, result.below))
        draws = _divide(weights @ above, weights @ below)
    else:
        value = result.value
        draws = np.empty(0) if result.resample is None else result.resample(edges, weights)
    draws = draws[np.isfinite(draws)]
    low, high = np.quantile(draws, [0.025, 0.975]) if len(draws) else (np.nan, np.nan)
    return value, [float(low), float(high)]


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0)


@lru_cache(maxsize=4)
def _weights(blocks: int, seed: int) -> np.ndarray:
    """Draw how often each block stands in each resampled text: (draws, blocks); the same for all that is compared."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=_DRAWS).astype(np.float64)
    weights.setflags(write=False)
    return weights
