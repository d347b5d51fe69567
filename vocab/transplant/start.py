"""The check before any training: how well the new model writes the language as it starts, in seconds.

A small seeded sample of words is scored under the source, under copy + random (shared rows kept, the others drawn: the
floor) and under the graft. A model without a language-modelling head cannot be asked; that is said, nothing stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.device import placed

if TYPE_CHECKING:
    from vocab.mixture import Mixture
    from vocab.transplant.setting import Setting

WORDS = 100
FLOOR = "copy + random"


def before_training(setting: Setting, mixture: Mixture, name: str, *, heldout: Any = None) -> dict[str, Any]:
    """Score source, floor and graft on words of the texts.

    Args:
        setting: what the transplant started from.
        mixture: how the rows are made.
        name: what the report calls the graft.
        heldout: text that the evidence was not made from; None: the setting's texts.

    Returns:
        See `score_rows`.
    """
    from vocab.transplant import chain
    from vocab.transplant.method import Problem

    if cannot_be_scored(setting) is None and (setting.texts is not None or heldout is not None):
        problem = Problem(setting.old, setting.new, setting.matrices, seed=setting.seed)
        floor = chain.run(problem, chain.parse("copy -> random"))
        return score_rows(setting, {FLOOR: floor, name: mixture}, heldout=heldout)
    return score_rows(setting, {name: mixture}, heldout=heldout)


def cannot_be_scored(setting: Setting) -> str | None:
    """Say why the model's bits cannot be measured; None where they can."""
    model = setting.carrier.model
    if model.get_output_embeddings() is None:
        return f"{type(model).__name__} has no language-modelling head: nothing can be scored before training."
    if model.config.is_encoder_decoder:
        return f"{type(model).__name__} has an encoder and a decoder: nothing can be scored before training."
    return None


def score_rows(
    setting: Setting, rows: Mapping[str, Mixture], *, heldout: Any = None, words: int = WORDS
) -> dict[str, Any]:
    """Score the source model and the model with each of some mixtures' rows, on the same words.

    Args:
        setting: what the transplant starts from; its carrier does not have new rows yet.
        rows: mixtures by name; the others are held against the last.
        heldout: text that the evidence was not made from; None: the setting's texts.
        words: how many words are drawn.

    Returns:
        What `vocab.score.side_by_side` returns, with `text` saying what was scored; only a `note` where the model
        cannot be scored, or there is no text.
    """
    from vocab.score import sample_lines, sample_words, side_by_side
    from vocab.tokenizer.texts import Lines

    texts = setting.texts if heldout is None else Lines(heldout)
    if why := cannot_be_scored(setting):
        return {"note": why}
    if texts is None:
        return {"note": "No text was given: nothing was scored before training."}
    lines = sample_lines(texts, words, setting.seed)
    chosen = sample_words(lines, words, setting.seed)
    try:
        found = side_by_side(_systems(setting, rows), lines, chosen)
    except InputError as error:
        return {"note": f"Not scored before training: {error}"}
    return {**found, "text": "the text that rows were made with" if heldout is None else "held-out text"}


def _systems(setting: Setting, rows: Mapping[str, Mixture]) -> Iterator[tuple[str, Any, Any]]:
    from vocab.transplant.apply import with_rows

    model = placed(setting.carrier.fresh())
    yield "source", model, setting.old_tokenizer
    for name, mixture in rows.items():
        yield name, with_rows(model, mixture, setting.old, setting.new), setting.tokenizer
