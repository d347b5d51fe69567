"""A chat template goes along where the new tokenizer has every special token that it writes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def with_template(
    tokenizer: PreTrainedTokenizerFast, old: PreTrainedTokenizerFast, notes: list[str]
) -> PreTrainedTokenizerFast:
    """Give the new tokenizer the old one's chat template, if it has none and can write it.

    Args:
        tokenizer: the new tokenizer; not changed.
        old: the source's tokenizer.
        notes: is told where a template had to be left behind.

    Returns:
        The new tokenizer, or a copy of it with the template.
    """
    template: Any = old.chat_template
    if not template or tokenizer.chat_template:
        return tokenizer
    written = " ".join(template.values()) if isinstance(template, dict) else str(template)
    source, target = Vocabulary.of(old), Vocabulary.of(tokenizer)
    special = {target.tokens[i] for i in np.flatnonzero(target.kind == Kind.SPECIAL).tolist()}
    named = {source.tokens[i] for i in np.flatnonzero(source.kind == Kind.SPECIAL).tolist()}
    missing = sorted(token for token in named - special if token in written)
    missing += sorted(
        f"{role}_token" for role in ("bos", "eos") if f"{role}_token" in written and role not in target.roles
    )
    if missing:
        notes.append(
            f"the source's chat template was left behind: the new tokenizer has no {', '.join(missing)}; add what is "
            "missing as special tokens before the transplant to keep it"
        )
        return tokenizer
    made = copy.deepcopy(tokenizer)
    made.chat_template = template
    return made
