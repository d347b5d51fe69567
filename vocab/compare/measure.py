"""Measure tokenizers on the same counted text: what all metrics, pictures and word lists are computed from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.compare.cut import cut
from vocab.compare.metric import Boundaries, Gold, Measured
from vocab.compare.text import BLOCKS, Documents, Text, read_text
from vocab.tokenizer.cut import behind_space
from vocab.tokenizer.texts import Lines
from vocab.view import Vocabulary

Sides = dict[str, tuple[Text, Text]]


def measure(
    tokenizers: Mapping[str, Any],
    texts: Any,
    *,
    parallel: Any = None,
    words: Any = None,
    morphemes: Any = None,
    base: str | None = None,
    documents: Documents = "line",
    context: int = 512,
    given: dict[str, Any] | None = None,
) -> dict[str, Measured]:
    """Go over the text once, and cut it with every tokenizer.

    Args:
        tokenizers: name -> anything that `Vocabulary.of` takes.
        texts: text. A tokenizer that looks beyond words (no pre-tokeniser that cuts at spaces) goes over it a second
            time.
        parallel: as for `vocab.compare`, like all that follow.
        words: see there.
        morphemes: see there.
        base: see there.
        documents: see there.
        context: see there.
        given: what metrics that are asked for by name need.

    Returns:
        What was measured, by name.

    Raises:
        InputError: no tokenizer, no text, a one-shot iterator, parallel texts of different length, or morphemes that
            do not spell their word.
    """
    if not tokenizers:
        raise InputError("there is nothing to compare", expected="{name: tokenizer}")
    views = {name: Vocabulary.of(tokenizer) for name, tokenizer in tokenizers.items()}
    base = next(iter(views)) if base is None else base
    if base not in views:
        raise InputError("there is no such tokenizer to hold others against", found=base, expected=", ".join(views))
    text = read_text(texts, documents=documents)
    if not text.words:
        raise InputError("there is no text to compare on", found="no line with a letter in it")
    sides = _sides(parallel)
    sentences = _sentences(words)
    analysed = _analysed(morphemes)
    found: dict[str, Measured] = {}
    for name in sorted(views, key=lambda name: name != base):
        found[name] = _measured(views[name], text, sides, sentences, analysed, found.get(base), context, given or {})
    return {name: found[name] for name in views}


def _measured(
    view: Vocabulary,
    text: Text,
    sides: Sides,
    sentences: list[list[str]],
    analysed: dict[str, list[str]],
    base: Measured | None,
    context: int,
    given: dict[str, Any],
) -> Measured:
    words, counts, sample = cut(view, text)
    decoded = view.backend.decode_batch(
        [sample[place].tolist() for place in range(len(sample))], skip_special_tokens=False
    )
    returned = [_bare(after) == _bare(before) for after, before in zip(decoded, text.sample, strict=True)]
    return Measured(
        view=view,
        text=text,
        counts=counts,
        words=words,
        returned=np.array(returned, dtype=bool),
        context=context,
        parallel={
            language: (_tokens(view, first), _tokens(view, second)) for language, (first, second) in sides.items()
        },
        gold=_gold(view, sentences) if sentences else None,
        boundaries=_boundaries(view, analysed) if analysed else None,
        base=base,
        given=given,
    )


def _tokens(view: Vocabulary, text: Text) -> np.ndarray:
    return np.asarray(cut(view, text)[1].sum(axis=1)).ravel()


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFC", text).split())


def _sides(parallel: Any) -> Sides:
    if parallel is None:
        return {}
    pairs: Mapping[str, Any] = parallel if isinstance(parallel, Mapping) else {"": parallel}
    sides: Sides = {}
    for language, pair in pairs.items():
        first, second = (read_text(side, blank=True) for side in _two(pair))
        lengths = [int(side.totals["lines"].sum()) for side in (first, second)]
        if lengths[0] != lengths[1]:
            raise InputError(
                "the parallel texts are not line by line translations",
                found=f"{lengths[0]} and {lengths[1]} lines" + f" ({language})" * bool(language),
                expected="as many lines in both",
            )
        if first.words and second.words:
            sides[language] = (first, second)
    return sides


def _two(given: Any) -> list[Any]:
    """Take two texts as they are, and a list of (line, line) pairs apart into two."""
    sides = list(given) if isinstance(given, list | tuple) else []
    if len(sides) == 2 and not all(isinstance(side, tuple) for side in sides):
        return sides
    if not sides or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in sides):
        found = f"{len(sides)} texts" if sides else type(given).__name__
        raise InputError("parallel text has two sides", found=found, expected="two texts, or (line, line) pairs")
    return [list(side) for side in zip(*sides, strict=True)]


def _sentences(words: Any) -> list[list[str]]:
    if words is None:
        return []
    if isinstance(words, list | tuple) and words and isinstance(words[0], list | tuple):
        return [list(sentence) for sentence in words if sentence]
    return [line.split() for line in Lines(words)]


def _gold(view: Vocabulary, sentences: list[list[str]]) -> Gold:
    number: dict[str, int] = {}
    ids = np.array([number.setdefault(word, len(number)) for sentence in sentences for word in sentence])
    lengths = behind_space(view, list(number)).lengths[ids]
    starts = np.cumsum([0, *map(len, sentences)])[:-1]
    edges = starts[np.linspace(0, len(sentences), min(len(sentences), BLOCKS), endpoint=False).astype(np.int64)]
    sums = [np.add.reduceat(part.astype(np.float64), edges) for part in (np.ones(len(ids)), lengths, lengths > 1)]
    return Gold(*sums)


def _analysed(morphemes: Any) -> dict[str, list[str]]:
    """Read morphemes, and see that they spell their words."""
    if morphemes is None:
        return {}
    entries: Iterable[tuple[int, str, list[str]]]
    if isinstance(morphemes, Mapping):
        entries = ((0, word, list(parts)) for word, parts in morphemes.items())
    else:
        entries = _read_morphemes(Path(morphemes))
    found = {}
    for line, word, parts in entries:
        if "".join(parts) != word:
            raise InputError(
                f"these morphemes do not spell {word!r}",
                file=None if isinstance(morphemes, Mapping) else Path(morphemes),
                line=line or None,
                found=" ".join(parts),
                expected="the word's letters, cut; no underlying forms",
            )
        found[word] = parts
    return found


def _read_morphemes(file: Path) -> Iterable[tuple[int, str, list[str]]]:
    for number, line in enumerate(Lines(file, blank=True), 1):
        if not line.strip():
            continue
        word, tab, parts = line.partition("\t")
        if not tab:
            raise InputError(
                "a line has no tab", file=file, line=number, found=line[:60], expected="word<tab>mor phemes"
            )
        yield number, word.strip(), parts.split()


def _boundaries(view: Vocabulary, analysed: dict[str, list[str]]) -> Boundaries:
    """Compare the places where pieces begin inside words with those where morphemes do."""
    mark = " " if view.family == "byte-level" else ""
    encoded = view.backend.encode_batch([mark + word for word in analysed], add_special_tokens=False)
    rows = []
    for encoding, (word, parts) in zip(encoded, analysed.items(), strict=True):
        starts = {start - len(mark) for start, _ in encoding.offsets}
        pieces = {start for start in starts if 0 < start < len(word)}
        gold = set(np.cumsum([len(part) for part in parts])[:-1].tolist())
        rows.append((len(pieces), len(gold), len(pieces & gold)))
    return Boundaries(*np.array(rows, dtype=np.float64).T)
