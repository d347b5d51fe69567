"""Parts of a text that are worth a comparison of their own: domains, spellings, code-switched lines."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.tokenizer.texts import Lines

if TYPE_CHECKING:
    import pandas as pd

# Letters with a hook or stroke have no decomposition; without them they are written so.
_BARE = str.maketrans("ɓɗƙƴƁƊƘƳɖƒɣŋɔɛøłđħƉƑƔŊƆƐØŁĐĦ", "bdkyBDKYdfgnoeoldhDFGNOEOLDH")


@dataclass(frozen=True)
class Lazy:
    """Lines made from others whenever they are gone through.

    Attributes:
        make: gives the lines.
    """

    make: Callable[[], Iterator[str]]

    def __iter__(self) -> Iterator[str]:
        return self.make()


def without_diacritics(line: str) -> str:
    """Write a line as on a keyboard without accents: marks, hooks and strokes dropped."""
    bare = "".join(c for c in unicodedata.normalize("NFD", line) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", bare).translate(_BARE)


def spellings(texts: Any) -> dict[str, Lazy]:
    """Give the lines that have diacritics as they are written, and the same lines without them.

    Args:
        texts: files or lines that can be gone through twice.

    Returns:
        `with diacritics` and `without diacritics`: as many lines in both.
    """
    lines = Lines(texts)

    def marked() -> Iterator[str]:
        return (line for line in lines if without_diacritics(line) != unicodedata.normalize("NFC", line))

    return {
        "with diacritics": Lazy(marked),
        "without diacritics": Lazy(lambda: (without_diacritics(line) for line in marked())),
    }


def code_switched(
    texts: Any, other: Any, *, share: float = 0.2, times: float = 10.0, least: int = 5
) -> dict[str, list[str]]:
    """Part lines that hold words of another language from those that do not.

    A word is taken for one of the other language when it is there at least `times` as frequent, by share of the
    words; so words that both languages use decide nothing.

    Args:
        texts: the language; files or lines that can be gone through twice.
        other: text in the other language.
        share: a line is code-switched from this share of such words on.
        times: how many times as frequent.
        least: how often the other text must have the word.

    Returns:
        `code-switched` and `one language`.
    """
    lines = list(Lines(texts))
    own, foreign = (Counter(word.lower() for line in text for word in line.split()) for text in (lines, Lines(other)))
    scale = times * foreign.total() / max(own.total(), 1)
    words = {word for word, count in foreign.items() if count >= least and count >= scale * own[word]}
    parts: dict[str, list[str]] = {"code-switched": [], "one language": []}
    for line in lines:
        found = [word.lower() in words for word in line.split()]
        parts["code-switched" if sum(found) >= share * len(found) else "one language"].append(line)
    return parts


def compare_slices(tokenizers: Mapping[str, Any], slices: Mapping[str, Any], **more: Any) -> pd.DataFrame:
    """Compare tokenizers on parts of a text.

    Args:
        tokenizers: name -> anything that `Vocabulary.of` takes.
        slices: name -> text: a domain's files, or what the functions above return.
        more: as for `vocab.compare`.

    Returns:
        As `vocab.compare`, with the slice and the tokenizer as index; `.attrs["slices"]`: slice -> the attributes of
        its table. Slices without a line are left out, and named in `.attrs["empty"]`.

    Raises:
        InputError: every slice is empty; and as `vocab.compare`.
    """
    from vocab.compare import compare

    filled, empty = without_empty(slices)
    return together({name: compare(tokenizers, texts, **more) for name, texts in filled.items()}, empty)


def without_empty(slices: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Part the slices that have a line from the names of those that have none.

    Raises:
        InputError: every slice is empty.
    """
    filled = {name: texts for name, texts in slices.items() if next(iter(Lines(texts)), None) is not None}
    empty = [name for name in slices if name not in filled]
    if not filled:
        raise InputError("no slice has a line in it", found=", ".join(empty))
    return filled, empty


def together(tables: Mapping[str, pd.DataFrame], empty: Sequence[str] = ()) -> pd.DataFrame:
    """Put tables of `vocab.compare` under each other; what `compare_slices` returns.

    Args:
        tables: by slice.
        empty: slices that are left out.
    """
    import pandas as pd

    attributes = {name: table.attrs for name, table in tables.items()}
    bare = {name: table.copy() for name, table in tables.items()}
    for table in bare.values():
        table.attrs = {}
    whole = pd.concat(bare, names=["slice"])
    whole.attrs = {"slices": attributes, "empty": [*empty]}
    return whole
