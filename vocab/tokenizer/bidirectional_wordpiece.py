"""Bidirectional WordPiece: of the cut from the left and the cut from the right, the more probable (Lee et al. 2020).

Either cut alone can be written as a tokenizer.json: `wordpiece` and `backward-wordpiece`. The choice between the two
cannot: no model asks two others, nor do scores of pieces make a search cut greedily from the left (see
`backward_wordpiece`; the same words show it from the other side, and what decides between equal cuts looks from the
right). What the search over all cuts does find, given WordPiece's pieces and their probabilities, is the most probable
cut, which is the better one of the two or one more probable than both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.bpe import merged
from vocab.tokenizer.unigram import unigram_model


def learn(task: Task) -> dict[str, Any]:
    """Learn WordPiece's pieces, and how probable each is where words are cut from either side.

    Arguments, result and errors as for BPE; the model is a Unigram one.
    """
    pieces = [piece for piece in merged(task)["vocab"] if piece not in task.specials]
    known = frozenset(pieces)
    longest = max(map(len, pieces), default=1)
    uses: Counter[str] = Counter()
    for part, count in task.counts.items():
        for cut in (forward(part, known, longest), backward(part, known, longest)):
            for piece in cut or ():
                uses[piece] += count
    total = sum(uses.values()) + len(pieces)
    return unigram_model(task, [(piece, math.log((uses[piece] + 1) / total)) for piece in pieces])


def forward(part: str, known: Collection[str], longest: int) -> list[str] | None:
    """Cut the longest known piece from the left, again and again; None where a letter is unknown."""
    cut: list[str] = []
    start = 0
    while start < len(part):
        end = next((e for e in range(min(len(part), start + longest), start, -1) if part[start:e] in known), None)
        if end is None:
            return None
        cut.append(part[start:end])
        start = end
    return cut


def backward(part: str, known: Collection[str], longest: int) -> list[str] | None:
    """Cut the longest known piece from the right, again and again; None where a letter is unknown."""
    cut: list[str] = []
    end = len(part)
    while end > 0:
        start = next((s for s in range(max(0, end - longest), end) if part[s:end] in known), None)
        if start is None:
            return None
        cut.append(part[start:end])
        end = start
    return cut[::-1]


SPEC = Algorithm(
    name="bidirectional-wordpiece",
    summary="WordPiece's pieces, cut neither from the left nor from the right but where it is most probable.",
    paper="Lee et al. 2020, KR-BERT (there: the better of the two greedy cuts)",
    when="Languages that put the stem last, or affixes on both sides, where cutting from the left spoils the stem.",
    when_not="Software that reads vocab.txt; `unigram` chooses its pieces for this search in the first place.",
    family="metaspace",
    learn=learn,
)
