"""WordPiece: BERT's pieces, `##` inside words, cut greedily from the left (Schuster and Nakajima 2012)."""

from __future__ import annotations

from typing import Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.bpe import merged


def learn(task: Task) -> dict[str, Any]:
    """Learn pieces with `tokenizers`; arguments, result and errors as for BPE."""
    if task.byte_fallback:
        raise InputError("WordPiece cannot spell unknown characters by their bytes", found="byte_fallback=True")
    return merged(task, "WordPiece")


SPEC = Algorithm(
    name="wordpiece",
    summary="WordPiece with ## inside words, by tokenizers.",
    paper="Schuster and Nakajima 2012; Devlin et al. 2019",
    when="A tokenizer that other BERT software reads from vocab.txt.",
    when_not="Where spaces must come back as they were: WordPiece does not keep them.",
    family="wordpiece",
    learn=learn,
)
