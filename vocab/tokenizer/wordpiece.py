"""WordPiece: BERT's pieces, `##` inside words, cut greedily from the left (Schuster and Nakajima 2012)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.bpe import merged

_PREFIX = "##"
_INSIDE = 0xF0000  # a private plane: no text has these characters, and 65,000 are enough


def learn(task: Task) -> dict[str, Any]:
    """Learn pieces with `tokenizers`.

    The WordPiece trainer of `tokenizers` gives other ids each time. It is BPE over letters that know whether a word
    begins with them, so that is what is trained here: letters inside words are replaced by letters of their own.

    Args:
        task: what to learn from, and how much.

    Returns:
        The `model` part of a tokenizer.json.

    Raises:
        InputError: as for BPE.
    """
    letters = sorted({letter for part in [*task.counts, *task.given] for letter in part})
    inside = {ord(letter): _INSIDE + place for place, letter in enumerate(letters)}
    back = {code: ord(letter) for letter, code in zip(letters, inside.values(), strict=True)}

    def mark(part: str) -> str:
        if part.startswith(_PREFIX) and len(part) > len(_PREFIX):
            return part.removeprefix(_PREFIX).translate(inside)
        return part[:1] + part[1:].translate(inside)

    counts = {part[:1] + part[1:].translate(inside): count for part, count in task.counts.items()}
    model = merged(replace(task, counts=counts, given=tuple(map(mark, task.given))))
    vocabulary = {
        _PREFIX * (ord(piece[0]) in back) + piece.translate(back): index for piece, index in model["vocab"].items()
    }
    return {
        "type": "WordPiece",
        "unk_token": task.unk,
        "continuing_subword_prefix": _PREFIX,
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }


SPEC = Algorithm(
    name="wordpiece",
    summary="WordPiece with ## inside words, by tokenizers.",
    paper="Schuster and Nakajima 2012; Devlin et al. 2019",
    when="A tokenizer that other BERT software reads from vocab.txt.",
    when_not="Where spaces must come back as they were: WordPiece does not keep them.",
    family="wordpiece",
    learn=learn,
)
