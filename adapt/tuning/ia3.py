"""Learnt scales on keys, values and the feed-forward's inner states; merged into the weights at the end.

Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", section 3.3:
one vector each for keys, values and what enters the second feed-forward matrix of a layer, starting at 1. Through
`peft`.
"""

from __future__ import annotations

from typing import Any

from adapt.tuning.merging import linear_layers, merge, wrap
from adapt.tuning.tuning import BesideOptions, Tuning
from lexigraft import InputError

# What transformers calls these layers: BERT and its kin, DistilBERT, Llama and its kin, ALBERT.
_KEYS_AND_VALUES = (".key", ".value", ".k_lin", ".v_lin", ".k_proj", ".v_proj")
_SECOND = (".output.dense", ".lin2", ".down_proj", ".ffn_output")


class IA3Options(BesideOptions):
    """Options of IA3."""


def prepare(model: Any, options: Any) -> Any:
    """Wrap keys, values and second feed-forward matrices, and freeze the rest of the body.

    Raises:
        InputError: these layers are not found under their names, or queries, keys and values are one matrix.
    """
    from peft import IA3Config

    names = linear_layers(model)
    second = [name for name in names if name.endswith(_SECOND) and not name.endswith(".attention.output.dense")]
    keys_and_values = [name for name in names if name.endswith(_KEYS_AND_VALUES)]
    if not second or not keys_and_values:
        raise InputError(
            "tuning `ia3` does not find this model's keys, values and feed-forward layers",
            found=type(model).__name__,
            expected="a model with matrices of its own for keys and values, or the tuning lora",
        )
    config = IA3Config(target_modules=[*keys_and_values, *second], feedforward_modules=second)
    return wrap(model, config, options)


SPEC = Tuning(
    name="ia3",
    summary="Scales of keys, values and feed-forward states, embeddings in full",
    paper="Liu et al. 2022, section 3.3",
    when="Next to nothing may move: 28 thousand parameters in a body of 12 layers of 384.",
    when_not="A language the body has not seen: scales cannot mix what it has learnt anew; lora or full.",
    options=IA3Options,
    prepare=prepare,
    finish=merge,
)
