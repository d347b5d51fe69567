"""Count what a text is made of, at flat memory, and say what looks wrong with it."""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lexigraft import InputError
from vocab.tokenizer.tally import Tally
from vocab.tokenizer.tally import letters as letters_in

Progress = Callable[[float, float, dict[str, Any]], None]
_HELD = 20  # one line in so many is held out
_EVERY = 20_000
_JOINERS = "\u200c\u200d"  # these belong to the spelling in Arabic and Indic scripts and in emoji


@dataclass
class Counted:
    """What a text is made of.

    Attributes:
        words: words between white space (or lines, where pieces may cross spaces) -> how often.
        held: the same of the lines that were held out.
        lines: how many.
        running: words in all lines, held-out ones included.
        held_running: words in the lines held out.
        characters: in all lines.
        left_out: occurrences of rare words that did not fit the memory.
    """

    words: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    running: int = 0
    held_running: int = 0
    characters: int = 0
    left_out: int = 0


def count(
    lines: Iterable[str], *, across: bool = False, hold: bool = False, progress: Progress | None = None
) -> Counted:
    """Go over a text once.

    Args:
        lines: the text.
        across: count lines instead of words.
        hold: hold one line in twenty out, the same whatever their order.
        progress: called as (0, 2, facts).

    Returns:
        The counts.
    """
    kept, held = Tally(), Tally()
    found = Counted()
    for line in lines:
        found.lines += 1
        found.characters += len(line)
        words = line.split()
        found.running += len(words)
        aside = hold and zlib.crc32(line.encode("utf-8", "surrogatepass")) % _HELD == 0
        if aside:
            found.held_running += len(words)
        (held if aside else kept).add([line.replace("\n", " ")] if across else words)
        if progress is not None and found.lines % _EVERY == 0:
            progress(0, 2, {"stage": "reading", "lines": found.lines})
    found.words, found.held = kept.close(), held.close()
    found.left_out = kept.left_out + held.left_out
    return found


def joined(languages: Mapping[str, Counted], alpha: float) -> tuple[Counted, dict[str, float]]:
    """Put languages together, the small ones lifted: one with n words counts as n^alpha would (Conneau et al. 2020).

    Args:
        languages: name -> counts.
        alpha: between 0 (all alike) and 1 (as they are).

    Returns:
        The counts of all, the largest language as it is; and by what each was multiplied.
    """
    sizes = {name: max(counted.running, 1) for name, counted in languages.items()}
    most = max(sizes.values())
    weights = {name: (most / size) ** (1 - alpha) for name, size in sizes.items()}
    whole = Counted()
    for name, counted in languages.items():
        for total, part in ((whole.words, counted.words), (whole.held, counted.held)):
            for word, number in part.items():
                total[word] += round(number * weights[name])
        whole.lines += counted.lines
        whole.running += counted.running
        whole.held_running += round(counted.held_running * weights[name])
        whole.characters += counted.characters
        whole.left_out += counted.left_out
    return whole, weights


def letters_of(words: Mapping[str, int]) -> Counter[str]:
    """Count the characters of words.

    Raises:
        InputError: half a character stands among them.
    """
    letters = letters_in(words)
    halves = [letter for letter in letters if "\ud800" <= letter <= "\udfff"]
    if halves:
        raise InputError(
            "the text holds half a character (a lone surrogate)",
            found=f"U+{ord(halves[0]):04X}",
            expected="text that was decoded whole, without errors='surrogateescape'",
        )
    return letters


def normal_form(words: Mapping[str, int]) -> tuple[str, float | None]:
    """Choose the normal form that keeps the letters of a language whole.

    Args:
        words: word -> how often.

    Returns:
        NFC where it makes at least half of the marked letters one character, else NFD: where most stay in pieces
        anyway, a letter is better always cut alike. And the share that NFC makes one; None without such letters.
    """
    whole = broken = 0
    for word, number in words.items():
        if word.isascii():
            continue
        composed = unicodedata.normalize("NFC", word)
        for place, letter in enumerate(composed):
            if unicodedata.decomposition(letter)[:1] in ("", "<"):
                continue  # both forms write it alike
            if unicodedata.category(composed[place + 1 : place + 2] or "a") == "Mn":
                broken += number
            else:
                whole += number
    share = whole / (whole + broken) if whole + broken else None
    return ("NFD" if share is not None and share < 0.5 else "NFC"), share


def altered(letters: Counter[str], normalise: Callable[[str], str]) -> dict[str, Any]:
    """Say which characters the normaliser drops or changes when they stand alone, with counts, most frequent first."""
    dropped: dict[str, int] = {}
    changed: dict[str, int] = {}
    lowercased = 0
    for character, number in letters.most_common():
        if character.isspace():
            continue
        # Between letters that compose with nothing, so that no normaliser takes it for an accent or the end.
        out = normalise(f"q{character}q").strip()[1:-1].strip()
        if not out:
            dropped[character] = number
        elif out == character.lower() != character:
            lowercased += number
        elif out != character:
            changed[f"{character} → {out}"] = number
    return {"dropped": dropped, "changed": changed, "lowercased": lowercased}


def notices(counted: Counted, letters: Counter[str], what: str = "words") -> list[str]:
    """Say what in a text will harm the vocabulary, one sentence each; nothing where all is well."""
    said = []
    kinds = {
        "invisible characters": [c for c in letters if unicodedata.category(c) == "Cf" and c not in _JOINERS],
        "control characters": [c for c in letters if unicodedata.category(c) == "Cc" and not c.isspace()],
        "replacement characters, where a text was decoded wrongly": [c for c in letters if c == "\ufffd"],
    }
    for name, found in kinds.items():
        if found:
            codes = ", ".join(f"U+{ord(c):04X}" for c in sorted(found)[:5])
            number = sum(letters[c] for c in found)
            said.append(f"{number:,} {name} ({codes}) split words that look alike: clean the text first")
    other = sum(n for word, n in counted.words.items() if not unicodedata.is_normalized("NFC", word))
    if other:
        share = other / max(counted.words.total(), 1)
        said.append(
            f"{other:,} words ({share:.2%}) are not in NFC: the tokenizer brings them to its form, others may not"
        )
    if counted.left_out:
        said.append(f"{counted.left_out:,} occurrences of the rarest {what} were left out to keep memory flat")
    return said
