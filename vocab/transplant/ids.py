"""Token ids that a model's configuration names, moved to the new vocabulary; positions that hang on the padding id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.mixture import SPECIAL, Mixture
from vocab.transplant.load import structure_of
from vocab.view import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SAME_USE = {"bos": "cls", "cls": "bos", "eos": "sep", "sep": "eos"}
IDS = ("_token_id", "_token_index")  # the second where images and sounds stand in text
_LISTS = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "forced_decoder_ids", "sequence_bias")


def update_ids(model: PreTrainedModel, mixture: Mixture, source: Vocabulary, target: Vocabulary) -> list[str]:
    """Move every `*_token_id` (or `_index`) of the configurations, padding and the positions that are counted from it.

    Args:
        model: changed in place.
        mixture: says which new token copies which old one.
        source: the old vocabulary.
        target: the new one.

    Returns:
        What was dropped because it has no counterpart.

    Raises:
        InputError: the model's configuration must name a token that has no counterpart; or the model counts positions
            from the padding id, and the new tokenizer has no padding token, or has it at another id where the table of
            positions cannot be moved along.
    """
    from huggingface_hub.errors import StrictDataclassError

    moved = _moved(mixture)
    notes: list[str] = []
    old_pad = model.config.get_text_config().pad_token_id
    pad = target.roles.get("pad")
    _shift_positions(model, old_pad, pad)
    rows = len(model.get_input_embeddings().weight)  # type: ignore[arg-type]
    generation = getattr(model, "generation_config", None)
    for config in [*configs_of(model.config, rows), *([] if generation is None else [generation])]:
        for name, value in list(vars(config).items()):
            if name.endswith(IDS) and value is not None:
                new = _new_id(name.removesuffix("_token_id"), value, moved, target)
                try:
                    setattr(config, name, new)
                except StrictDataclassError:
                    raise InputError(
                        f"{name} {value} has no counterpart in the new vocabulary", found=f"a {type(model).__name__}",
                        expected="a special token of that use: this model's configuration must name one",
                    ) from None  # fmt: skip
                if new is None or new == []:
                    notes.append(f"{name} {value} has no counterpart in the new vocabulary and was cleared")
            elif name in _LISTS and value:
                setattr(config, name, None)
                notes.append(f"{name} named tokens of the old vocabulary and was cleared")
        if pad is not None and hasattr(config, "pad_token_id"):
            config.pad_token_id = pad
        if target.roles.get("mask") is not None and getattr(config, "mask_token_id", None) is not None:
            config.mask_token_id = target.roles["mask"]
    module: Any
    for module in model.modules():
        if type(module).__name__ != "Embedding" and getattr(module, "padding_idx", None) == old_pad is not None:
            module.padding_idx = pad
    if pad != old_pad:
        _check_positions(model, old_pad, pad)
    return list(dict.fromkeys(notes))


def configs_of(config: Any, rows: int) -> list[Any]:
    """Return the configurations that speak of the vocabulary: the whole, the text's, and parts that have as many rows.

    Both sides of an EncoderDecoderModel are such parts; a vision tower is none.
    """
    parts = [part for part in vars(config).values() if hasattr(part, "to_dict")]
    parts = [part for part in parts if getattr(part, "vocab_size", None) == rows]
    return list({id(part): part for part in (config, config.get_text_config(), *parts)}.values())


def _moved(mixture: Mixture) -> dict[int, int]:
    """Old id -> new id of copied special tokens; of several new ones, the first."""
    result: dict[int, int] = {}
    if SPECIAL in mixture.names:
        code = mixture.names.index(SPECIAL)
        for row in (mixture.method == code).nonzero()[0].tolist():
            result.setdefault(int(mixture.weights.indices[mixture.weights.indptr[row]]), row)
    return result


def _new_id(role: str, value: Any, moved: dict[int, int], target: Vocabulary) -> Any:
    if isinstance(value, list | tuple):
        found = [moved[v] for v in value if v in moved]
        own = target.roles.get(role)
        return list(dict.fromkeys([*([own] if own is not None else []), *found]))
    for candidate in (role, _SAME_USE.get(role, role)):
        if candidate in target.roles:
            return target.roles[candidate]
    return moved.get(value)


def _shift_positions(model: PreTrainedModel, old_pad: int | None, pad: int | None) -> None:
    """Keep positions right where a model counts them from the padding id (RoBERTa and its kin: position = pad + 1 ...).

    Another padding id would give every word another position's row. The table is moved along with it.
    """
    import torch

    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if not isinstance(table, torch.nn.Embedding) or table.padding_idx is None or old_pad is None:
            continue
        if pad is None:
            raise InputError(
                "this model counts positions from the padding token", found="a tokenizer without one",
                expected="a tokenizer with a padding token",
            )  # fmt: skip
        if pad == old_pad:
            continue
        rows = table.weight.detach()[old_pad + 1 :]
        weight = rows.new_zeros(pad + 1 + len(rows), rows.shape[1])
        weight[pad + 1 :] = rows
        table.weight = torch.nn.Parameter(weight, requires_grad=table.weight.requires_grad)
        table.num_embeddings, table.padding_idx = len(weight), pad
        model.config.get_text_config().max_position_embeddings = len(weight)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and name == "position_ids":
                module._buffers[name] = torch.arange(len(weight), device=buffer.device).expand(1, -1)
            elif buffer is not None and name == "token_type_ids":
                module._buffers[name] = buffer.new_zeros(1, len(weight))


def _check_positions(model: PreTrainedModel, old_pad: int | None, pad: int | None) -> None:
    """Refuse another padding id where positions hang on it in a way that no saved table can follow.

    Some models compute the table from the padding id (M2M100 and NLLB, XGLM), some have the id in their code (MPNet):
    loaded again, they would read every word at another place.
    """
    import torch

    again = structure_of(type(model), model.config)
    if again is None:
        return
    for here, there in zip(model.modules(), again.modules(), strict=True):
        computed = hasattr(here, "make_weights") and hasattr(here, "padding_idx")
        table, anew = (getattr(module, "position_embeddings", None) for module in (here, there))
        moved = isinstance(table, torch.nn.Embedding) and table.padding_idx != getattr(anew, "padding_idx", None)
        if computed or moved:
            raise InputError(
                f"positions of {type(model).__name__} hang on the padding id, and it cannot be another one",
                found=f"a tokenizer that pads with id {pad}", expected=f"the padding token at id {old_pad}",
            )  # fmt: skip
