"""Put a mixture on a model: input and output embeddings, output bias, ties, ids, padding; then check the rows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.matrix import parts, take
from vocab.memory import give_back
from vocab.mixture import Mixture
from vocab.transplant.ids import configs_of, update_ids
from vocab.transplant.load import structure_of
from vocab.view import Vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def matrices_of(model: PreTrainedModel, vocabulary: Vocabulary) -> dict[str, Any]:
    """Find a model's matrices over the vocabulary.

    Args:
        model: the source model.
        vocabulary: its tokenizer's.

    Returns:
        `input`, and `output` where it is a matrix of its own: torch tensors (rows, dim).

    Raises:
        InputError: no embedding matrix, fewer rows than tokens, NaN or inf in the rows, or another number of rows in
            the output matrix.
    """
    embedding, head = ends_of(model)
    for name, _ in model.named_modules():
        if name.endswith("embed_tokens_per_layer"):
            raise InputError(
                "the model has embeddings of its own for every layer, which no mixture is made for",
                found=f"{type(model).__name__}.{name}", expected="a model with one embedding matrix",
            )  # fmt: skip
    found = {"input": embedding.weight.detach()}
    if head is not None and head.weight is not embedding.weight:
        found["output"] = head.weight.detach()
        if len(found["output"]) != len(found["input"]):
            raise InputError(
                "input and output embeddings differ in rows: one of them is over more than the vocabulary, or another",
                found=f"{len(found['input'])} and {len(found['output'])} rows", expected="one vocabulary for both",
            )  # fmt: skip
    for role, matrix in found.items():
        if len(matrix) < len(vocabulary):
            raise InputError(
                f"the tokenizer has more tokens than the {role} embeddings have rows: they do not belong together",
                found=f"{len(vocabulary)} tokens and {len(matrix)} rows",
                expected="the tokenizer that the model was trained with",
            )
        for part in parts(matrix, len(vocabulary)):
            bad = np.flatnonzero(~np.isfinite(take(matrix, part)).all(axis=1))
            if len(bad):
                token = part.start + int(bad[0])
                raise InputError(
                    f"the source model's {role} embeddings hold NaN or inf",
                    found=f"row {token} ({vocabulary.tokens[token]!r})",
                    expected="finite numbers",
                )
    return found


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are equal, compared a part at a time."""
    import torch

    if one.shape != other.shape or one.dim() < 2:
        return torch.equal(one, other)
    return all(torch.equal(one[part], other[part]) for part in parts(one, len(one)))


def biases_of(model: PreTrainedModel, head: Any) -> list[torch.Tensor]:
    """Find the output bias: the head's own, the one that BERT keeps beside it, BART's buffer over all (1, rows)."""
    import torch

    size = len(head.weight)
    path = next(name for name, module in model.named_modules() if module is head).split(".")
    found = []
    if isinstance(getattr(head, "bias", None), torch.nn.Parameter):
        found.append(head.bias)
    for module in (model.get_submodule(".".join(path[:depth])) for depth in range(len(path))):
        bias, logits = module._parameters.get("bias"), module._buffers.get("final_logits_bias")
        if bias is not None and bias.shape == (size,):
            found.append(bias)
        if logits is not None and logits.shape[-1] == size:
            found.append(logits)
    return list({id(bias): bias for bias in found}.values())


def ends_of(model: PreTrainedModel) -> tuple[Any, Any]:
    """Input embeddings, and the output head or None.

    Raises:
        InputError: the model names no embedding matrix.
    """
    try:
        embedding: Any = model.get_input_embeddings()
    except NotImplementedError:  # of CLIP and other models with several towers
        embedding = None
    if getattr(embedding, "weight", None) is None:
        raise InputError("the model has no embedding matrix", found=type(model).__name__)
    return embedding, model.get_output_embeddings()


def put_on(model: PreTrainedModel, mixture: Mixture, source: Vocabulary, target: Vocabulary) -> list[str]:
    """Give a model the new vocabulary, in place.

    Args:
        model: the source model.
        mixture: how new rows are made.
        source: the old vocabulary.
        target: the new one.

    Returns:
        What the user should know of what was changed besides the rows.

    Raises:
        InputError: the model and the vocabularies do not fit, or a row did not arrive as it should.
    """
    import torch

    old = matrices_of(model, source)
    embedding, head = ends_of(model)
    old_size = len(old["input"])
    notes = update_ids(model, mixture, source, target)
    with torch.no_grad():
        for bias in biases_of(model, head) if head is not None else []:
            swap(model, bias, mixture.apply_bias(bias.detach().reshape(-1)).reshape(*bias.shape[:-1], -1))
        for role, module in (("input", embedding), ("output", head)):
            if role in old:
                swap(model, module.weight, mixture.apply(old[role]))
    give_back()  # what rows were made from, a block at a time
    part: Any
    for part in model.modules():
        if isinstance(part, torch.nn.Embedding) and part.weight is embedding.weight:
            part.num_embeddings = len(target)
            if part.padding_idx is not None:
                part.padding_idx = target.roles.get("pad")
        elif part is head:
            part.out_features = len(target)
        elif getattr(part, "vocab_size", None) == old_size:
            part.vocab_size = len(target)
    for config in configs_of(model.config, old_size):
        if hasattr(config, "vocab_size"):
            config.vocab_size = len(target)
        if getattr(config, "tokenizer_class", None) is not None:
            config.tokenizer_class = None  # it names the old tokenizer's class; the new one comes with its own
    _check(model, old, mixture)
    _check_class(model)
    return notes


def _check_class(model: PreTrainedModel) -> None:
    """Refuse a model whose class, made anew, has other tensors over the vocabulary than those that got new rows.

    Tensors over the vocabulary are those whose shape in the class depends on its size (MobileBERT has a second output
    matrix).

    Raises:
        InputError: names the tensor.
    """
    config = copy.deepcopy(model.config)
    made = structure_of(type(model), config)
    embedding, head = ends_of(model)
    sized = [part for part in configs_of(config, len(embedding.weight)) if hasattr(part, "vocab_size")]
    if made is None or not sized:
        return
    for part in sized:
        part.vocab_size += 64
    again, larger = made.state_dict(), structure_of(type(model), config).state_dict()
    known = [embedding.weight, *([] if head is None else [head.weight, *biases_of(model, head)])]
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name not in again or again[name].shape == larger[name].shape == tensor.shape:
            continue
        if again[name].shape != larger[name].shape and not any(tensor is other for other in known):
            raise InputError(
                "the model has a tensor over the vocabulary that no rows are made for",
                found=f"{type(model).__name__}.{name}", expected="embeddings, an output matrix and biases",
            )  # fmt: skip
        if again[name].shape != tensor.shape:
            raise InputError(
                "the model with the new vocabulary could not be loaded again",
                found=f"{name} of shape {tuple(tensor.shape)}",
                expected=f"{tuple(again[name].shape)}, as {type(model).__name__} makes it",
            )


def with_rows(model: PreTrainedModel, mixture: Mixture, source: Vocabulary, target: Vocabulary) -> PreTrainedModel:
    """Return the model with the new vocabulary, over the same body: tensors that stay as they are are not copied.

    Args:
        model: the source model, which stays as it is.
        mixture: how new rows are made.
        source: the old vocabulary.
        target: the new one.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    made = copy.deepcopy(model, shared)
    put_on(made, mixture, source, target)
    return made


def swap(model: PreTrainedModel, old: torch.Tensor, new: torch.Tensor) -> None:
    """Put a new parameter or buffer wherever the old one stands, so that ties stay ties."""
    import torch

    if isinstance(old, torch.nn.Parameter):
        new = torch.nn.Parameter(new, requires_grad=old.requires_grad)
    tables: Any
    for module in model.modules():
        for tables in (module._parameters, module._buffers):
            for name, tensor in tables.items():
                if tensor is old:
                    tables[name] = new


def _check(model: PreTrainedModel, old: dict[str, Any], mixture: Mixture) -> None:
    """See that the model now holds what the mixture says.

    Raises:
        InputError: a wrong shape, a broken tie, NaN, or a copied row that is not the old row.
    """
    embedding, head = ends_of(model)
    now = {"input": embedding.weight.detach()}
    if head is not None:
        now["output"] = head.weight.detach()
        if "output" not in old and head.weight is not embedding.weight:
            raise InputError("input and output embeddings were tied and no longer are", found=type(model).__name__)
    copied = np.flatnonzero(mixture.copied & (mixture.rank == 0))  # at a lower rank no row stays as it was
    before = mixture.weights.indices[mixture.weights.indptr[copied]]
    for role, matrix in now.items():
        if len(matrix) != len(mixture) or not all(bool(matrix[p].isfinite().all()) for p in parts(matrix, len(matrix))):
            raise InputError(f"the new {role} embeddings are not whole", found=f"shape {tuple(matrix.shape)}")
        was = old.get(role, old["input"])
        for part in parts(matrix, len(copied)):
            if not np.array_equal(take(matrix, copied[part]), take(was, before[part].astype(np.int64))):
                raise InputError(f"copied rows of the {role} embeddings differ from the old ones")
