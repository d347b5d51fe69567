"""A BERT of the shape of MiniLM-L6, so that from scratch and continued stand on the same body."""

from __future__ import annotations

from adapt.pretrain.presets.encoder_tiny import config
from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Preset, Shape


class Encoder6(Shape):
    """Size of the encoder of 6 layers."""

    layers: Layers = 6
    hidden: Hidden = 384
    heads: Heads = 12
    inner: Inner = 1536


SPEC = Preset(
    name="encoder-6",
    summary="BERT, 6 layers of 384",
    paper="Devlin et al. 2019, BERT, section 3; the shape of Wang et al. 2020, MiniLM",
    when="From scratch against a continued model of the shape of all-MiniLM-L6.",
    when_not="Little text: encoder-tiny.",
    options=Encoder6,
    objective="mlm",
    config=config,
)
