"""A Llama of less than 10 million parameters, its vocabulary of up to 32,000 included."""

from __future__ import annotations

from typing import Any

from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Preset, Shape


class TinyDecoder(Shape):
    """Size of the tiny decoder."""

    layers: Layers = 6
    hidden: Hidden = 192
    heads: Heads = 3
    inner: Inner = 512


def config(shape: Shape, vocabulary: dict[str, Any]) -> Any:
    """Make the configuration for transformers."""
    from transformers import LlamaConfig

    return LlamaConfig(**shape.common(), **vocabulary, tie_word_embeddings=True)


SPEC = Preset(
    name="decoder-tiny",
    summary="Llama, 6 layers of 192: less than 10 million parameters",
    paper="Touvron et al. 2023, LLaMA, section 2.2; embeddings tied as in Press & Wolf 2017",
    when="A few MB of text and a processor, and text is to be continued or scored from left to right.",
    when_not="Tagging and classification: an encoder sees both sides.",
    options=TinyDecoder,
    objective="clm",
    config=config,
)
