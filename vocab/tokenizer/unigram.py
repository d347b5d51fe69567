"""Unigram: many candidate pieces, pruned by how much the likelihood of the text needs them (Kudo 2018).

Learnt by sentencepiece on one thread: `tokenizers` does not give the same scores twice (ids of some hundred pieces
swap), sentencepiece with a fixed number of threads does.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task, TooManyPieces
from vocab.tokenizer.candidates import candidates, with_room
from vocab.tokenizer.sentencepiece_trainer import train

# Eight candidates a piece give the same fertility as all candidates, in a third of the time.
_SEEDS_A_PIECE, _FEW_SEEDS, _MOST_SEEDS = 8, 16_000, 1_000_000
_AHEAD = 1e-3


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

    processor = sentencepiece.SentencePieceProcessor(model_proto=learn_model(task))
    pieces = [
        (processor.IdToPiece(i), processor.GetScore(i))
        for i in range(processor.GetPieceSize())
        if not processor.IsUnknown(i)
    ]
    return unigram_model(task, with_given(pieces, task.given))


def unigram_model(task: Task, pieces: list[tuple[str, float]]) -> dict[str, Any]:
    """Return the `model` part of a tokenizer.json for pieces and their log probabilities, specials before them."""
    return {
        "type": "Unigram",
        "unk_id": task.specials.index(task.unk) if task.unk is not None else None,
        "vocab": [[text, 0.0] for text in task.specials] + [list(piece) for piece in pieces],
        "byte_fallback": task.byte_fallback,
    }


def learn_model(task: Task) -> bytes:
    """Learn the pieces; returns the serialised SentencePiece model, whose only control piece is the unknown one."""
    found = candidates(task.counts, task.max_piece_length)
    few = min(max(_SEEDS_A_PIECE * task.vocab_size, _FEW_SEEDS), _MOST_SEEDS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seeds.tsv"
        try:
            return _train(task, found.best(few), file)
        except TooManyPieces:
            if len(found) <= few:
                raise
        return _train(task, found.best(_MOST_SEEDS), file)


def sampled(task: Task) -> list[str]:
    """Say where candidates come from a sample only: the most frequent parts of a large text."""
    used = with_room(task.counts, task.max_piece_length)
    if len(used) == len(task.counts):
        return []
    share = sum(map(task.counts.__getitem__, used)) / sum(task.counts.values())
    return [f"candidates come from the {len(used):,} most frequent words, {share:.1%} of the text; scores from all"]


def with_given(pieces: list[tuple[str, float]], given: tuple[str, ...]) -> list[tuple[str, float]]:
    """Put the pieces that the user asks for in the place of the least probable ones.

    Each gets a score just above that of its best cut into other pieces, so that it is never cut where it could stand.

    Args:
        pieces: (piece, log probability).
        given: pieces that must be there.

    Returns:
        As many pieces as before.
    """
    if not given:
        return pieces
    scores = dict(pieces)
    missing = [piece for piece in dict.fromkeys(given) if piece not in scores]
    asked = frozenset(given)
    spare = sorted((score, piece) for piece, score in pieces if len(piece) > 1 and piece not in asked)
    for _, piece in [entry for entry in spare if not entry[1].startswith("<0x")][: len(missing)]:
        del scores[piece]
    floor = min(scores.values(), default=0.0)
    for piece in sorted(dict.fromkeys(given), key=len):
        cut = _best_cut(piece, scores)
        own = scores.get(piece, floor)
        scores[piece] = own if cut is None else max(own, cut + _AHEAD)
    return list(scores.items())


def _best_cut(piece: str, scores: Mapping[str, float]) -> float | None:
    """Return the log probability of the best cut of a piece into two or more pieces; None where there is none."""
    best = [0.0] + [-math.inf] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            if end - start < len(piece):
                best[end] = max(best[end], best[start] + scores.get(piece[start:end], -math.inf))
    return best[-1] if best[-1] > -math.inf else None


def _train(task: Task, pieces: Iterable[tuple[str, int]], file: Path) -> bytes:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("".join([f"{piece}\t{count}\n" for piece, count in pieces]))
    return train(task, "unigram", seed_sentencepieces_file=str(file))


SPEC = Algorithm(
    name="unigram",
    summary="Unigram language model over pieces, by sentencepiece on one thread.",
    paper="Kudo 2018, Subword Regularization, section 3.2",
    when="The default: the fewest pieces a word in the languages we tried, and scores to sample cuts from.",
    when_not="Little text: it gives fewer pieces than BPE does.",
    family="metaspace",
    learn=learn,
    limits=sampled,
)
