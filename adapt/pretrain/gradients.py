"""Gradients of a vocabulary's matrices, which are most of a small model: their memory is kept from step to step.

With 250,000 rows of 384 a gradient is 384 MB. Made anew, each such tensor costs more in page faults than the sums that
fill it; so there is one, cleared in place, into which the decoder's gradient and, row by row, that of the input
embeddings are added. What comes out is what autograd gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapt.pretrain.distributed import World


def vocabulary_matrices(model: Any, decoder: Any, by_rows: bool) -> list[Any]:
    """Return the trained matrices whose gradients are kept: of input embeddings, and of a decoder that is not tied.

    Args:
        model: the model.
        decoder: its output layer, or None when it is not known.
        by_rows: the optimiser takes the gradient of the input embeddings by rows: it is not kept.
    """
    import torch

    found = []
    embeddings = model.get_input_embeddings()
    if (
        not by_rows
        and type(embeddings) is torch.nn.Embedding
        and embeddings.weight.requires_grad
        and embeddings.weight.is_leaf
    ):
        found.append(embeddings.weight)
    weight = getattr(decoder, "weight", None)
    if weight is not None and weight.requires_grad and weight.is_leaf and all(weight is not w for w in found):
        found.append(weight)
    return found


def clear(optimizer: Any, kept: Iterable[Any]) -> None:
    """Forget all gradients; those of `kept` become zeros, unless they are frozen for now: the optimiser leaves them."""
    stay = {parameter: parameter.grad for parameter in kept if parameter.requires_grad}
    for parameter in stay:
        parameter.grad = None
    optimizer.zero_grad(set_to_none=True)
    for parameter, gradient in stay.items():
        parameter.grad = None if gradient is None else gradient.zero_()


@contextmanager
def added_in_place(model: Any, kept: Iterable[Any], by_rows: bool) -> Iterator[None]:
    """Have backward passes of what is computed inside add to the gradients of `kept`, the input embeddings' by rows.

    With `by_rows` these come by rows without being kept.
    """
    import torch

    embeddings = model.get_input_embeddings()
    for parameter in kept:
        if parameter.requires_grad:
            by_rows |= parameter is embeddings.weight
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    before = getattr(embeddings, "sparse", False)
    try:
        if by_rows:
            embeddings.sparse = True
        yield
    finally:
        if by_rows:
            embeddings.sparse = before


def clip(parameters: Iterable[Any], limit: float, world: World | None = None) -> float:
    """Scale gradients down where their common norm is above a limit, and return the norm they had.

    Args:
        parameters: whose gradients.
        limit: largest norm.
        world: the processes between which the gradients are cut; None: they are whole.
    """
    import torch
    from torch.nn.utils import get_total_norm

    if world is not None:
        from adapt.pretrain.sharding import own_part
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad._values())
        elif parameter.grad is not None:
            gradients.append(parameter.grad if world is None else own_part(parameter.grad))
    norm = get_total_norm(gradients)
    if world is not None:
        norm = norm.new_tensor(world.totals([float(norm) ** 2])[0] ** 0.5)
    if not norm <= limit:
        torch._foreach_mul_(gradients, limit / (norm + 1e-6))
    return float(norm)
