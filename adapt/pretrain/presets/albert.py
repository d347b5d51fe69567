"""An ALBERT: all layers share one layer's weights, and embeddings are factorised.

Lan et al. 2020, "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", section 3.1.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.pretrain.presets.preset import Heads, Hidden, Inner, Layers, Preset, Shape


class AlbertShape(Shape):
    """Size of the ALBERT."""

    layers: Layers = 12
    hidden: Hidden = 384
    heads: Heads = 6
    inner: Inner = 1536
    embedding: int = Field(128, gt=0)
    """Width of the embeddings, from which a matrix leads to the states."""


def config(shape: AlbertShape, vocabulary: dict[str, Any]) -> Any:
    """Make the configuration for transformers."""
    from transformers import AlbertConfig

    return AlbertConfig(**shape.common(), **vocabulary, embedding_size=shape.embedding)


SPEC = Preset(
    name="albert",
    summary="ALBERT: 12 passes through one layer of 384, embeddings of 128",
    paper="Lan et al. 2020, ALBERT, section 3.1",
    when="The file must be small: a few million parameters, most of them embeddings.",
    when_not="Speed: sharing saves memory, not time.",
    options=AlbertShape,
    objective="mlm",
    config=config,
)
