"""Bytes: 256 pieces that write any text, and nothing is learnt (Xue et al. 2022)."""

from __future__ import annotations

from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.character import unmerged


def learn(task: Task) -> dict[str, Any]:
    """List the bytes; arguments, result and errors as for characters."""
    from vocab.view import byte_alphabet

    return unmerged(task, sorted(byte_alphabet()))


SPEC = Algorithm(
    name="byte",
    summary="One piece a byte: 256 pieces and the special tokens, whatever the text.",
    paper="Xue et al. 2022, ByT5",
    when="Any script, any spelling, nothing unknown; a floor that other tokenizers are held against.",
    when_not="Scripts of three bytes a character, unless the model is made for long sequences.",
    family="byte-level",
    learn=learn,
    sized=False,
)
