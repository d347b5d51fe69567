"""BPE: the most frequent pair of neighbours becomes a piece, again and again (Sennrich et al. 2016)."""

from __future__ import annotations

import json
import re
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
    model = merged(task, fallback=fallback)
    return model | {"unk_token": task.unk, "fuse_unk": task.unk is not None, "byte_fallback": task.byte_fallback}


def merged(task: Task, *, alphabet: tuple[str, ...] = (), fallback: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train a BPE model of `tokenizers` on parts that are already cut.

    Args:
        task: what to learn from.
        alphabet: characters that are pieces whatever the text shows (all bytes of a byte-level tokenizer).
        fallback: pieces for single bytes, placed after the specials.

    Returns:
        The `model` part of a tokenizer.json.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    counts = dict(task.counts) if alphabet else _within_alphabet(task)
    kept = len(alphabet) or len({letter for part in counts for letter in part})
    specials = [*task.specials, *fallback]
    trainer = trainers.BpeTrainer(
        vocab_size=task.vocab_size,
        min_frequency=task.min_frequency,
        special_tokens=specials,
        initial_alphabet=list(alphabet),
        max_token_length=task.max_piece_length,
        show_progress=False,
    )
    least = len(specials) + kept
    if task.vocab_size < least:
        raise too_small(task, least)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_repeated(counts), trainer)
    size = tokenizer.get_vocab_size()
    if size < task.vocab_size:
        raise InputError(
            "the text cannot give so many pieces",
            found=f"vocab_size {task.vocab_size}",
            expected=f"at most {size}, more text, or a lower min_frequency than {task.min_frequency}",
        )
    return dict(json.loads(tokenizer.to_str())["model"])


def _within_alphabet(task: Task) -> dict[str, int]:
    """Cut parts at the rare letters that get no piece.

    The trainer's own `limit_alphabet` drops others of equal frequency each time, and joins what stood around them.
    """
    letters: Counter[str] = Counter()
    for part, count in task.counts.items():
        for letter in part:
            letters[letter] += count
    ranked = sorted(letters.items(), key=lambda item: (-item[1], item[0]))
    rare = [letter for letter, _ in ranked[covered(dict(letters), task.character_coverage) :]]
    if not rare:
        return dict(task.counts)
    cut = re.compile(f"[{re.escape(''.join(rare))}]+")
    counts: Counter[str] = Counter()
    for part, count in task.counts.items():
        for piece in cut.split(part):
            counts[piece] += count
    del counts[""]
    return dict(counts)


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
