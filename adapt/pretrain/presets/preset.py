"""What an architecture preset declares, the registry of this folder, and the call that makes an untrained model.

A model from scratch goes through the same pretraining as one that is continued: `untrained` writes a folder with a
tokenizer and drawn weights, and from there on it is a source model like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lexigraft import InputError
from vocab.options import Options, options_of
from vocab.registry import Registry

Layers = Annotated[int, Field(gt=0, description="Layers of the body.")]
Hidden = Annotated[int, Field(gt=0, description="Width of the states.")]
Heads = Annotated[int, Field(gt=0, description="Attention heads; they divide the width.")]
Inner = Annotated[int, Field(gt=0, description="Inner width of the feed-forward part.")]
Positions = Annotated[int, Field(gt=0, description="Longest sequence the model reads, in tokens.")]


class Shape(Options):
    """Size of a model's body; each preset has defaults of its own."""

    layers: Layers
    hidden: Hidden
    heads: Heads
    inner: Inner
    positions: Positions = 512

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.hidden}")
        return self

    def common(self) -> dict[str, Any]:
        """Return the settings that transformers names alike in most families."""
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "intermediate_size": self.inner,
            "max_position_embeddings": self.positions,
        }


@dataclass(frozen=True)
class Preset:
    """One architecture.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year, section.
        when: when to use it.
        when_not: when not to.
        options: its size, a Shape.
        objective: `mlm` or `clm`: what it is made to be trained with.
        config: `(shape, vocabulary) -> configuration` of transformers; `vocabulary` has vocab_size and the ids of the
            special tokens under transformers' names, those that the tokenizer has.
    """

    name: str
    summary: str
    paper: str
    when: str
    when_not: str
    options: type[Options]
    objective: str
    config: Callable[[Any, dict[str, Any]], Any]


_ROLES = ("pad", "bos", "eos", "cls", "sep")

PRESETS: Registry[Preset] = Registry("adapt.pretrain.presets", "preset")


PresetOptions: Any = options_of(PRESETS, "PresetOptions")


def size(preset: Preset, shape: Options, vocabulary: int) -> tuple[int, int]:
    """Count parameters without making them: those of the whole model, and of its body without the embeddings.

    Args:
        preset: the architecture.
        shape: its size.
        vocabulary: tokens.
    """
    import torch
    import transformers

    from adapt.pretrain.objectives.objective import OBJECTIVES

    ids = {f"{role}_token_id": number for number, role in enumerate(_ROLES)}
    with torch.device("meta"):
        made = getattr(transformers, OBJECTIVES[preset.objective].auto_class).from_config(
            preset.config(shape, {"vocab_size": vocabulary, **ids})
        )
    body = sum(p.numel() for p in made.base_model.parameters())
    return sum(p.numel() for p in made.parameters()), body - made.get_input_embeddings().weight.numel()


def untrained(name: str, tokenizer: Any, folder: Path, *, seed: int = 0, shape: Options | None = None) -> Any:
    """Make a model with drawn weights for a tokenizer, and write both.

    Args:
        name: of the preset.
        tokenizer: whatever `vocab.tokenizer.load.load_tokenizer` takes.
        folder: gets configuration, weights and tokenizer; a source model from then on.
        seed: of the weights: the same seed, the same bytes.
        shape: the preset's options; None means its defaults.

    Returns:
        The model, its head tied to its embeddings.

    Raises:
        InputError: no such preset, or an encoder for a tokenizer without a mask token.
    """
    import torch
    import transformers

    from adapt.pretrain.model import quiet
    from adapt.pretrain.objectives.objective import OBJECTIVES
    from vocab.tokenizer.load import load_tokenizer

    preset = PRESETS[name]
    words = load_tokenizer(tokenizer)
    if preset.objective == "mlm" and words.mask_token_id is None:
        raise InputError(f"the preset {name!r} needs a mask token", found="a tokenizer without one",
                         expected="a decoder's preset, or a tokenizer with a mask token")  # fmt: skip
    ids = {f"{role}_token_id": getattr(words, f"{role}_token_id") for role in _ROLES}
    # None says that the model has no such token; left out, a family's own id would stand, which may be no id here.
    vocabulary = {"vocab_size": max(words.get_vocab().values()) + 1, **ids}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = getattr(transformers, OBJECTIVES[preset.objective].auto_class).from_config(
            preset.config(shape or preset.options(), vocabulary)
        )
    folder.mkdir(parents=True, exist_ok=True)
    words.save_pretrained(str(folder))
    with quiet():
        made.save_pretrained(str(folder))
    return made
