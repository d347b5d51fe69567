"""Selective loss: of a step's predicted tokens only those count that the model can still learn and that are worth it.

Lin et al. 2024, Rho-1, section 2.2: a reference model, trained on text of the kind that is wanted, gives each token a
loss; the tokens with the largest excess of the model's loss over it are kept, the others have no part in the gradient.
Noise is hard for both models and what is known is easy for both: neither is kept. There for decoders; here for what any
objective predicts. What is chosen does not depend on how a step is cut up: dropout is off, and one choice is made for
the whole step.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from lexigraft import InputError
from vocab.options import Options

if TYPE_CHECKING:
    from adapt.pretrain.objectives.objective import Batch
    from adapt.pretrain.step import Setup


class Selective(Options):
    """Loss on a share of the predicted tokens, chosen with a reference model. A step costs two forward passes more."""

    reference: Path | None = None
    """Folder of the reference model; its vocabulary must be the trained one's. Nothing means that all tokens count."""
    share: float = Field(0.6, gt=0, le=1)
    """Share of a step's predicted tokens that counts."""

    @property
    def files(self) -> dict[str, Path]:
        """What of the reference decides the choice."""
        if self.reference is None:
            return {}
        return {f"reference {file.name}": file for file in sorted(self.reference.glob("*.safetensors"))}


def kept(excess: np.ndarray, share: float) -> np.ndarray:
    """Choose the tokens with the largest excess loss; of equal ones, the first.

    Args:
        excess: (n,) the model's loss minus the reference's.
        share: share of the tokens that is kept, rounded up.

    Returns:
        (n,) bool.
    """
    chosen = np.zeros(len(excess), dtype=bool)
    chosen[np.argsort(-excess, kind="stable")[: math.ceil(share * len(excess))]] = True
    return chosen


def reference_for(setup: Setup, folder: Path, tokenizer_dir: Path) -> Setup:
    """Load the reference model, to compute losses with on the same device and in the same precision.

    Raises:
        InputError: no model there, or its vocabulary is another one.
    """
    from adapt.pretrain.documents import DocumentAttention
    from adapt.pretrain.model import load_with_head
    from vocab.head import Predictor
    from vocab.tokenizer.load import load_tokenizer

    own, other = (load_tokenizer(each).get_vocab() for each in (tokenizer_dir, folder))
    if own != other:
        differing = next(iter(sorted(set(own.items()) ^ set(other.items()))))[0]
        raise InputError(
            "the reference model has another vocabulary than the model that is trained", file=folder,
            found=f"{len(other)} tokens; {differing!r} differs", expected=f"the {len(own)} tokens of {tokenizer_dir}",
        )  # fmt: skip
    model, new = load_with_head(folder, setup.objective.auto_class)
    if new:
        raise InputError("the reference model has no language-modelling head", file=folder)
    model = model.to(setup.device).eval().requires_grad_(False)
    predictor = Predictor.of(model)
    documents = setup.documents and DocumentAttention.of(
        predictor, not setup.objective.bidirectional, setup.options.sequence_length, folder
    )
    return replace(setup, model=model, predictor=predictor, documents=documents, reference=None, shards=None)


def select(setup: Setup, reference: Setup, batch: Batch, share: float) -> Batch:
    """Keep the predicted tokens of a whole step that count.

    Args:
        setup: the model in training.
        reference: what `reference_for` gave.
        batch: a step's batch.
        share: share of the predicted tokens that is kept.
    """
    import torch

    from adapt.pretrain.step import forward

    if share == 1:
        return batch
    excess = np.zeros(len(batch.labels))
    setup.model.eval()
    with torch.no_grad():
        for first, last, part in setup.parts(batch, setup.micro_rows(batch)):
            if len(part.labels) or setup.shards:
                found = forward(setup, part, each=True) - forward(reference, part, each=True)
                excess[(batch.rows >= first) & (batch.rows < last)] = found.float().cpu().numpy()
    setup.model.train()
    chosen = kept(np.array(setup.world.totals(excess.tolist())), share)
    return replace(batch, rows=batch.rows[chosen], columns=batch.columns[chosen], labels=batch.labels[chosen])
