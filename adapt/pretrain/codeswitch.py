"""Code-switching: words of a text are replaced by their translations, so that both languages share contexts.

Qin et al. 2020, CoSDA-ML: choose sentences, choose words in them, choose one of each word's translations.
There it is drawn anew for every batch; here for every epoch, on the text, before it is cut into tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import regex
from pydantic import Field

from corpora.parallel import read_dictionary
from vocab.options import Options

_WORD = regex.compile(r"\w+(?:['’ʼ-]\w+)*")  # marks that stand on letters belong to \w here, unlike in `re`

Lexicon = Mapping[str, list[str]]


class CodeSwitch(Options):
    """Replacing words by translations from `transplant.dictionary`."""

    words: float = Field(0.0, ge=0, le=1)
    """Share of the words with a translation that is replaced, drawn anew for each epoch; 0 switches nothing."""
    lines: float = Field(1.0, gt=0, le=1)
    """Share of the lines in which words are replaced."""
    direction: Literal["to-source", "from-source", "both"] = "to-source"
    """to-source: words of the language's text become words of the source's; from-source: words of the replayed text
    (`corpus.source_text`) become words of the language."""

    @property
    def to_source(self) -> bool:
        """Whether the language's own text is altered."""
        return self.words > 0 and self.direction != "from-source"

    @property
    def from_source(self) -> bool:
        """Whether the replayed text is altered."""
        return self.words > 0 and self.direction != "to-source"


def lexicon(dictionary: Path, *, to_source: bool) -> Lexicon:
    """Read a bilingual dictionary for one direction; phrases may stand in for a word, but are not looked for.

    Args:
        dictionary: source word, tab, target word.
        to_source: look up target words.

    Returns:
        Lower-cased word to its translations, in the order of the file.
    """
    found: dict[str, list[str]] = {}
    for source, target, _ in read_dictionary(dictionary):
        word, translation = (target, source) if to_source else (source, target)
        found.setdefault(word.lower(), []).append(translation)
    return found


def switch(lines: Iterable[str], words: Lexicon, options: CodeSwitch, seed: int) -> Iterator[tuple[str, int]]:
    """Replace words of a text.

    Args:
        lines: the text.
        words: what `lexicon` gives.
        options: how much is replaced.
        seed: of what is drawn; the same text and seed give the same lines.

    Yields:
        Each line and how many of its words were replaced.
    """
    draw = random.Random(seed)

    def replaced(match: regex.Match[str]) -> str:
        word = match[0]
        translations = words.get(word.lower())
        if translations is None or draw.random() >= options.words:
            return word
        chosen = draw.choice(translations)
        count[0] += 1
        return chosen[:1].upper() + chosen[1:] if word[:1].isupper() else chosen

    for line in lines:
        count = [0]
        yield (_WORD.sub(replaced, line) if draw.random() < options.lines else line), count[0]
