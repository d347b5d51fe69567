"""Unigram: many candidate pieces, pruned by how much the likelihood of the text needs them (Kudo 2018).

Learnt by sentencepiece on one thread: `tokenizers` does not give the same scores twice (ids of some hundred pieces
swap), sentencepiece with a fixed number of threads does.
"""

from __future__ import annotations

import io
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import Algorithm, Task

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_UNK = "<unk>"
# Eight candidates a piece give the same fertility as all candidates, in a third of the time.
_SEEDS_A_PIECE, _FEW_SEEDS, _MOST_SEEDS = 8, 16_000, 1_000_000
_MOST_POSITIONS = 20_000_000


def learn(task: Task) -> dict[str, Any]:
    """Learn the pieces and put them into the form of `tokenizers`.

    Args:
        task: what to learn from, and how much.

    Returns:
        The `model` part of a tokenizer.json.

    Raises:
        InputError: the text cannot give that many pieces, or the specials and letters alone are more.
    """
    import sentencepiece

    raw = learn_model(task)
    processor = sentencepiece.SentencePieceProcessor(model_proto=raw)
    pieces = [
        (processor.IdToPiece(i), processor.GetScore(i))
        for i in range(processor.GetPieceSize())
        if not processor.IsUnknown(i)
    ]
    return {
        "type": "Unigram",
        "unk_id": task.specials.index(task.unk) if task.unk is not None else None,
        "vocab": [[text, 0.0] for text in task.specials] + [list(piece) for piece in pieces],
        "byte_fallback": task.byte_fallback,
    }


def learn_model(task: Task) -> bytes:
    """Learn the pieces; returns the serialised SentencePiece model, whose only control piece is the unknown one."""
    import sentencepiece

    ranked = seeds(task.counts, task.max_piece_length)
    few = ranked[: min(max(_SEEDS_A_PIECE * task.vocab_size, _FEW_SEEDS), _MOST_SEEDS)]
    sentencepiece.set_min_log_level(2)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seeds.tsv"
        try:
            return _train(task, few, file)
        except RuntimeError as error:
            if len(few) == len(ranked) or "too high" not in str(error):
                raise _explained(task, str(error)) from None
        try:
            return _train(task, ranked[:_MOST_SEEDS], file)
        except RuntimeError as error:
            raise _explained(task, str(error)) from None


def seeds(counts: Mapping[str, int], longest: int) -> list[tuple[str, int]]:
    """Collect the candidates: everything within a part that occurs twice or more.

    sentencepiece counts in how many *different* words a candidate occurs, so that a frequent word that is always
    written alike is no candidate at all. Counting occurrences gives 4 to 8 % fewer pieces a word on held-out Hausa
    and Yoruba (16k pieces).

    Args:
        counts: part -> how often it occurs.
        longest: longest candidate, in characters.

    Returns:
        (candidate, occurrences), by occurrences times length, the largest first.
    """
    found: Counter[str] = Counter()
    room = _MOST_POSITIONS
    for part, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        size = len(part)
        room -= size * min(size, longest)
        if room < 0:
            break
        for start in range(size):
            for end in range(start + 1, min(start + longest, size) + 1):
                found[part[start:end]] += count
    frequent = [(piece, count) for piece, count in found.items() if count > 1 and len(piece) > 1]
    return sorted(frequent, key=lambda item: (-item[1] * len(item[0]), item[0]))


def _train(task: Task, candidates: list[tuple[str, int]], file: Path) -> bytes:
    import sentencepiece

    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{piece}\t{count}\n" for piece, count in candidates)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_sentences(task),
        model_writer=model,
        model_type="unigram",
        input_format="tsv",
        seed_sentencepieces_file=str(file),
        vocab_size=task.vocab_size - len(task.specials) + 1,
        num_threads=1,
        character_coverage=task.character_coverage,
        byte_fallback=task.byte_fallback,
        max_sentencepiece_length=task.max_piece_length,
        max_sentence_length=1 << 20,
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
    )
    return model.getvalue()


def _sentences(task: Task) -> Iterator[str]:
    for part, count in sorted(task.counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{part}\t{count}"


def _explained(task: Task, reason: str) -> InputError:
    extra = len(task.specials) - 1
    if found := re.search(r"value <= (\d+)", reason):
        return InputError(
            "the text cannot give so many pieces",
            found=f"vocab_size {task.vocab_size}",
            expected=f"at most {int(found[1]) + extra}, or more text",
        )
    if found := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return too_small(task, int(found[1]) + extra)
    return InputError(f"sentencepiece could not learn from this text: {reason}")


def too_small(task: Task, least: int) -> InputError:
    """Say that specials and letters alone need more room than the vocabulary has."""
    return InputError(
        "special tokens and letters alone are more than the vocabulary holds",
        found=f"vocab_size {task.vocab_size}",
        expected=f"at least {least}, or a lower character_coverage than {task.character_coverage:g}",
    )


def covered(counts: dict[str, int], share: float) -> int:
    """Count the most frequent characters that make up a share of the text.

    Args:
        counts: how often each character occurs.
        share: between 0 and 1.

    Returns:
        How many characters are needed.
    """
    left = math.floor(sum(counts.values()) * (1 - share) + 1e-9)
    kept = len(counts)
    for count in sorted(counts.values()):
        left -= count
        if left < 0:
            break
        kept -= 1
    return kept


SPEC = Algorithm(
    name="unigram",
    summary="Unigram language model over pieces, by sentencepiece on one thread.",
    paper="Kudo 2018, Subword Regularization, section 3.2",
    when="The default: the fewest pieces a word in the languages we tried, and scores to sample cuts from.",
    when_not="Little text: it gives fewer pieces than BPE does.",
    family="metaspace",
    learn=learn,
)
