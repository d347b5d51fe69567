"""Words that fit a context: what a model of so many tokens can read at once."""

from __future__ import annotations

from vocab.compare.metric import Measured, Metric, Ratio


def measure(measured: Measured) -> Ratio:
    """Multiply the words of a token by the context's tokens, those that the tokenizer adds to each text left out."""
    room = measured.context - measured.view.backend.num_special_tokens_to_add(False)
    return Ratio(room * measured.text.totals["words"], measured.tokens)


SPEC = Metric(
    name="words_in_context",
    summary="words of the text / tokens, times the tokens of the context that specials leave free (512 unless told)",
    unit="words per context",
    better="higher",
    paper="Ács 2019 (fertility, turned round)",
    measure=measure,
)
