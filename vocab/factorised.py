"""Factorised embeddings: `Embedding(V, d') + Linear(d' -> d)` in place of `Embedding(V, d)`, as OFA trains them.

Liu et al. (2024), section 3.1: E = U S V^T is cut to rank d'; coordinates are U S, one row a token, primitives V^T, one
row a direction; the decoder uses both transposed. Plain transformers cannot load the smaller model: `save` and `load`
are ours, `unfold` gives the plain model of the same rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lexigraft import InputError
from vocab.matrix import top_directions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "factorised.safetensors"
_KEY = "lexigraft_rank"


class FactorisedEmbedding(nn.Module):
    """Token ids -> coordinates -> embeddings.

    Args:
        tokens: size of the vocabulary.
        rank: dimensions of the coordinates.
        dim: dimensions of the embeddings.
        padding: id whose coordinates are not trained.
    """

    def __init__(self, tokens: int, rank: int, dim: int, padding: int | None = None) -> None:
        super().__init__()
        self.coordinates = nn.Embedding(tokens, rank, padding)
        self.primitives = nn.Linear(rank, dim, bias=False)

    @property
    def weight(self) -> torch.Tensor:
        """The whole matrix, (tokens, dim): made anew at every look."""
        return self.coordinates.weight @ self.primitives.weight.T

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings of ids (..., dim)."""
        return self.primitives(self.coordinates(ids))

    def fill(self, matrix: torch.Tensor) -> None:
        """Take the best approximation of a matrix (tokens, dim): eigenvectors of its Gram matrix, in float64."""
        directions = torch.from_numpy(top_directions(matrix, len(matrix), self.coordinates.embedding_dim))
        with torch.no_grad():
            self.coordinates.weight.copy_(matrix.double() @ directions.to(matrix.device))
            self.primitives.weight.copy_(directions)


class FactorisedHead(nn.Module):
    """States -> logits by the transposed factors.

    Args:
        factors: the input embeddings' factors where the head is tied to them, else factors of its own.
        bias: (tokens,) or None.
        tied: the factors belong to the input embeddings and are saved there.
    """

    def __init__(self, factors: FactorisedEmbedding, bias: nn.Parameter | None, tied: bool) -> None:
        super().__init__()
        if tied:
            object.__setattr__(self, "factors", factors)  # not a part of this module
        else:
            self.factors = factors
        self.bias = bias

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Logits (..., tokens)."""
        factors = self.factors
        return nn.functional.linear(states @ factors.primitives.weight, factors.coordinates.weight, self.bias)


def factorise(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    """Replace a model's embeddings by factors of the given rank, in place; an untied head gets factors of its own.

    Args:
        model: any model whose embeddings are a plain table.
        rank: d'. A model whose rows have this rank (`ofa` with `rank`) is the same after.

    Returns:
        The model.

    Raises:
        InputError: rank above the dimensions, or embeddings that are more than a table.
    """
    old, head = _ends(model, rank)
    new, end = _structure(model, rank)
    if old.weight.device.type != "meta":
        new.fill(old.weight.detach())
        if end is not None and end.factors is not new:
            end.factors.fill(head.weight.detach())
    return model


def _ends(model: PreTrainedModel, rank: int) -> tuple[Any, Any]:
    embedding: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    if type(embedding) is not nn.Embedding or (head is not None and type(head) is not nn.Linear):
        raise InputError(
            "these embeddings are more than a table and are not factorised",
            found=f"{type(embedding).__name__} and {type(head).__name__}", expected="Embedding, and Linear or no head",
        )  # fmt: skip
    if not 0 < rank <= embedding.embedding_dim:
        raise InputError("no rank for these embeddings", found=rank, expected=f"1 to {embedding.embedding_dim}")
    return embedding, head


def _structure(model: PreTrainedModel, rank: int) -> tuple[FactorisedEmbedding, FactorisedHead | None]:
    """Put empty factors in the place of embeddings and head."""
    old, head = _ends(model, rank)
    like = {"device": old.weight.device, "dtype": old.weight.dtype}
    sizes = (old.num_embeddings, rank, old.embedding_dim)
    new = FactorisedEmbedding(*sizes, old.padding_idx).to(**like)
    model.set_input_embeddings(new)
    end = None
    if head is not None:
        tied = head.weight is old.weight
        end = FactorisedHead(new if tied else FactorisedEmbedding(*sizes).to(**like), head.bias, tied)
        model.set_output_embeddings(end)
    setattr(model.config, _KEY, rank)
    return new, end


def unfold(model: PreTrainedModel) -> PreTrainedModel:
    """Give a factorised model plain embeddings again, in place: the same rows, as many parameters as before.

    Raises:
        InputError: it is not factorised.
    """
    embedding: Any = model.get_input_embeddings()
    end: Any = model.get_output_embeddings()
    if not isinstance(embedding, FactorisedEmbedding):
        raise InputError("the model is not factorised", found=type(embedding).__name__)
    weight = nn.Parameter(embedding.weight.detach().clone())
    plain = nn.Embedding(len(weight), weight.shape[1], embedding.coordinates.padding_idx, device="meta")
    plain.weight = weight
    model.set_input_embeddings(plain)
    if end is not None:
        head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        head.weight = weight if end.factors is embedding else nn.Parameter(end.factors.weight.detach().clone())
        head.bias = end.bias
        model.set_output_embeddings(head)
    delattr(model.config, _KEY)
    return model


def save(model: PreTrainedModel, folder: str | Path) -> Path:
    """Write a factorised model: config.json, which names its class and rank, and factorised.safetensors."""
    from safetensors.torch import save_model

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    save_model(model, str(folder / FILE))
    return folder


def load(folder: str | Path) -> PreTrainedModel:
    """Read what `save` wrote.

    Raises:
        InputError: the folder holds no factorised model.
    """
    import transformers
    from safetensors.torch import load_model

    folder = Path(folder)
    if not (folder / FILE).is_file() or not (folder / "config.json").is_file():
        raise InputError("no factorised model here", file=folder, expected=f"config.json and {FILE}")
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = transformers.AutoConfig.from_pretrained(str(folder))
    model: PreTrainedModel = getattr(transformers, facts["architectures"][0])._from_config(config)
    _structure(model, int(facts[_KEY]))
    load_model(model, str(folder / FILE))
    return model.eval()
