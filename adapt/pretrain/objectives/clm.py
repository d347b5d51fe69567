"""Causal language modelling: every token is predicted from those before it (Radford et al. 2018, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapt.pretrain.objectives.objective import Batch, Objective
from vocab.options import Options

if TYPE_CHECKING:
    import numpy as np

    from adapt.pretrain.data import Blocks
    from adapt.pretrain.tokens import Symbols


class ClmOptions(Options):
    """Options of causal language modelling: none."""


def batch(blocks: Blocks, symbols: Symbols, options: Any, generator: np.random.Generator) -> Batch:
    """Predict each token of the blocks, padding and the first of what attends to itself excepted.

    Args:
        blocks: token ids, word starts and documents of the whole optimiser step.
        symbols: the vocabulary's special tokens.
        options: ClmOptions.
        generator: the step's generator, not used.

    Returns:
        The blocks as inputs; column c predicts the token at c + 1.
    """
    after, before = blocks.documents[:, 1:], blocks.documents[:, :-1]
    rows, columns = ((after == before) & (after > 0)).nonzero()
    return Batch(blocks.ids, blocks.documents, rows, columns, blocks.ids[rows, columns + 1])


SPEC = Objective(
    name="clm",
    summary="Causal language modelling: the next token (for decoders)",
    paper="Radford et al. 2018, GPT, section 3.1",
    options=ClmOptions,
    batch=batch,
    auto_class="AutoModelForCausalLM",
    bidirectional=False,
)
