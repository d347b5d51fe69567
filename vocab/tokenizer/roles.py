"""Which token plays which part: `[CLS]` and `<s>` are the same thing to a model that starts its sentences with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROLES = ("cls", "sep", "bos", "eos", "pad", "unk", "mask")

# Spellings in the order in which they are believed; `<s>` and `</s>` are treated below.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "cls": ("[CLS]", "<cls>", "<|cls|>"),
    "sep": ("[SEP]", "<sep>", "<|sep|>"),
    "bos": ("<s>", "<bos>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "<|bos|>"),
    "eos": ("</s>", "<eos>", "[EOS]", "<|end_of_text|>", "<|endoftext|>", "<|eos|>", "<|im_end|>"),
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>", "<|padding|>"),
    "unk": ("<unk>", "[UNK]", "<|unk|>", "⁇"),
    "mask": ("<mask>", "[MASK]", "<|mask|>"),
}


def guess_roles(backend: Tokenizer) -> dict[str, str]:
    """Guess the roles of a tokenizer that comes without a configuration.

    Well-known spellings are believed only for added special tokens, or where no such token exists for the role, for
    any token; the model's own unknown token comes first.

    Args:
        backend: the tokenizer.

    Returns:
        Role -> token text, for the roles that were found.
    """
    special = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    roles: dict[str, str] = {}
    for role, spellings in SPELLINGS.items():
        for known in (special.__contains__, lambda text: backend.token_to_id(text) is not None):
            hit = next((text for text in spellings if known(text)), None)
            if hit is not None:
                roles[role] = hit
                break
    unk = model_unk(backend)
    if unk is not None:
        roles["unk"] = unk
    # An encoder that writes `<s> A </s>` uses them as [CLS] and [SEP]; a decoder's `<s>` is no [CLS].
    if "mask" in roles or _is_pair_template(backend):
        for role, other in (("cls", "bos"), ("sep", "eos")):
            if role not in roles and roles.get(other) in ("<s>", "</s>"):
                roles[role] = roles[other]
    return roles


def _is_pair_template(backend: Tokenizer) -> bool:
    state = state_of(backend.post_processor)
    names = json.dumps(state)
    return state.get("type") == "RobertaProcessing" or (
        state.get("type") == "TemplateProcessing" and '"<s>"' in names and '"</s>"' in names
    )


def model_unk(backend: Tokenizer) -> str | None:
    """Return the text of the token that the model itself writes for what it does not know, or None."""
    unk = getattr(backend.model, "unk_token", None)
    if unk is None:
        unk_id = getattr(backend.model, "unk_id", None)
        unk = backend.id_to_token(unk_id) if isinstance(unk_id, int) else None
    return unk if unk is not None and backend.token_to_id(unk) is not None else None


def state_of(component: Any) -> dict[str, Any]:
    """Return the settings of a normaliser, pre-tokeniser, post-processor or decoder as a dict, empty for none."""
    return {} if component is None else dict(json.loads(component.__getstate__()))


def parts_of(state: dict[str, Any] | None) -> list[dict[str, Any]]:
    """List the parts of a normaliser, pre-tokeniser, post-processor or decoder, taken out of its sequences."""
    if not state:
        return []
    keys = ("normalizers", "pretokenizers", "processors", "decoders")
    inner = next((state[key] for key in keys if key in state), None)
    return [state] if inner is None else [part for one in inner for part in parts_of(one)]
