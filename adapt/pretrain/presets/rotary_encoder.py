"""A ModernBERT: rotary positions, norms in front, gated feed-forward, local and global attention by turns, no biases.

Warner et al. 2024, "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder", section 2.1.
"""

from __future__ import annotations

from typing import Any

from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Positions, Preset, Shape


class RotaryEncoder(Shape):
    """Size of the rotary encoder."""

    layers: Layers = 12
    hidden: Hidden = 384
    heads: Heads = 6
    inner: Inner = 576
    positions: Positions = 2048


def config(shape: Shape, vocabulary: dict[str, Any]) -> Any:
    """Make the configuration for transformers."""
    from transformers import ModernBertConfig

    return ModernBertConfig(**shape.common(), **vocabulary)


SPEC = Preset(
    name="rotary-encoder",
    summary="ModernBERT, 12 layers of 384, reads up to 2,048 tokens",
    paper="Warner et al. 2024, ModernBERT, section 2.1",
    when="Long documents, or a body without learnt positions.",
    when_not="A comparison with a continued BERT: encoder-6 and encoder-12 have its architecture.",
    options=RotaryEncoder,
    objective="mlm",
    config=config,
)
