"""A Llama of 6 layers, tied."""

from __future__ import annotations

from adapt.pretrain.presets.decoder_tiny import config
from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Preset, Shape


class Decoder6(Shape):
    """Size of the decoder of 6 layers."""

    layers: Layers = 6
    hidden: Hidden = 384
    heads: Heads = 6
    inner: Inner = 1024


SPEC = Preset(
    name="decoder-6",
    summary="Llama, 6 layers of 384",
    paper="Touvron et al. 2023, LLaMA, section 2.2; embeddings tied as in Press & Wolf 2017",
    when="More text or time than for decoder-tiny, read from left to right.",
    when_not="Less text: decoder-tiny.",
    options=Decoder6,
    objective="clm",
    config=config,
)
