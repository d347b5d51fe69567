"""Backward WordPiece: WordPiece's pieces, cut greedily from the right (the backward half of Lee et al. 2020).

No WordPiece model matches from the right, and no scores of pieces make a search for the best cut do so: of words over
a, b, c with the pieces a, b, c, ab, bc, ca, abc must become a|bc, bca b|ca and cab c|ab, and these three cuts hold each
piece as often as ab|c, bc|a and ca|b do, so they cannot all three score higher. What decides is the search itself: it
keeps, of cuts that score alike, the one whose last piece is longest, and whose last but one is longest before that,
and so on. With all scores alike it is the greedy cut from the right, to the letter.
"""

from __future__ import annotations

from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.bpe import merged
from vocab.tokenizer.unigram import unigram_model


def learn(task: Task) -> dict[str, Any]:
    """Learn WordPiece's pieces, and let all cuts score alike.

    Arguments, result and errors as for BPE; the model is a Unigram one.
    """
    return unigram_model(task, [(piece, 0.0) for piece in merged(task)["vocab"] if piece not in task.specials])


SPEC = Algorithm(
    name="backward-wordpiece",
    summary="WordPiece's pieces, cut greedily from the right.",
    paper="Lee et al. 2020, KR-BERT (the backward half of its two cuts)",
    when="Languages that put endings on stems, where the longest ending should be found first.",
    when_not="Software that reads vocab.txt; `unigram` chooses its pieces for the best cut of the whole word.",
    family="metaspace",
    learn=learn,
)
