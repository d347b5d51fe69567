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
    first = replace(task, counts=words, vocab_size=int(_WORDS * task.vocab_size))
    try:
        model = merged(first)
    except TooManyPieces as error:
        model = merged(replace(first, vocab_size=error.most))
    except TooFewPieces as error:
        if error.least > task.vocab_size:
            raise TooFewPieces(task, error.least) from None
        model = merged(replace(first, vocab_size=error.least))
    wanted = task.vocab_size - len(model["vocab"])
    return with_unknown(continued(model, task, wanted, longest=_LONGEST), task)


SPEC = Algorithm(
    name="supertokens",
    summary="BPE in two stages: within words, then across them, so that frequent phrases are one piece.",
    paper="Liu et al. 2025, SuperBPE: Space Travel for Language Models",
    when="Decoders, where fewer tokens a text are what counts.",
    when_not="Labels on words (a piece may hold several), and models whose pieces should be words.",
    family="metaspace",
    learn=learn,
    across=True,
)
