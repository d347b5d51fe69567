"""Give a word the row of its translation (vocabulary matching by dictionary).

A target word whose translation is a source token copies that row; else an identical string is copied; else the row is
the mean of the translation's pieces. Of several translations the first that is one token wins, then the first.

Needs: a dictionary, (source word, target word) pairs or a file of them, one a line, divided by a tab. Use it for
distant languages with a good dictionary, before `subwords` in a chain; it says nothing of pieces of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.matrix import stack
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.tokenizer.texts import Lines
from vocab.transplant.copy_ import overlap
from vocab.transplant.method import Method, Problem
from vocab.view import SPACE, Kind


class DictionaryOptions(Options):
    """Options of dictionary: none."""


def pairs_of(dictionary: Any) -> list[tuple[str, str]]:
    """Read (source word, target word) pairs.

    Args:
        dictionary: pairs, a mapping, or a UTF-8 file of `source<TAB>target` lines; what follows a second tab is not
            looked at.

    Raises:
        InputError: no such file, one that is not UTF-8, a line without tab or with an empty side, no pair at all.
    """
    path: Path | None = None
    lines: list[tuple[int | None, tuple[str, ...]]]
    if not isinstance(dictionary, str | Path):
        given = dictionary.items() if isinstance(dictionary, Mapping) else dictionary
        if not isinstance(given, Iterable):
            raise InputError("this is no dictionary", found=type(given).__name__, expected="pairs, or a file of them")
        lines = [(None, (pair,) if isinstance(pair, str) else tuple(pair)) for pair in given]
    else:
        path = Path(dictionary)
        if not path.is_file():
            raise InputError("no such dictionary", file=path)
        lines = [(n, tuple(line.split("\t")[:2])) for n, line in enumerate(Lines(path, blank=True), 1) if line.strip()]
    pairs = []
    for number, pair in lines:
        if len(pair) != 2 or not all(isinstance(side, str) and side.strip() for side in pair):
            raise InputError(
                "a dictionary pair needs two sides", file=path, line=number, found=repr(pair), expected="source, target"
            )
        pairs.append((pair[0].strip(), pair[1].strip()))
    if not pairs:
        raise InputError("the dictionary is empty", file=path, expected="source, target")
    return pairs


def rows(problem: Problem, options: DictionaryOptions) -> Mixture:
    """Fill the rows of words that the dictionary or the source vocabulary has."""
    source, target = problem.source, problem.target
    translations: dict[str, list[str]] = {}
    for old, new in pairs_of(problem.extra["dictionary"]):
        translations.setdefault(new, []).append(old)
        if new.lower() != new:
            translations.setdefault(new.lower(), []).append(old)
    same = dict(zip(*(part.tolist() for part in overlap(source, target)), strict=True))
    pieces: dict[int, list[int]] = {}
    for token in problem.todo().tolist():
        words = translations.get(target.forms[token][1:], []) if target.forms[token].startswith(SPACE) else []
        whole = [source.ids[form] for word in words if (form := SPACE + source.normalise(word).strip()) in source.ids]
        if whole:
            pieces[token] = whole[:1]
        elif token in same:
            pieces[token] = [same[token]]
        elif words:
            cut = [piece for piece in source.pieces_of(words[0], True) if source.kind[piece] <= Kind.BYTE]
            if cut:
                pieces[token] = cut
    weights = stack(list(pieces.values()), len(source))
    evidence = np.array([1 / len(cut) for cut in pieces.values()])
    made = np.array(list(pieces), np.int64)
    return Mixture.build(source, target, "dictionary", made, weights, evidence=evidence)


SPEC = Method(
    name="dictionary",
    summary="A word gets the row of its translation, or the mean of the translation's pieces.",
    formula="`E_t[t] = E_s[translation]`; else `E_s[t]`; else the mean of the translation's pieces",
    paper="Vocabulary matching by bilingual dictionary, as in trans-tokenization's and RAMEN's baselines",
    when="A good dictionary and a source language far from the target's.",
    when_not="Small vocabularies, where few tokens are whole words.",
    options=DictionaryOptions,
    rows=rows,
    needs=frozenset({"dictionary"}),
    fallback=("random",),
    copies_overlap=False,
    evidence="1 / number of old pieces; 1 for a whole word",
)
