"""Supertokens: once words are learnt, pieces grow over the spaces between them (Liu et al. 2025, SuperBPE)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task, TooFewPieces, TooManyPieces
from vocab.tokenizer.bpe import continued, merged, with_unknown
from vocab.tokenizer.sentencepiece_model import SPACE

# The published vocabularies of 200,000 begin to cross spaces at 80,000 to 180,000; small ones need their words more.
_WORDS = 0.8
_LONGEST = 4
_WORD = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")


def learn(task: Task) -> dict[str, Any]:
    """Learn BPE within words up to four fifths of the pieces, then go on across them.

    Args:
        task: what to learn from; its parts are stretches of several words.

    Returns:
        The `model` part of a tokenizer.json.

    Raises:
        InputError: as for BPE.
    """
    words: Counter[str] = Counter()
    for stretch, count in task.counts.items():
        for word in _WORD.findall(stretch):
            words[word] += count
    first = replace(task, counts=words)
    try:
        return _in_two_stages(task, replace(first, vocab_size=int(_WORDS * task.vocab_size)))
    except TooFewPieces as error:
        if error.least > task.vocab_size:
            raise TooFewPieces(task, error.least) from None
        return _in_two_stages(task, replace(first, vocab_size=error.least))
    except TooManyPieces:  # more pieces within words leave more to join across them
        try:
            merged(first)
        except TooManyPieces as error:
            first = replace(first, vocab_size=error.most)
        return _in_two_stages(task, first)


def _in_two_stages(task: Task, first: Task) -> dict[str, Any]:
    model = merged(first)
    return with_unknown(continued(model, task, task.vocab_size - len(model["vocab"]), longest=_LONGEST), task)


SPEC = Algorithm(
    name="supertokens",
    summary="BPE in two stages: within words, then across them, so that frequent phrases are one piece.",
    paper="Liu et al. 2025, SuperBPE: Space Travel for Language Models",
    when="Decoders, where fewer tokens a text are what counts.",
    when_not="Labels on words (a piece may hold several), and models whose pieces should be words.",
    family="metaspace",
    learn=learn,
    across=True,
    merges=True,
)
