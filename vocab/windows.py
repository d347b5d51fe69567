"""Words in their context, as a language model is asked for them.

A masked model is asked for a word with all its pieces hidden; they are filled in from left to right, so that a piece
is seen by those after it and by none before ("PLL-word-l2r", Kauf & Ivanova 2023, "A Better Way to Do Masked Language
Model Scoring", section 3): with pieces hidden one by one, a finer tokenizer reads the answer off the word's other
pieces. A decoder is asked for each piece after all that stands before it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.view import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTEXT = 50  # characters on either side of a word where models are compared: enough to order them
_MARKS = str.maketrans("", "", "\u2581\u200b")  # SentencePiece's word mark


@dataclass(frozen=True)
class Word:
    """What stands between two white spaces of a line.

    Attributes:
        line: index of the line, from 0.
        start: index of its first character in the line.
        end: index of its last character + 1.
        text: the word itself.
    """

    line: int
    start: int
    end: int
    text: str


def words_of(lines: Iterable[str]) -> list[Word]:
    """All words between white space, by position."""
    found = []
    for number, line in enumerate(lines):
        at = 0
        for text in line.split():
            at = line.index(text, at)
            found.append(Word(number, at, at + len(text), text))
            at += len(text)
    return found


def sample_words(lines: Sequence[str], n: int, seed: int) -> list[Word]:
    """Draw words without replacement, the same ones whatever the model.

    Args:
        lines: the held-out text.
        n: how many; all of them when there are fewer.
        seed: seed of the draw.

    Returns:
        The words, sorted by position.
    """
    every = words_of(lines)
    if n >= len(every):
        return every
    chosen = np.random.default_rng(seed).choice(len(every), size=n, replace=False)
    return [every[i] for i in np.sort(chosen)]


def sample_lines(texts: Iterable[str], n: int, seed: int) -> list[str]:
    """Draw lines without replacement in one pass, in the order of the text; all of them when there are fewer.

    Args:
        texts: lines.
        n: how many.
        seed: seed of the draw.
    """
    draw = np.random.default_rng(seed)
    kept: list[tuple[int, str]] = []
    for number, line in enumerate(texts):
        if len(kept) < n:
            kept.append((number, line))
        elif (place := int(draw.integers(number + 1))) < n:
            kept[place] = (number, line)
    return [line for _, line in sorted(kept)]


def in_context(lines: Sequence[str], words: Sequence[Word], context: int = CONTEXT) -> tuple[list[str], list[Word]]:
    """Give each word a line of its own: what stands around it, as much of it for any tokenizer.

    Args:
        lines: the text.
        words: the words, as `sample_words` gives them.
        context: characters that a word is seen with on either side, at most. Counted in tokens, a model with longer
            ones would be shown more.
    """
    alone = [_alone(lines[word.line], number, word, context) for number, word in enumerate(words)]
    return [line for line, _ in alone], [word for _, word in alone]


def _alone(line: str, number: int, word: Word, context: int) -> tuple[str, Word]:
    """Cut a line to what stands within some characters of a word, in whole words, and say where the word is then."""
    start, end = max(0, word.start - context), min(len(line), word.end + context)
    while 0 < start < word.start and not line[start - 1].isspace():
        start += 1
    while word.end < end < len(line) and not line[end].isspace():
        end -= 1
    return line[start:end], Word(number, word.start - start, word.end - start, word.text)


@dataclass(frozen=True)
class Row:
    """One line of a batch: what the model reads, and what is asked of it where."""

    word: int
    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Words as a model is asked for them.

    Attributes:
        rows: what the model reads, and what is asked of it where.
        pieces: how many pieces each word has.
        status: of each word, see `WordBits`.
        pad: token that rows are filled up with.
        room: tokens that a row has at most.
        causal: the model reads from left to right.
    """

    rows: list[Row]
    pieces: NDArray[np.int64]
    status: list[str]
    pad: int
    room: int
    causal: bool


def windows_of(
    model: Any, tokenizer: Any, lines: Sequence[str], words: Sequence[Word], *, context_tokens: int = 128
) -> Windows:
    """Cut words and what stands around them as a model will be asked for them.

    Args:
        model: the model; its class and configuration are looked at, its weights are not.
        tokenizer: its fast tokenizer, which is not needed afterwards.
        lines: the text the words are from.
        words: which words, as `sample_words` gives them.
        context_tokens: tokens of a window, specials included; the word stands in its middle (a decoder: at its end).

    Raises:
        InputError: the model has no language-modelling head, or the tokenizer no mask token (masked model).
    """
    if model.get_output_embeddings() is None:
        raise InputError("this model has no language-modelling head", found=type(model).__name__)
    causal = is_causal(model)
    if not causal and tokenizer.mask_token_id is None:
        raise InputError("scoring a masked model needs a mask token", found="a tokenizer without one")
    room = min(context_tokens, getattr(model.config, "max_position_embeddings", None) or context_tokens)
    places = _places(tokenizer, lines, words, room - (1 if causal else 2))
    pieces = np.array([place.last - place.first for place in places], dtype=np.int64)
    windows = _causal_windows if causal else _masked_windows
    rows = [row for number, place in enumerate(places) if place.status != "too_long"
            for row in windows(number, place, tokenizer, room)]  # fmt: skip
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    return Windows(rows, pieces, [place.status for place in places], pad, room, causal)


def _masked_windows(number: int, place: _Place, tokenizer: Any, room: int) -> list[Row]:
    """Make a row for each piece of the word: it and all after it hidden, those before it shown."""
    begin, end = ends_of(tokenizer)
    size = room - len(begin) - len(end)
    spare = size - (place.last - place.first)
    left = max(0, min(place.first - spare // 2, len(place.ids) - size))
    ids = place.ids[left : left + size]
    first, last = place.first - left, place.last - left
    rows = []
    for piece in range(first, last):
        shown = ids.copy()
        shown[piece:last] = tokenizer.mask_token_id
        rows.append(
            Row(number, np.concatenate([begin, shown, end]), np.array([piece + len(begin)]), ids[piece : piece + 1])
        )
    return rows


def _causal_windows(number: int, place: _Place, tokenizer: Any, room: int) -> list[Row]:
    """Make one row: what stands before the word and the word; each of its pieces is predicted from all before it."""
    begin = next(
        (t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id) if t is not None), None
    )
    if begin is None:
        raise InputError("scoring needs a token to begin a line with", found="a tokenizer without bos, eos and cls")
    left = max(0, place.last - (room - 1))
    ids = np.concatenate([[begin], place.ids[left : place.last]])
    count = place.last - place.first
    return [Row(number, ids[:-1], np.arange(len(ids) - 1 - count, len(ids) - 1), ids[len(ids) - count :])]


def is_causal(model: Any) -> bool:
    """Whether a model with a language-modelling head is a decoder: it reads from left to right."""
    named = type(model).__name__.endswith(("CausalLM", "LMHeadModel"))
    return named or bool(getattr(model.config, "is_decoder", False))


def ends_of(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens before and after a line: [CLS] and [SEP], or <s> and </s>, or none."""
    begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    return [i for i in (begin,) if i is not None], [i for i in (end,) if i is not None]


@dataclass(frozen=True)
class _Place:
    """One word as the tokenizer sees it: its line's pieces, and which of them are the word."""

    ids: NDArray[np.int64]
    first: int
    last: int
    status: str


def _places(tokenizer: Any, lines: Sequence[str], words: Sequence[Word], room: int) -> list[_Place]:
    """Find each word's pieces by character offsets."""
    view = Vocabulary.of(tokenizer)
    wanted = sorted({word.line for word in words})
    encoded = dict(zip(wanted, view.encodings([lines[i] for i in wanted]), strict=True))
    unknown = tokenizer.unk_token_id
    places = []
    for word in words:
        line, found = lines[word.line], encoded[word.line]
        ids = np.array(found.ids, dtype=np.int64)
        spans = [_trim(line, *span) for span in found.offsets]
        inside = [
            k
            for k, (a, b) in enumerate(spans)
            if max(a, word.start) < min(b, word.end) or word.start <= a == b < word.end
        ]
        if not inside:
            places.append(_Place(ids, 0, 0, "altered"))
            continue
        first, last = inside[0], inside[-1] + 1
        over = spans[first][0] < word.start or spans[last - 1][1] > word.end
        if last - first > room:
            status = "too_long"
        elif unknown is not None and unknown in ids[first:last]:
            status = "unk"
        else:
            status = "altered" if over or alters(view.backend, word.text) else "ok"
        places.append(_Place(ids, first, last, status))
    return places


def _trim(line: str, a: int, b: int) -> tuple[int, int]:
    """Take white space off a piece's span; a piece of white space alone belongs to what follows it."""
    while a < b and line[a].isspace():
        a += 1
    return (a, b) if a < b else (b, b)


def alters(backend: Any, word: str) -> bool:
    """Whether a tokenizer's normaliser changes a word (case, accents, letters), the word mark and NFC aside."""
    if backend.normalizer is None:
        return False
    kind = type(backend.normalizer).__name__
    if kind == "ByteLevel":
        return False
    normal = backend.normalizer.normalize_str(word).translate(_MARKS).strip()
    return unicodedata.normalize("NFC", normal) != unicodedata.normalize("NFC", word.translate(_MARKS))
