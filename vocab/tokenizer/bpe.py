"""BPE: the most frequent pair of neighbours becomes a piece, again and again (Sennrich et al. 2016)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import Algorithm, Task, TooFewPieces, TooManyPieces, ranked_letters
from vocab.tokenizer.tally import ranked

_CHUNK, _TEXT = 1000, 1 << 14
_PRIVATE = range(0xF0000, 0x10FFFE)  # two planes that no text has characters of


def learn(task: Task) -> dict[str, Any]:
    """Learn merges with `tokenizers`.

    Args:
        task: what to learn from, and how much.

    Returns:
        The `model` part of a tokenizer.json.

    Raises:
        InputError: the text cannot give that many pieces, or the specials and letters alone are more.
    """
    return with_unknown(merged(task), task)


def with_unknown(model: dict[str, Any], task: Task) -> dict[str, Any]:
    """Say what a BPE model writes for characters that it does not know."""
    return model | {"unk_token": task.unk, "fuse_unk": task.unk is not None, "byte_fallback": task.byte_fallback}


def merged(task: Task, *, alphabet: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train a BPE model of `tokenizers` on parts that are already cut.

    Pieces that the user asks for count as much as the most frequent part, so that they are merged early.

    Args:
        task: what to learn from.
        alphabet: characters that are pieces whatever the text shows (all bytes of a byte-level tokenizer).

    Returns:
        The `model` part of a tokenizer.json.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    counts = Counter(task.counts if alphabet else _within_alphabet(task))
    most = max(counts.values(), default=0)
    counts.update(dict.fromkeys(task.given, most))
    kept = len(alphabet) or len(set("".join(counts)))
    least = len(task.reserved) + kept
    if task.vocab_size < least:
        raise TooFewPieces(task, least)
    trainer = trainers.BpeTrainer(
        # The trainer makes room for all pieces beforehand; each merge takes at least one letter away.
        vocab_size=min(task.vocab_size, least + sum(map(len, counts))),
        min_frequency=task.min_frequency,
        special_tokens=list(task.reserved),
        initial_alphabet=list(alphabet),
        max_token_length=max([task.max_piece_length, *(len(piece) + 1 for piece in task.given)]),  # pieces are shorter
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_repeated(counts), trainer)
    size = tokenizer.get_vocab_size()
    if size < task.vocab_size:
        raise TooManyPieces(task, size, f"more text, or a lower min_frequency than {task.min_frequency}")
    return dict(json.loads(tokenizer.to_str())["model"])


def continued(model: dict[str, Any], task: Task, wanted: int, *, longest: int) -> dict[str, Any]:
    """Go on merging where a BPE model left off, on other parts: each token is written as one private letter.

    Args:
        model: the `model` part of a tokenizer.json, of type BPE.
        task: what to learn from.
        wanted: how many pieces to add.
        longest: a new piece holds fewer tokens of the given model than this.

    Returns:
        The model with new pieces and merges after the old ones.

    Raises:
        InputError: the text cannot give so many pieces, or uses too many different tokens.
    """
    from tokenizers import models

    merges = [tuple(pair) for pair in model["merges"]]
    old = models.BPE(model["vocab"], merges, unk_token=task.unk, fuse_unk=True)
    letters: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for part in ranked(task.counts):
        count, run = task.counts[part], ""
        for token in old.tokenize(part):
            if token.value == task.unk:  # nothing is joined across what is not known
                counts[run] += count
                run = ""
            else:
                run += letters.setdefault(token.value, chr(_PRIVATE.start + len(letters)))
        counts[run] += count
    del counts[""]
    if len(letters) > len(_PRIVATE):
        raise InputError("the text uses too many different tokens", found=len(letters), expected=f"{len(_PRIVATE)}")
    inner = replace(
        task,
        counts=counts,
        specials=(),
        byte_fallback=False,
        character_coverage=1.0,
        max_piece_length=longest,
        given=(),
    )
    spelled = str.maketrans({letter: token for token, letter in letters.items()})
    size, goal = len(letters) + wanted, len(model["vocab"]) + wanted
    while True:
        short = False
        try:
            learnt = merged(replace(inner, vocab_size=size))
        except TooManyPieces as error:
            learnt, short = merged(replace(inner, vocab_size=error.most)), True
        vocabulary, table = dict(model["vocab"]), list(model["merges"])
        for pair in learnt["merges"]:
            left, right = (piece.translate(spelled) for piece in pair)
            table.append([left, right])
            vocabulary.setdefault(left + right, len(vocabulary))
        if len(vocabulary) == goal:
            return model | {"vocab": vocabulary, "merges": table}
        if short:
            raise TooManyPieces(task, len(vocabulary))
        size += goal - len(vocabulary)  # two merges may spell the same piece


def _within_alphabet(task: Task) -> Mapping[str, int]:
    """Cut parts at the rare letters that get no piece.

    The trainer's own `limit_alphabet` drops others of equal frequency each time, and joins what stood around them.
    """
    _, rare = ranked_letters(task)
    if not rare:
        return task.counts
    cut = re.compile(f"[{re.escape(''.join(rare))}]+")
    counts = Counter(task.counts)
    for part in filter(cut.search, task.counts):
        count = counts.pop(part)
        for piece in cut.split(part):
            counts[piece] += count
    del counts[""]
    return counts


def _repeated(counts: Mapping[str, int]) -> Iterator[str]:
    """Write parts as often as they occur, in texts of some thousand characters: each text costs a call."""
    texts: list[str] = []
    size = 0
    for part in ranked(counts):
        for start in range(0, counts[part], _CHUNK):
            texts.append(f"{part} " * min(_CHUNK, counts[part] - start))
            size += len(texts[-1])
            if size >= _TEXT:
                yield "".join(texts)
                texts, size = [], 0
    yield "".join(texts)


SPEC = Algorithm(
    name="bpe",
    summary="Byte-pair encoding over characters, words marked with ▁.",
    paper="Sennrich, Haddow and Birch 2016, section 3.2",
    when="Large vocabularies from little text; decoders.",
    when_not="Many words with several affixes: it follows frequency, not their parts.",
    family="metaspace",
    learn=learn,
    merges=True,
)
