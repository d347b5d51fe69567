"""Sub-characters: Hangul and Ethiopic syllables are cut as consonant and vowel, and put together when decoded.

The normaliser takes a syllable apart with one rule for each consonant and each vowel: what follows the consonant is
put in behind the syllable, then the syllable becomes its bare consonant. The decoder has one rule a syllable, since a
rule of a tokenizer.json writes one fixed text: 11,172 of them for Hangul (they take half a second to load), some 330
for Ethiopic. Text without such syllables is cut as Unigram cuts it.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from vocab.tokenizer import unigram
from vocab.tokenizer.algorithm import Algorithm, Units

_HANGUL = range(0xAC00, 0xD7A4)
# Rows of eight, one a consonant; 0x1358 to 0x139F and 0x2D80 to 0x2D9F are in no such order and stay whole.
_ETHIOPIC = (range(0x1200, 0x1358), range(0x2DA0, 0x2DE0), range(0xAB00, 0xAB30))
_BARE = 5  # the sixth order is the consonant with no vowel, or with the shortest
_VOWELS = 0xE0100  # selectors of ideographs: marks, as a vowel should be, that no Ethiopic text has


def units(letters: Mapping[str, int]) -> Units:
    """Return the rules for the scripts that a text is written in.

    Args:
        letters: characters of the text, composed.

    Returns:
        How to take their syllables apart, and how to put them together.
    """
    codes = {ord(letter) for letter in letters}
    apart: list[dict[str, Any]] = []
    together: list[dict[str, Any]] = []
    for rows, split in (((_HANGUL,), _jamo), (_ETHIOPIC, _consonant_and_vowel)):
        if any(code in row for row in rows for code in codes):
            spelled = {chr(code): parts for code in chain(*rows) if (parts := split(code))}
            apart += _apart(spelled)
            together += _together(spelled)
    return Units(tuple(apart), tuple(together))


def _jamo(code: int) -> str:
    return unicodedata.normalize("NFD", chr(code))


def _consonant_and_vowel(code: int) -> str:
    row, order = code & ~7, code & 7
    bare = chr(row + _BARE)
    if order == _BARE or "Cn" in (unicodedata.category(chr(code)), unicodedata.category(bare)):
        return ""
    return bare + chr(_VOWELS + order)


def _apart(spelled: Mapping[str, str]) -> list[dict[str, Any]]:
    """Put what follows the consonant behind each syllable, the last first, then leave the consonant of it."""
    rules = []
    for place in range(max(map(len, spelled.values())) - 1, -1, -1):
        groups: dict[str, list[str]] = defaultdict(list)
        for syllable, parts in spelled.items():
            if place < len(parts):
                groups[parts[place]].append(syllable)
        for unit, syllables in groups.items():
            these = _class(map(ord, syllables))
            rules.append(_replace({"Regex": f"(?<={these})" if place else these}, unit))
    return rules


def _together(spelled: Mapping[str, str]) -> list[dict[str, Any]]:
    longest_first = sorted(spelled.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_replace({"String": parts}, syllable) for syllable, parts in longest_first]


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _class(codes: Iterable[int]) -> str:
    """Write characters as a class of a regular expression, neighbours as ranges."""
    runs: list[list[int]] = []
    for code in sorted(codes):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "[" + "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in runs) + "]"


SPEC = Algorithm(
    name="sub-character",
    summary="Unigram over the consonants and vowels of Hangul and Ethiopic syllables.",
    paper="Moon and Okazaki 2020, Jamo Pair Encoding; Kudo 2018",
    when="Korean, Amharic, Tigrinya: endings that change the vowel of a syllable keep its consonant.",
    when_not="Other scripts: it is Unigram there.",
    family="metaspace",
    learn=unigram.learn,
    units=units,
    limits=unigram.sampled,
)
