"""A BERT of less than 10 million parameters, its vocabulary of up to 32,000 included."""

from __future__ import annotations

from typing import Any

from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Preset, Shape


class TinyEncoder(Shape):
    """Size of the tiny encoder."""

    layers: Layers = 6
    hidden: Hidden = 192
    heads: Heads = 3
    inner: Inner = 768


def config(shape: Shape, vocabulary: dict[str, Any]) -> Any:
    """Make the configuration for transformers."""
    from transformers import BertConfig

    return BertConfig(**shape.common(), **vocabulary)


SPEC = Preset(
    name="encoder-tiny",
    summary="BERT, 6 layers of 192: less than 10 million parameters",
    paper="Devlin et al. 2019, BERT, section 3",
    when="A few MB of text and a processor: the smallest body worth comparing with an adapted one.",
    when_not="There is text and time for a larger body.",
    options=TinyEncoder,
    objective="mlm",
    config=config,
)
