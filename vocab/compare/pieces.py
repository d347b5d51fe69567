"""A text cut into pieces, word by word, to be shown."""

from __future__ import annotations

from typing import Any

from vocab.view import Kind, Vocabulary


def pieces(tokenizer: Any, text: str) -> list[list[tuple[str, int, Kind]]]:
    """Cut each word of a text.

    Args:
        tokenizer: anything that `Vocabulary.of` takes.
        text: any text.

    Returns:
        One list for each word between white space; its pieces as (canonical form, id, kind). A word that the
        normaliser drops has none.
    """
    view = Vocabulary.of(tokenizer)
    return [
        [(view.forms[index], index, Kind(int(view.kind[index]))) for index in ids.tolist()]
        for ids in encode_words(view, text.split(), first=True)
    ]


def encode_words(view: Vocabulary, words: list[str], *, first: bool = False) -> list[Any]:
    """Encode words, each alone, as the tokenizer cuts them behind a space.

    Args:
        view: the tokenizer.
        words: the words.
        first: the first word begins the text.

    Returns:
        One int32 array of ids a word.
    """
    if view.family != "byte-level":
        return view.encode(words)
    return view.encode([word if first and place == 0 else f" {word}" for place, word in enumerate(words)])
