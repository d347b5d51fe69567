"""SentencePiece's BPE: merges by its own trainer and in its own order, every pair that spells a piece merges."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.bpe import with_unknown
from vocab.tokenizer.sentencepiece_model import merges_of
from vocab.tokenizer.sentencepiece_trainer import train


def learn(task: Task) -> dict[str, Any]:
    """Learn merges with sentencepiece; arguments, result and errors as for Unigram."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=learn_model(task))
    plain = [
        (processor.IdToPiece(i), processor.GetScore(i))
        for i in range(processor.GetPieceSize())
        if not (processor.IsUnknown(i) or processor.IsByte(i))
    ]
    vocabulary = [*task.reserved, *(piece for piece, _ in plain)]
    model = {
        "type": "BPE",
        "vocab": {piece: index for index, piece in enumerate(vocabulary)},
        "merges": merges_of(plain),
    }
    return with_unknown(model, task)


def learn_model(task: Task) -> bytes:
    """Learn the merges; returns the serialised SentencePiece model, whose only control piece is the unknown one."""
    counts = Counter(task.counts)
    counts.update(dict.fromkeys(task.given, max(counts.values(), default=0)))
    return train(replace(task, counts=counts), "bpe")


SPEC = Algorithm(
    name="sentencepiece-bpe",
    summary="Byte-pair encoding by sentencepiece, with bytes for unknown characters where asked.",
    paper="Kudo and Richardson 2018, SentencePiece, section 3.2; Sennrich et al. 2016",
    when="Sources whose own tokenizer is SentencePiece BPE (Llama 2, Mistral, Gemma).",
    when_not="Elsewhere: `bpe` learns the same kind of pieces and heeds min_frequency.",
    family="metaspace",
    learn=learn,
    merges=True,
)
