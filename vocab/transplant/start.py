"""The check before any training: how well the new model writes the language as it starts, in seconds.

A small seeded sample of words is scored under the source, under copy + random (shared rows kept, the others drawn: the
floor) and under the graft. A model without a language-modelling head cannot be asked; that is said, nothing stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.device import placed
from vocab.memory import give_back

if TYPE_CHECKING:
    from vocab.mixture import Mixture
    from vocab.transplant.setting import Setting
    from vocab.windows import Windows, Word

WORDS = 100
FLOOR = "copy + random"


@dataclass(frozen=True)
class Asked:
    """Words of a text, cut as the source and the graft will be asked for them.

    Attributes:
        words: each in a line of its own.
        before: as the source's tokenizer cuts them.
        after: as the new one does.
        text: what they were drawn from, for the report.
    """

    words: list[Word]
    before: Windows
    after: Windows
    text: str


def words_asked(setting: Setting, score: Any) -> Asked | str | None:
    """Draw the words that models will be scored on, and let go of the source's tokenizer where nothing else needs it.

    Args:
        setting: what the transplant starts from; its rows are mixed.
        score: see `vocab.transplant`.

    Returns:
        The words, or why nothing can be scored; None where nothing is to be.
    """
    asked = None if score is False else _cut(setting, score)
    if not isinstance(asked, str):  # a model that cannot be scored may be asked for sentences
        setting.drop_old_tokenizer()
    return asked


def _cut(setting: Setting, score: Any) -> Asked | str:
    from vocab.tokenizer.texts import Lines
    from vocab.windows import in_context, sample_lines, sample_words, windows_of

    texts = setting.texts if score is True else Lines(score)
    if why := cannot_be_scored(setting):
        return why
    if texts is None:
        return "No text was given: nothing was scored before training."
    lines = sample_lines(texts, WORDS, setting.seed)
    lines, words = in_context(lines, sample_words(lines, WORDS, setting.seed))
    tokenizers = (setting.old_tokenizer, setting.tokenizer)
    try:
        before, after = (windows_of(setting.carrier.model, tokenizer, lines, words) for tokenizer in tokenizers)
    except InputError as error:
        return f"Not scored before training: {error}"
    return Asked(words, before, after, "the text that rows were made with" if score is True else "held-out text")


def before_training(setting: Setting, mixture: Mixture, name: str, asked: Asked | str) -> dict[str, Any]:
    """Score source, floor and graft on the same words.

    Args:
        setting: what the transplant starts from; its carrier does not have new rows yet.
        mixture: how the rows are made.
        name: what the report calls the graft.
        asked: what `words_asked` gave.

    Returns:
        What `vocab.score.side_by_side` returns, with `text` saying what was scored; only a `note` where nothing can be.
    """
    from vocab.score import side_by_side

    if isinstance(asked, str):
        return {"note": asked}
    try:
        found = side_by_side(_systems(setting, {FLOOR: _floor(setting), name: mixture}, asked), asked.words)
    except InputError as error:
        return {"note": f"Not scored before training: {error}"}
    return {**found, "text": asked.text}


def _floor(setting: Setting) -> Mixture:
    """Make the rows that copying alone gives."""
    from vocab.transplant import chain
    from vocab.transplant.method import Problem

    problem = Problem(setting.old, setting.new, setting.matrices, seed=setting.seed)
    return chain.run(problem, chain.parse("copy -> random"))


def cannot_be_scored(setting: Setting) -> str | None:
    """Say why the model's bits cannot be measured; None where they can."""
    model = setting.carrier.model
    if model.get_output_embeddings() is None:
        return f"{type(model).__name__} has no language-modelling head: nothing can be scored before training."
    if model.config.is_encoder_decoder:
        return f"{type(model).__name__} has an encoder and a decoder: nothing can be scored before training."
    return None


def _systems(setting: Setting, rows: Mapping[str, Mixture], asked: Asked) -> Iterator[tuple[str, Any, Windows]]:
    from vocab.transplant.apply import with_rows

    model = placed(setting.carrier.fresh(shared=True))
    yield "source", model, asked.before
    for name, mixture in rows.items():
        give_back()
        yield name, with_rows(model, mixture, setting.old, setting.new), asked.after
