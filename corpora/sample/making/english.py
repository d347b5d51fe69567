"""Tags the English verses: UPOS by rippletagger's rules, mended where the Bible's English misleads them."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lexigraft import InputError

_TOKEN = re.compile(r"n't\b|'(?:s|ll|re|ve|d|m)\b|\w+?(?=n't\b)|\w+(?:-\w+)*|[^\w\s]")
_OPENERS = {".", "!", "?", ":", ";", '"', "'", "(", ",", "''"}
_POSSESSIVES = frozenset(["my", "your", "his", "her", "its", "our", "their", "whose"])
_BE = frozenset(["is", "am", "are", "was", "were", "be", "been", "being", "'m", "'re"])
# No word of their own in Chichewa: articles, negation, the marks of the infinitive and the genitive.
_NOTHING = frozenset(["a", "an", "the", "'s", "not", "n't", "no"])
_DETERMINERS = frozenset(
    ["this", "that", "these", "those", "all", "every", "each", "some", "any", "other", "another"]
) | {"others", "who", "whom", "which", "whoever", "whatever", "same", "such", "both", "everyone", "certain", "many"}
_SUBJECTS = [[word] for word in ("I", "he", "she", "it", "we", "they", "you", "this", "there", "these")]
_JOINING = frozenset(["because", "if", "when", "while", "until", "though", "although", "unless", "lest", "since"])
_TITLES = frozenset(["Lord", "God", "Spirit", "Son", "Father", "Holy", "Kingdom", "Most", "High", "Almighty", "King"])


@dataclass(frozen=True)
class English:
    """One verse: its tokens, their tags, and which of them are names (capitalised wherever they occur)."""

    tokens: list[str]
    tags: list[str]
    names: list[bool]


def tag_english(verses: Iterable[str]) -> list[English]:
    """Tag the verses.

    Tags are UPOS, with the conventions MasakhaPOS follows for Chichewa: possessives and attributive determiners are
    ADJ (the language has no articles), the copula is a VERB.

    Raises:
        InputError: the tagger is not installed.
    """
    tagger = _tagger()
    cut = [_TOKEN.findall(verse) for verse in verses]
    low, high = Counter[str](), Counter[str]()
    for tokens in cut:
        for i, token in enumerate(tokens):
            if token[0].isalpha():
                if token[0].islower():
                    low[token] += 1
                elif i and tokens[i - 1] not in _OPENERS:
                    high[token] += 1
    names = {
        token for token, n in high.items() if n > 5 * low[token.lower()] and token not in _TITLES and len(token) > 1
    }
    raw = [[tag for _, tag in tagger.tag(" ".join(tokens))] for tokens in cut]
    usual: dict[str, Counter[str]] = {}
    for tokens, tags in zip(cut, raw, strict=True):
        for token, tag in zip(tokens, tags, strict=True):
            usual.setdefault(token.lower(), Counter())[tag] += 1
    verses_out = []
    for tokens, tags in zip(cut, raw, strict=True):
        named = [token in names for token in tokens]
        mended = [_mend(i, tokens, tags, named[i], usual) for i in range(len(tokens))]
        verses_out.append(English(tokens, mended, named))
    return verses_out


def _mend(i: int, tokens: list[str], tags: list[str], named: bool, usual: dict[str, Counter[str]]) -> str:
    token, tag = tokens[i], tags[i]
    low = token.lower()
    if not any(c.isalnum() for c in token):
        return "PUNCT"
    if named or (token in _TITLES and i and tokens[i - 1] not in _OPENERS):
        return "PROPN"
    if tag in ("PROPN", "X"):  # written small elsewhere: the tagger guessed from the capital or the ending
        tag = next((t for t, _ in usual[low].most_common() if t not in ("PROPN", "X")), "NOUN")
    if low in _BE or low in ("let", "please"):
        return "VERB" if low != "please" else "INTJ"
    if low == "according":
        return "ADP"
    if low in _JOINING or (
        low == "for" and (token == "For" or tokens[i - 1 : i] == [","] or tokens[i + 1 : i + 2] in _SUBJECTS)
    ):
        return "CCONJ"
    if low in _POSSESSIVES:
        return "ADJ"
    if low in _NOTHING or (low == "to" and tag == "PART"):
        return "PART"
    if tag == "DET" or (low in _DETERMINERS and tag != "SCONJ"):
        return "DET"
    if low == "one" and (i + 1 == len(tokens) or tags[i + 1] not in ("NOUN", "ADJ")):
        return "DET"
    return "CCONJ" if tag == "CONJ" else tag


def _tagger() -> Any:
    try:
        models = importlib.import_module("rippletagger.models")
        models.xrange = range  # type: ignore[attr-defined]  # the package was written for Python 2
        return importlib.import_module("rippletagger.tagger").Tagger("en")
    except ImportError:
        raise InputError(
            "the English tagger that the silver labels are projected from is not installed",
            expected="pip install 'lexigraft[build-sample]'",
        ) from None
