"""Only the biases of the body are trained, its matrices stay.

Ben Zaken et al. 2022, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models",
section 3: every bias of the body, those of its layer norms included, and what the task itself needs (here embeddings
and head).
"""

from __future__ import annotations

from typing import Any

from adapt.tuning.tuning import BesideOptions, Tuning, beside, train_only, without_adapters
from lexigraft import InputError


class BitFitOptions(BesideOptions):
    """Options of BitFit."""


def prepare(model: Any, options: Any) -> Any:
    """Freeze everything but the body's biases.

    Raises:
        InputError: the body has no biases (Llama, ModernBERT).
    """
    biases = [p for name, p in without_adapters(model.base_model).items() if name.endswith("bias")]
    if not biases:
        raise InputError(
            "tuning `bitfit` has nothing to train: this body has no biases",
            found=type(model).__name__,
            expected="another tuning, such as lora",
        )
    return train_only(model, biases + beside(model, options))


SPEC = Tuning(
    name="bitfit",
    summary="Only the body's biases are trained, embeddings in full",
    paper="Ben Zaken et al. 2022, BitFit, section 3",
    when="The body must stay nearly as it is, and its layers keep their speed: nothing is added.",
    when_not="Models without biases, such as Llama and ModernBERT; a language far from the source.",
    options=BitFitOptions,
    prepare=prepare,
    finish=lambda model: model,
)
