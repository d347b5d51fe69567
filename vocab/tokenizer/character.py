"""Characters: every letter of the text is a piece, and nothing else is."""

from __future__ import annotations

from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task, TooFewPieces, ranked_letters
from vocab.tokenizer.bpe import with_unknown


def learn(task: Task) -> dict[str, Any]:
    """List the letters.

    Args:
        task: what to learn from.

    Returns:
        The `model` part of a tokenizer.json: BPE without a merge.

    Raises:
        InputError: there are more letters than the vocabulary may hold.
    """
    return with_unknown(unmerged(task, ranked_letters(task)[0]), task)


def unmerged(task: Task, letters: list[str]) -> dict[str, Any]:
    """Make a BPE model that has letters only, after the reserved tokens."""
    tokens = [*task.reserved, *letters]
    if len(tokens) > task.vocab_size:
        raise TooFewPieces(task, len(tokens))
    return {"type": "BPE", "vocab": {token: index for index, token in enumerate(tokens)}, "merges": []}


SPEC = Algorithm(
    name="character",
    summary="One piece a character; as many pieces as the text has characters.",
    paper="Clark et al. 2022, CANINE (characters as a model's input)",
    when="Very little text; noisy spelling; a floor that other tokenizers are held against.",
    when_not="Wherever sequences must be short: four to six times the tokens of a subword vocabulary.",
    family="metaspace",
    learn=learn,
    sized=False,
)
