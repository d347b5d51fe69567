"""What a new tokenizer takes over from the source's, so that it drops into the source's model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.tokenizer.load import wrap
from vocab.tokenizer.options import BuildOptions
from vocab.tokenizer.roles import ROLES, state_of
from vocab.tokenizer.sampling import DROPOUT
from vocab.tokenizer.sentencepiece_model import SPACE, mended

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast


_ENDS = (("cls", "bos"), ("sep", "eos"))


@dataclass
class Likeness:
    """Settings of a source tokenizer.

    Attributes:
        specials: role -> text, in the order of the source's ids.
        flags: text -> (lstrip, rstrip) of special tokens.
        extra: special tokens without a role that the post-processor writes.
        normaliser: parts of the normaliser, word marks left out.
        pre_tokeniser: the source's pre-tokeniser.
        post_processor: the template, in the source's form.
        byte_level: the source is a byte-level tokenizer.
        settings: `model_max_length`, `truncation_side`, ... for transformers.
    """

    specials: dict[str, str]
    flags: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    normaliser: list[dict[str, Any]] = field(default_factory=lambda: [{"type": "NFC"}])
    pre_tokeniser: dict[str, Any] = field(default_factory=dict)
    post_processor: dict[str, Any] = field(default_factory=dict)
    byte_level: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def tokens(self) -> tuple[str, ...]:
        """All special tokens, each once, in the order of the source's ids."""
        return tuple(dict.fromkeys([*self.specials.values(), *self.extra]))


def default() -> Likeness:
    """Return the settings of a tokenizer that is like no other: XLM-R's specials, NFC."""
    specials = {"bos": "<s>", "cls": "<s>", "pad": "<pad>", "eos": "</s>", "sep": "</s>", "unk": "<unk>"}
    pair = _template([("<s>", 0), ("$A", 0), ("</s>", 0), ("</s>", 0), ("$B", 0), ("</s>", 0)])
    return Likeness(
        specials=specials | {"mask": "<mask>"},
        flags={"<mask>": (True, False)},
        post_processor={
            "type": "TemplateProcessing",
            "single": _template([("<s>", 0), ("$A", 0), ("</s>", 0)]),
            "pair": pair,
        },
    )


def like(source: PreTrainedTokenizerFast) -> Likeness:
    """Read what a tokenizer hands on.

    Args:
        source: the tokenizer of the source model.

    Returns:
        Its settings.
    """
    from vocab.view import Vocabulary

    view = Vocabulary.of(source)
    backend = view.backend
    roles = sorted(view.roles.items(), key=lambda item: item[1])
    post, extra = _post_processor(state_of(backend.post_processor))
    specials = {role: view.tokens[index] for role, index in roles}
    settings = {
        name: value
        for name in ("model_max_length", "truncation_side", "padding_side", "model_input_names")
        if (value := getattr(source, name, None)) is not None
    }
    return Likeness(
        specials=specials,
        flags={t.content: (t.lstrip, t.rstrip) for t in _added(source, backend) if t.content in specials.values()},
        extra=[text for text in extra if text not in specials.values()],
        normaliser=_normaliser(state_of(backend.normalizer)),
        pre_tokeniser=state_of(backend.pre_tokenizer),
        post_processor=post,
        byte_level=view.family == "byte-level",
        settings=settings,
    )


def remade(old: PreTrainedTokenizerFast, raw: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Make a tokenizer of a changed tokenizer.json; all that transformers knows of the old one stays as it was.

    Args:
        old: the tokenizer that was changed.
        raw: its tokenizer.json, changed; every special token is still there.

    Returns:
        The new tokenizer.
    """
    from tokenizers import Tokenizer

    likeness = like(old)
    kept = {name: old.init_kwargs[name] for name in ("extra_special_tokens", DROPOUT) if old.init_kwargs.get(name)}
    kept |= {f"{role}_token": text for role, text in likeness.specials.items()}
    kept["clean_up_tokenization_spaces"] = old.clean_up_tokenization_spaces
    new = wrap(Tokenizer.from_str(json.dumps(raw, ensure_ascii=False)), **likeness.settings, **kept)
    new.chat_template = old.chat_template
    return new


def override(likeness: Likeness, options: BuildOptions) -> None:
    """Change specials, template and settings of the source where the user wants them otherwise.

    Args:
        likeness: what the source hands on; changed here.
        options: what the user chose.

    Raises:
        InputError: the template asks for a role that no token plays.
    """
    for entry in options.specials:
        role, equals, text = entry.partition("=")
        if not (equals and text and role in ROLES):
            likeness.extra.append(entry)
        elif role in likeness.specials:
            _rename(likeness, likeness.specials[role], text)
        else:
            likeness.specials[role] = text
    if options.template == "none":
        likeness.post_processor = {}
    elif options.template == "encoder":
        ends = [likeness.specials.get(role) or likeness.specials.get(other) for role, other in _ENDS]
        if None in ends:
            raise InputError(
                "no token can stand at both ends of a text",
                found=f"the roles {', '.join(likeness.specials) or 'none'}",
                expected="specials such as cls=[CLS] and sep=[SEP]",
            )
        cls, sep = map(str, ends)
        likeness.post_processor = {
            "type": "TemplateProcessing",
            "single": _template([(cls, 0), ("$A", 0), (sep, 0)]),
            "pair": _template([(cls, 0), ("$A", 0), (sep, 0), ("$B", 1), (sep, 1)]),
        }
    for name in ("truncation_side", "model_max_length"):
        if (wanted := getattr(options, name)) is not None:
            likeness.settings[name] = wanted


def _rename(likeness: Likeness, old: str, new: str) -> None:
    """Write a special token otherwise, in every role that it plays and in the template."""
    likeness.specials = {role: new if text == old else text for role, text in likeness.specials.items()}
    if old in likeness.flags:
        likeness.flags[new] = likeness.flags.pop(old)
    for parts in (likeness.post_processor.get(key, []) for key in ("single", "pair")):
        for part in parts:
            if part.get("SpecialToken", {}).get("id") == old:
                part["SpecialToken"] = part["SpecialToken"] | {"id": new}


def _added(source: PreTrainedTokenizerFast, backend: Tokenizer) -> list[Any]:
    """List special tokens with their flags; what transformers was told comes after what the tokenizer.json says."""
    told = getattr(source, "_special_tokens_map", None) or {}
    tokens = [token for token in told.values() if hasattr(token, "content")]  # others are str
    return [*backend.get_added_tokens_decoder().values(), *tokens]


def _normaliser(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Flatten a normaliser, and leave out the parts that only put word marks."""
    if not state:
        return [{"type": "NFC"}]
    if state["type"] == "Sequence":
        return mended([part for inner in state["normalizers"] for part in _normaliser(inner)])
    marks = state["type"] in ("Prepend", "ByteLevel") or (state["type"] == "Replace" and SPACE in str(state["content"]))
    return [] if marks else mended([state])


def _template(parts: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [
        {"Sequence": {"id": text[1:], "type_id": kind}}
        if text in ("$A", "$B")
        else {"SpecialToken": {"id": text, "type_id": kind}}
        for text, kind in parts
    ]


def _post_processor(state: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Bring a post-processor into the form of a template; also the special tokens that it writes."""
    kind = state.get("type")
    if kind == "Sequence":
        for part in state["processors"]:
            found = _post_processor(part)
            if found[0]:
                return found
    if kind in ("BertProcessing", "RobertaProcessing"):
        cls, sep = state["cls"][0], state["sep"][0]
        second = 1 if kind == "BertProcessing" else 0
        middle = [] if second else [(sep, 0)]
        state = {
            "type": "TemplateProcessing",
            "single": _template([(cls, 0), ("$A", 0), (sep, 0)]),
            "pair": _template([(cls, 0), ("$A", 0), (sep, 0), *middle, ("$B", second), (sep, second)]),
        }
    if state.get("type") != "TemplateProcessing":
        return {}, []
    parts = [*state["single"], *state["pair"]]
    tokens = dict.fromkeys(part["SpecialToken"]["id"] for part in parts if "SpecialToken" in part)
    return {key: state[key] for key in ("type", "single", "pair")}, list(tokens)


def post_processor_state(likeness: Likeness) -> dict[str, Any] | None:
    """Give the source's template the new ids."""
    if not likeness.post_processor:
        return None
    ids = {text: index for index, text in enumerate(likeness.tokens)}
    written = [*likeness.post_processor["single"], *likeness.post_processor["pair"]]
    names = dict.fromkeys(part["SpecialToken"]["id"] for part in written if "SpecialToken" in part)
    tokens = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in names}
    return likeness.post_processor | {"special_tokens": tokens}
