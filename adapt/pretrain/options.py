"""Settings of continued pretraining: the `pretrain` part of a run's configuration."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from adapt.pretrain.mixing import Mix
from adapt.pretrain.objectives.objective import OBJECTIVES
from adapt.pretrain.selective import Selective
from adapt.pretrain.watchers.watcher import watcher_options
from adapt.tuning.tuning import TUNINGS
from vocab.options import Options, options_of

TuningOptions = options_of(TUNINGS, "TuningOptions")
ObjectiveOptions = options_of(OBJECTIVES, "ObjectiveOptions")
WatcherOptions = watcher_options()
BUDGETS = ("minutes", "steps", "tokens", "epochs")  # one of them says how long is trained

Share = Annotated[float, Field(gt=0, lt=1, title="until share of steps")]
Length = Annotated[int, Field(ge=8, title="tokens")]


class Distil(Options):
    """Learning from the source model too, so that less of what it knows is lost."""

    weight: float = Field(0.0, ge=0)
    """Weight of the distance from the source beside the text's own loss; 0: none. Costs memory for a second model and
    its forward pass."""
    match: Literal["logits", "hidden-states"] = "logits"
    """logits: the source's predictions, for a vocabulary that is kept. hidden-states: the last hidden states where a
    word ends, for any vocabulary; a step takes about twice the time."""
    temperature: float = Field(2.0, gt=0)
    """logits: divides both models' logits; the higher, the more the source's unlikely answers count."""
    teacher: Path | None = None
    """Folder of the model that is learnt from; nothing means the source model."""
    teacher_tokenizer: Path | None = None
    """Folder of its tokenizer, where that is not in the model's."""

    @property
    def files(self) -> dict[str, Path]:
        """What of a teacher of its own decides the loss."""
        folders = {"teacher": (self.teacher, "*.safetensors"), "teacher's": (self.teacher_tokenizer, "tokenizer.json")}
        return {f"{name} {file.name}": file for name, (folder, kind) in folders.items() if folder is not None
                for file in sorted(folder.glob(kind))}  # fmt: skip

    @model_validator(mode="after")
    def _temperature_divides_logits(self) -> Distil:
        if self.match != "logits" and self.temperature != type(self).model_fields["temperature"].default:
            raise ValueError(f"temperature belongs to match logits, found match {self.match}")
        if self.teacher_tokenizer and not self.teacher:
            raise ValueError("teacher_tokenizer needs a teacher")
        return self


class Pretrain(Options):
    """Continued pretraining, the same for every trained arm."""

    minutes: float | None = Field(10.0, gt=0)
    """Wall-clock budget of each arm; turned once into steps by a short measurement. The default where no other budget
    (`steps`, `tokens`, `epochs`) is given."""
    steps: int | None = Field(None, gt=0)
    """Budget in optimiser steps."""
    tokens: int | None = Field(None, gt=0)
    """Budget in tokens, padding not counted; turned once into steps by packing the text."""
    epochs: float | None = Field(None, gt=0)
    """Budget in passes over the text, shares allowed; turned once into steps by packing it."""
    objective: str | None = Field(None, json_schema_extra={"examples": list(OBJECTIVES.names)})
    """`mlm` or `clm`; nothing means what the source model was made for."""
    tuning: str = Field("full", json_schema_extra={"examples": list(TUNINGS.names)})
    """What is trained: see `lexigraft tunings`."""
    lr: float = Field(5e-4, gt=0)
    """Peak learning rate."""
    lr_embeddings: float = Field(1.0, gt=0)
    """Factor on `lr` for the token embeddings, and for a decoder tied to them."""
    lr_body: float = Field(1.0, gt=0)
    """Factor on `lr` for everything between the token embeddings and the head."""
    lr_head: float = Field(1.0, gt=0)
    """Factor on `lr` for the language-modelling head; its decoder's weight is there when it is not tied."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Each layer of the body learns at this factor of the layer above it (0.95 is usual; 1: all alike). The token
    embeddings have `lr_embeddings` instead."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the rate rises."""
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    min_lr: float = Field(0.0, ge=0, lt=1)
    """Share of the peak rate that a falling schedule ends at."""
    decay_share: float = Field(0.2, gt=0, le=1)
    """WSD: share of the steps in which the rate falls."""
    decay_shape: Literal["1-sqrt", "linear", "cosine"] = "1-sqrt"
    """WSD: how it falls."""
    optimizer: Literal["adamw", "adamw-rows"] = "adamw"
    """adamw-rows: of the input embeddings only the rows of tokens that a step reads are updated, with the moments they
    had when last read (lazy Adam). For models whose decoder has a matrix of its own: in a tied one every row has a
    gradient. Not the same as AdamW, where moments and weight decay move all rows."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay (AdamW)."""
    dropout: float | None = Field(0.0, ge=0, lt=1)
    """Dropout while training; nothing means the model's own. Short runs learn faster without."""
    batch_tokens: int = Field(1024, ge=16)
    """Tokens of one optimiser step."""
    micro_batch_tokens: int | None = Field(None, ge=16)
    """Tokens that go through the model at once; smaller needs less memory, the loss stays the same."""
    sequence_length: int = Field(128, ge=8)
    """Tokens of one sequence."""
    sequence_length_warmup: list[tuple[Share, Length]] = []
    """Shorter sequences at first: pairs of a share of the steps, up to which they last, and their length. With
    [[0.25, 32], [0.5, 64]] a quarter of the steps has 32 tokens a sequence, the next one 64, the rest
    `sequence_length`. The tokens of a step stay as many."""
    packing: bool = True
    """Fill each sequence with several lines; without, a sequence is one line, in batches of lines of like length."""
    attention: Literal["row", "document"] = "row"
    """What a packed token attends to: the whole row, or its own line only, which then begins at position 0 between
    special tokens of its own."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 matrix products where the processor has them."""
    processes: int = Field(1, ge=1)
    """Processes of this machine that train together, one a GPU; on processors they share `threads`."""
    sharding: Literal["none", "full"] = "none"
    """full: each process keeps its part of weights, gradients and optimiser states only (FSDP), for models that are
    large for one GPU; loss, gradient and what is saved stay the same. none: all are whole in every process (DDP)."""
    gradient_checkpointing: bool = False
    """Compute a layer's inner states again in the backward pass instead of keeping them: less memory, a third slower,
    the same gradients."""
    compile: bool = False
    """Have torch.compile make kernels for the body (needs a C++ compiler; minutes before the first step)."""
    checkpoint_seconds: float = Field(60.0, ge=0)
    """Seconds between checkpoints; 0 saves after every step."""
    mix: Mix = Field(default_factory=Mix)
    """Corpora of other languages, text of the source's language, and facts, beside the language's own text."""
    distil: Distil = Field(default_factory=Distil)
    """Distillation from the model before, against forgetting."""
    selective: Selective = Field(default_factory=Selective)
    """Loss on a share of the predicted tokens, chosen with a reference model."""
    objective_options: ObjectiveOptions = Field(default_factory=ObjectiveOptions)  # type: ignore[valid-type]
    """Options of the objectives."""
    tuning_options: TuningOptions = Field(default_factory=TuningOptions)  # type: ignore[valid-type]
    """Options of the tunings."""
    watchers: WatcherOptions = Field(default_factory=WatcherOptions)  # type: ignore[valid-type]
    """What looks at the training as it goes on; those that are null are off."""

    @model_validator(mode="after")
    def _sequences_grow(self) -> Pretrain:
        steps = [*self.sequence_length_warmup, (1.0, self.sequence_length)]
        if any(a[0] >= b[0] or a[1] >= b[1] for a, b in pairwise(steps)):
            shown = [list(step) for step in self.sequence_length_warmup]
            raise ValueError(
                f"sequence_length_warmup needs rising shares below 1 and rising lengths below sequence_length = "
                f"{self.sequence_length}, found {shown}"
            )
        return self

    @model_validator(mode="after")
    def _rows_for_all(self) -> Pretrain:
        rows = max(1, self.batch_tokens // self.sequence_length)
        if self.processes > rows:
            raise ValueError(
                f"{self.processes} processes cannot share a step of {rows} sequences: "
                f"batch_tokens = {self.batch_tokens}, sequence_length = {self.sequence_length}"
            )
        return self

    @model_validator(mode="after")
    def _one_budget(self) -> Pretrain:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1 and "minutes" in given and "minutes" not in self.model_fields_set:
            self.minutes = None
            given.remove("minutes")
        if len(given) != 1:
            raise ValueError(f"needs one budget of {', '.join(BUDGETS)}; given: {', '.join(given) or 'none'}")
        return self

    @model_validator(mode="after")
    def _rows_fit(self) -> Pretrain:
        if self.optimizer == "adamw-rows" and self.processes > 1:
            raise ValueError(f"optimizer adamw-rows needs one process, found processes {self.processes}")
        return self

    @model_validator(mode="after")
    def _shards_fit(self) -> Pretrain:
        thaws = self.tuning in TUNINGS.names and TUNINGS[self.tuning].at_step is not None
        against = {
            f"processes {self.processes}: there must be two or more": self.processes == 1,
            "compile": self.compile,
            "distil, whose teacher would be whole in every process": self.distil.weight > 0,
            f"tuning {self.tuning}, which thaws weights on the way": thaws,
        }
        if self.sharding == "full" and any(against.values()):
            raise ValueError(f"sharding full does not go with {'; '.join(n for n, found in against.items() if found)}")
        return self

    @model_validator(mode="after")
    def _schedule_fits(self) -> Pretrain:
        default = type(self).model_fields
        for name in ("decay_share", "decay_shape"):
            if self.schedule != "wsd" and getattr(self, name) != default[name].default:
                raise ValueError(f"{name} belongs to schedule wsd, found schedule {self.schedule}")
        if self.schedule == "wsd" and self.warmup + self.decay_share > 1:
            raise ValueError(f"warmup {self.warmup:g} and decay_share {self.decay_share:g} are more than all steps")
        if self.schedule == "constant" and self.min_lr:
            raise ValueError("min_lr needs a schedule that falls, found schedule constant")
        return self
