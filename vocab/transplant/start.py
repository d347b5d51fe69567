"""The check before any training: how well the new model writes the language as it starts, in seconds.

A small seeded sample of words is scored under the source, under copy + random (shared rows kept, the others drawn: the
floor) and under the graft. A model without a language-modelling head cannot be asked; that is said, nothing stands in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lexigraft import InputError

if TYPE_CHECKING:
    from vocab.mixture import Mixture
    from vocab.transplant.setting import Setting

WORDS = 120
FLOOR = "copy + random"


def before_training(
    setting: Setting, mixture: Mixture, name: str, *, heldout: Any = None, words: int = WORDS
) -> dict[str, Any] | None:
    """Score source, floor and graft on words of the texts.

    Args:
        setting: what the transplant started from.
        mixture: how the rows are made.
        name: what the report calls the graft.
        heldout: text that the evidence was not made from; None: the setting's texts.
        words: how many words are drawn.

    Returns:
        What `vocab.score.side_by_side` returns, with `text` saying what was scored; only a `note` where the model
        cannot be scored; None without text.
    """
    from vocab.score import sample_lines, sample_words, side_by_side
    from vocab.tokenizer.texts import Lines

    texts = setting.texts if heldout is None else Lines(heldout)
    if texts is None:
        return None
    model = setting.carrier.model
    head = model.get_output_embeddings()
    if head is None or model.config.is_encoder_decoder:
        what = "no language-modelling head" if head is None else "an encoder and a decoder"
        return {"note": f"{type(model).__name__} has {what}: nothing can be scored before training."}
    lines = sample_lines(texts, words, setting.seed)
    chosen = sample_words(lines, words, setting.seed)
    try:
        found = side_by_side(_systems(setting, mixture, name), lines, chosen)
    except InputError as error:
        return {"note": f"Not scored before training: {error}"}
    return {**found, "text": "the text that rows were made with" if heldout is None else "held-out text"}


def _systems(setting: Setting, mixture: Mixture, name: str) -> Iterator[tuple[str, Any, Any]]:
    from vocab.transplant import chain
    from vocab.transplant.apply import put_on
    from vocab.transplant.method import Problem

    yield "source", setting.carrier.fresh(), setting.old_tokenizer
    links = chain.parse("copy -> random")
    problem = Problem(setting.old, setting.new, setting.matrices, seed=setting.seed)
    for label, rows in ((FLOOR, chain.run(problem, links)), (name, mixture)):
        model = setting.carrier.fresh()
        put_on(model, rows, setting.old, setting.new)
        yield label, model, setting.tokenizer
