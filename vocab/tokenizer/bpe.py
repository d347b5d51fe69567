"""BPE: the most frequent pair of neighbours becomes a piece, again and again (Sennrich et al. 2016)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.unigram import BYTES, covered, too_small

_CHUNK = 1000


def learn(task: Task) -> dict[str, Any]:
    """Learn merges with `tokenizers`.

    Args:
        task: what to learn from, and how much.

    Returns:
        The `model` part of a tokenizer.json.

    Raises:
        InputError: the text cannot give that many pieces, or the specials and letters alone are more.
    """
    fallback = BYTES if task.byte_fallback else ()
    model = merged(task, "BPE", fallback=fallback)
    return model | {"unk_token": task.unk, "fuse_unk": task.unk is not None, "byte_fallback": task.byte_fallback}


def merged(task: Task, kind: str, *, alphabet: tuple[str, ...] = (), fallback: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train a BPE or WordPiece model of `tokenizers` on parts that are already cut.

    Args:
        task: what to learn from.
        kind: BPE or WordPiece.
        alphabet: characters that are pieces whatever the text shows (all bytes of a byte-level tokenizer).
        fallback: pieces for single bytes, placed after the specials.

    Returns:
        The `model` part of a tokenizer.json.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    characters: Counter[str] = Counter()
    for part, count in task.counts.items():
        for character in part:
            characters[character] += count
    kept = len(alphabet) if alphabet else covered(dict(characters), task.character_coverage)
    specials = [*task.specials, *fallback]
    settings: dict[str, Any] = {
        "vocab_size": task.vocab_size,
        "min_frequency": task.min_frequency,
        "special_tokens": specials,
        "limit_alphabet": kept,
        "initial_alphabet": list(alphabet),
        "show_progress": False,
    }
    if kind == "WordPiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=task.unk or ""))
        trainer: Any = trainers.WordPieceTrainer(**settings)
    else:
        tokenizer = Tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(**settings, max_token_length=task.max_piece_length)
    least = len(specials) + kept
    if task.vocab_size < least:
        raise too_small(task, least)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_repeated(task.counts), trainer)
    size = tokenizer.get_vocab_size()
    if size < task.vocab_size:
        raise InputError(
            "the text cannot give so many pieces",
            found=f"vocab_size {task.vocab_size}",
            expected=f"at most {size}, more text, or a lower min_frequency than {task.min_frequency}",
        )
    if size > task.vocab_size:
        raise too_small(task, size)
    return dict(json.loads(tokenizer.to_str())["model"])


def _repeated(counts: Mapping[str, int]) -> Iterator[str]:
    for part, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        for start in range(0, count, _CHUNK):
            yield f"{part} " * min(_CHUNK, count - start)


SPEC = Algorithm(
    name="bpe",
    summary="Byte-pair encoding over characters, words marked with ▁.",
    paper="Sennrich, Haddow and Birch 2016, section 3.2",
    when="Large vocabularies from little text; decoders.",
    when_not="Many words with several affixes: it follows frequency, not their parts.",
    family="metaspace",
    learn=learn,
)
