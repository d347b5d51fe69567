"""A Llama of 12 layers, tied."""

from __future__ import annotations

from adapt.pretrain.presets.decoder_tiny import config
from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Preset, Shape


class Decoder12(Shape):
    """Size of the decoder of 12 layers."""

    layers: Layers = 12
    hidden: Hidden = 384
    heads: Heads = 6
    inner: Inner = 1024


SPEC = Preset(
    name="decoder-12",
    summary="Llama, 12 layers of 384",
    paper="Touvron et al. 2023, LLaMA, section 2.2; embeddings tied as in Press & Wolf 2017",
    when="More text or time than for decoder-6, read from left to right.",
    when_not="Less text or time: decoder-6 or decoder-tiny.",
    options=Decoder12,
    objective="clm",
    config=config,
)
