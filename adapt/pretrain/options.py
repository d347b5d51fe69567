"""Settings of continued pretraining: the `pretrain` part of a run's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adapt.pretrain.objectives.objective import OBJECTIVES
from adapt.tuning.tuning import TUNINGS
from vocab.options import Options, options_of

TuningOptions = options_of(TUNINGS, "TuningOptions")
ObjectiveOptions = options_of(OBJECTIVES, "ObjectiveOptions")


class Pretrain(Options):
    """Continued pretraining, the same for every trained arm."""

    minutes: float | None = Field(10.0, gt=0)
    """Wall-clock budget of each arm; turned once into steps by a short measurement."""
    steps: int | None = Field(None, gt=0)
    """Number of optimiser steps; overrides `minutes`."""
    objective: str | None = Field(None, json_schema_extra={"examples": list(OBJECTIVES.names)})
    """`mlm` or `clm`; nothing means what the source model was made for."""
    tuning: str = Field("full", json_schema_extra={"examples": list(TUNINGS.names)})
    """What is trained: see `lexigraft tunings`."""
    lr: float = Field(5e-4, gt=0)
    """Peak learning rate."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the rate rises."""
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay (AdamW)."""
    dropout: float | None = Field(0.0, ge=0, lt=1)
    """Dropout while training; nothing means the model's own. Short runs learn faster without."""
    batch_tokens: int = Field(1024, ge=16)
    """Tokens of one optimiser step."""
    micro_batch_tokens: int | None = Field(None, ge=16)
    """Tokens that go through the model at once; smaller needs less memory, the loss stays the same."""
    sequence_length: int = Field(128, ge=8)
    """Tokens of one packed sequence."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 matrix products where the processor has them."""
    checkpoint_seconds: float = Field(60.0, ge=0)
    """Seconds between checkpoints; 0 saves after every step."""
    objective_options: ObjectiveOptions = Field(default_factory=ObjectiveOptions)  # type: ignore[valid-type]
    """Options of the objectives."""
    tuning_options: TuningOptions = Field(default_factory=TuningOptions)  # type: ignore[valid-type]
    """Options of the tunings."""
