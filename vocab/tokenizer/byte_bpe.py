"""Byte-level BPE: pairs of bytes, so nothing is ever unknown (Radford et al. 2019)."""

from __future__ import annotations

from typing import Any

from vocab.tokenizer.algorithm import Algorithm, Task
from vocab.tokenizer.bpe import merged


def learn(task: Task) -> dict[str, Any]:
    """Learn merges of bytes with `tokenizers`; arguments, result and errors as for BPE."""
    from vocab.view import byte_alphabet

    return merged(task, alphabet=tuple(sorted(byte_alphabet())))


SPEC = Algorithm(
    name="byte-bpe",
    summary="Byte-pair encoding over bytes, in GPT-2's alphabet; nothing is unknown.",
    paper="Radford et al. 2019, section 2.2",
    when="Text with emoji, several scripts or anything unforeseen; sources that are byte-level themselves.",
    when_not="Scripts of three bytes a character and little text: merges are spent on building letters.",
    family="byte-level",
    learn=learn,
    merges=True,
)
