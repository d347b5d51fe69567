"""Finds people, places and dates in the Chichewa verses by the English names and dates they are aligned to.

A capitalised Chichewa word is a name when an English name of the same verse is spelt like it, or is what it is aligned
to. Whether that name is a person or a place is learnt from what stands around it in English all over the Bible (`son
of X`, `in X`), starting from a few names everyone knows.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

import numpy as np

from corpora.sample.making.english import English

_PEOPLE = (
    "Abraham Isaac Jacob Joseph Moses Aaron Joshua Samuel Saul David Solomon Elijah Elisha Isaiah "
    "Jeremiah Ezekiel Daniel Job Ruth Esther Mordecai Haman Nehemiah Ezra Peter Paul John James Mary "
    "Martha Lazarus Pilate Herod Christ Timothy Barnabas Silas Philip Stephen Jesus Rebekah Rachel Leah "
    "Sarah Laban Esau Joab Absalom Jonathan Boaz Naomi Pharaoh Nebuchadnezzar Cyrus Darius Zerubbabel "
    "Hezekiah Josiah Ahab Jezebel Jehu Gideon Samson Deborah Barak"
).split()
_PLACES = (
    "Jerusalem Egypt Babylon Samaria Galilee Nazareth Bethlehem Capernaum Damascus Tyre Sidon Nineveh "
    "Assyria Jericho Bethel Gilgal Shiloh Hebron Gaza Ashkelon Ashdod Gath Ekron Lebanon Jordan Sinai "
    "Zion Bashan Carmel Corinth Ephesus Rome Antioch Macedonia Asia Greece Philippi Thessalonica Athens "
    "Cyprus Syria Judea Ethiopia Chaldea Persia Media Sodom Gomorrah Ramah Gibeah Mizpah Beersheba Kadesh "
    "Heshbon Jezreel Tarshish Joppa Caesarea Bethany Canaan Midian"
).split()
_NEITHER = frozenset(
    "Yahweh God Lord Spirit Holy Philistines Philistine Jews Jew Gentiles Satan Messiah Baal Asherah "
    "Molech Passover Sabbath Selah Scripture Scriptures Gospel Hebrew Sabbaths Levite Sea Law Prophets "
    "Scribes Amen Urim Thummim Nazirite Sheol Abaddon Yah Immanuel Pharisees Sadducees Hebrews Greeks "
    "Romans".split()
)
_PEOPLES = ("ites", "ite", "ians", "ian", "itess", "eans", "ean")
_DAYS = frozenset("day days year years month months week weeks night morning evening".split())
_SINGLE_DAYS = frozenset("today tomorrow yesterday".split())
_COUNTS = frozenset(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty "
    "thirty forty fifty sixty seventy eighty ninety hundred first second third fourth fifth sixth seventh "
    "eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth seventeenth twentieth "
    "twenty-first twenty-third twenty-fourth twenty-seventh this same next".split()
)
_LINKS = frozenset("la cha wa ya za a ndi mphambu kudza".split())
# Days, months and years: a date only with a number or a demonstrative.
_UNITS = frozenset("tsiku masiku mwezi miyezi chaka zaka usiku m'mawa madzulo lino lomwe".split())
_SKELETON = str.maketrans({"l": "r", "f": "p", "v": "b", "c": "k", "q": "k", "x": "k", "z": "s", "j": "y", "d": "t"})
_PREFIXES = ("m'", "M'", "ku", "kwa", "pa")


def type_names(verses: Sequence[English]) -> dict[str, dict[str, float]]:
    """Learn how far each English name is a person's (PER) and how far a place's (LOC).

    Naive Bayes over the two words before and the word after, begun from names everyone knows and repeated four times
    with the names it is sure of.

    Returns:
        {name: {"PER": probability, "LOC": probability}}; names of peoples and gods are left out.
    """
    around: dict[str, Counter[str]] = defaultdict(Counter)
    for verse in verses:
        for i, token in enumerate(verse.tokens):
            if verse.names[i] and not _outside(token):
                around[token].update(contexts(verse, i))
    sure = {name: "PER" for name in _PEOPLE} | {name: "LOC" for name in _PLACES}
    odds: dict[str, float] = {}
    for _ in range(4):
        odds = _odds(around, sure)
        for name, seen in around.items():
            score = _score(seen, odds)
            if name not in _PEOPLE and name not in _PLACES and abs(score) > 3:
                sure[name] = "PER" if score > 0 else "LOC"
    fixed = {name: 6.0 for name in _PEOPLE} | {name: -6.0 for name in _PLACES}
    out = {}
    for name, seen in around.items():
        person = 1 / (1 + math.exp(-fixed.get(name, max(-6.0, min(6.0, _score(seen, odds))))))
        out[name] = {"PER": person, "LOC": 1 - person}
    return out


def contexts(verse: English, i: int) -> list[str]:
    """Name the surroundings of token `i`: two words before (names passed over as NAME), one after."""
    words = ["NAME" if named else token.lower() for token, named in zip(verse.tokens, verse.names, strict=True)]
    start = i
    while start and words[start - 1] == "NAME":
        start -= 1
    before = words[start - 1] if start else "<s>"
    further = words[start - 2] if start > 1 else "<s>"
    after = words[i + 1] if i + 1 < len(words) else "</s>"
    tag = verse.tags[i + 1] if i + 1 < len(words) else "</s>"
    return [f"-1 {before}", f"-2 {further} {before}", f"+1 {after}", f"+1 tag {tag}"]


def _outside(name: str) -> bool:
    return name in _NEITHER or (name.endswith(_PEOPLES) and len(name) > 6)


def _odds(around: dict[str, Counter[str]], sure: dict[str, str]) -> dict[str, float]:
    sides: dict[str, Counter[str]] = {"PER": Counter(), "LOC": Counter()}
    for name, side in sure.items():
        total = sum(around[name].values()) if name in around else 0
        for context, n in around.get(name, Counter()).items():
            sides[side][context] += n / math.sqrt(total)  # type: ignore[assignment]  # no name may drown the others
    sums = {side: sum(counts.values()) + 1 for side, counts in sides.items()}
    return {
        c: math.log((sides["PER"][c] + 0.3) / sums["PER"]) - math.log((sides["LOC"][c] + 0.3) / sums["LOC"])
        for c in sides["PER"] | sides["LOC"]
    }


def _score(seen: Counter[str], odds: dict[str, float]) -> float:
    total = sum(seen.values())
    return sum(odds.get(c, 0.0) * n for c, n in seen.items()) / math.sqrt(total) if total else 0.0


@lru_cache(maxsize=200_000)
def alike(english: str, chichewa: str) -> float:
    """Say how alike two names are spelt, 0 to 1, by letters and by their consonants.

    Chichewa writes l for r, f for ph, k for c, ends words in vowels and parts consonants by vowels: `Jerusalem` is
    `Yerusalemu`, `Christ` is `Khristu`.
    """
    a, b = _respell(english.lower()), _respell(chichewa.lower())
    bones = SequenceMatcher(None, _bones(a), _bones(b), autojunk=False).ratio()
    return 0.5 * bones + 0.5 * SequenceMatcher(None, a, b, autojunk=False).ratio()


def _respell(word: str) -> str:
    for old, new in (("ph", "f"), ("th", "t"), ("ch", "k"), ("sh", "s"), ("kh", "k"), ("'", ""), ("-", ""), ("w", "v")):
        word = word.replace(old, new)
    return word.translate(_SKELETON)


def _bones(word: str) -> str:
    return "".join(c for c in word if c not in "aeiouy") or word


def tag_names(
    chichewa: list[str],
    pos: list[str],
    english: English,
    posterior: np.ndarray,
    kinds: dict[str, dict[str, float]],
) -> tuple[list[str], float]:
    """Label one verse.

    Args:
        chichewa: tokens of the verse.
        pos: their silver part-of-speech tags (numbers continue a date).
        english: the English verse.
        posterior: (Chichewa words, English words) alignment posteriors, both without punctuation.
        kinds: from `type_names`.

    Returns:
        BIO tags, one a token, and how sure they are: the share of capitalised words that are explained.
    """
    tags = ["O"] * len(chichewa)
    words = [i for i, token in enumerate(chichewa) if token[0].isalnum()]
    foreign = [j for j, token in enumerate(english.tokens) if token[0].isalnum()]
    column = {j: c for c, j in enumerate(foreign)}
    named = [j for j in foreign if english.names[j]]
    lower = {token.lower() for token in english.tokens}
    capitals, explained = 0, 0
    for row, i in enumerate(words):
        token = chichewa[i]
        bare = _bare(token)
        if bare is None:
            continue
        first = i == 0 or chichewa[i - 1] in {".", "!", "?", '"', "'", ";", ":"}
        best, score = None, 0.0
        for j in named:
            value = alike(english.tokens[j], bare) + 0.6 * float(posterior[row, column[j]])
            if value > score:
                best, score = j, value
        capitals += not first
        if best is None or score < 0.68:
            explained += (not first) and not named and bare.lower() not in lower
            continue
        explained += not first
        name = english.tokens[best]
        # `Aisraele`, the Israelites: a plural of people made from a place's name is no name (MasakhaNER leaves it out).
        rest = bare[1:].capitalize()
        people = bare[0] == "A" and name[0] != "A" and alike(name, rest) > max(0.6, alike(name, bare))
        if name in kinds and not people:
            tags[i] = _kind(english, best, kinds[name], token)
    _join(tags, chichewa)
    _dates(tags, chichewa, pos, words, english, foreign, posterior)
    return tags, explained / capitals if capitals else 1.0


def _bare(token: str) -> str | None:
    """Take the name out of a token: without a locative prefix (`m'Ejipito`); None when it has no capital."""
    for prefix in _PREFIXES:
        if token.startswith(prefix) and token[len(prefix) : len(prefix) + 1].isupper():
            return token[len(prefix) :]
    return token if token[0].isupper() and len(token) > 1 else None


def _kind(english: English, j: int, kind: dict[str, float], token: str) -> str:
    person = kind["PER"]
    before = english.tokens[j - 1].lower() if j else ""
    if person < 0.9 and (token[:2] in ("m'", "M'") or before in ("in", "at", "into")):
        person *= 0.3
    return "B-PER" if person >= 0.5 else "B-LOC"


def _join(tags: list[str], tokens: list[str]) -> None:
    """Make one entity of neighbours of one type that nothing parts (`Yesu Khristu`)."""
    for i in range(1, len(tags)):
        if tags[i] != "O" and tags[i - 1] != "O" and tags[i][2:] == tags[i - 1][2:] and tokens[i][0].isupper():
            tags[i] = f"I{tags[i][1:]}"


def _dates(
    tags: list[str],
    chichewa: list[str],
    pos: list[str],
    words: list[int],
    english: English,
    foreign: list[int],
    posterior: np.ndarray,
) -> None:
    """Label what is aligned to a counted day, month or year, or to `today` and the like."""
    low = [english.tokens[j].lower() for j in foreign]
    part = np.zeros(len(foreign), dtype=int)  # 2: head of a date, 1: its number
    for c, word in enumerate(low):
        if word in _SINGLE_DAYS:
            part[c] = 2
        elif word in _DAYS:
            near = [k for k in range(max(0, c - 3), min(len(low), c + 4)) if low[k] in _COUNTS]
            if near:
                part[c] = 2
                part[near] = np.maximum(part[near], 1)
    if not part.any():
        return
    head = {i: posterior[row] @ (part == 2) for row, i in enumerate(words)}
    linked = {i: posterior[row] @ (part > 0) for row, i in enumerate(words)}
    i = 0
    while i < len(chichewa):
        if head.get(i, 0.0) < 0.5 or tags[i] != "O":
            i += 1
            continue
        end = i + 1
        while end < len(chichewa):
            step = end + 1 if chichewa[end] in _LINKS and end + 1 < len(chichewa) else end
            if step < len(chichewa) and tags[step] == "O" and (pos[step] == "NUM" or linked.get(step, 0.0) >= 0.5):
                end = step + 1
            else:
                break
        if end - i > 1 or chichewa[i].lower() not in _UNITS:
            tags[i:end] = ["B-DATE"] + ["I-DATE"] * (end - i - 1)
        i = end
