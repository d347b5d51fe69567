"""Train sentencepiece on parts that are normalised and cut already, on one thread, so that it repeats to the byte."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import Task, TooFewPieces, TooManyPieces
from vocab.tokenizer.tally import ranked

_UNK = "<unk>"


def train(task: Task, kind: str, **more: Any) -> bytes:
    """Train a model whose only control piece is the unknown one.

    Args:
        task: what to learn from, and how much.
        kind: unigram or bpe.
        more: further settings of sentencepiece.

    Returns:
        The serialised SentencePiece model.

    Raises:
        InputError: the text cannot give that many pieces, or the specials and letters alone are more.
    """
    import sentencepiece

    sentencepiece.set_min_log_level(2)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(task),
            model_writer=model,
            model_type=kind,
            input_format="tsv",
            vocab_size=max(task.vocab_size - len(task.specials) + 1, 1),
            num_threads=1,
            character_coverage=task.character_coverage,
            byte_fallback=task.byte_fallback,
            max_sentencepiece_length=max([task.max_piece_length, *map(len, task.given)]),
            max_sentence_length=1 << 30,
            # Normalised and cut already, exactly as the finished tokenizer does it.
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_by_unicode_script=False,
            split_by_number=False,
            shuffle_input_sentence=False,
            unk_id=0,
            unk_piece=_UNK,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            minloglevel=2,
            **more,
        )
    except RuntimeError as error:
        raise _explained(task, str(error)) from None
    return model.getvalue()


def _sentences(task: Task) -> Iterator[str]:
    for part in ranked(task.counts):
        yield f"{part}\t{task.counts[part]}"


def _explained(task: Task, reason: str) -> InputError:
    extra = len(task.specials) - 1
    if found := re.search(r"value <= (\d+)", reason):
        return TooManyPieces(task, int(found[1]) + extra)
    if found := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return TooFewPieces(task, int(found[1]) + extra)
    return InputError(f"sentencepiece could not learn from this text: {reason}")
