"""A BERT of the shape of multilingual-e5-small, so that from scratch and continued stand on the same body."""

from __future__ import annotations

from adapt.pretrain.presets.encoder_tiny import config
from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Preset, Shape


class Encoder12(Shape):
    """Size of the encoder of 12 layers."""

    layers: Layers = 12
    hidden: Hidden = 384
    heads: Heads = 12
    inner: Inner = 1536


SPEC = Preset(
    name="encoder-12",
    summary="BERT, 12 layers of 384",
    paper="Devlin et al. 2019, BERT, section 3; the shape of Wang et al. 2024, multilingual E5, small",
    when="From scratch against a continued model of the shape of multilingual-e5-small.",
    when_not="Little text or time: encoder-6 or encoder-tiny.",
    options=Encoder12,
    objective="mlm",
    config=config,
)
