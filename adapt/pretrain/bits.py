"""Bits per character of held-out words while a model trains, measured on the same words again and again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpora.text import read_lines
from lexigraft import InputError
from vocab.score import bits_per_character, word_bits
from vocab.windows import sample_lines, sample_words

if TYPE_CHECKING:
    from adapt.pretrain.watchers.watcher import Run

CONTEXT = 64  # tokens around a word


class Words:
    """Words of a text, drawn once, and what they cost a model in training.

    The bits of all pieces of each word, summed and divided by its characters (vocab.score), so that tokenizers can be
    compared: pseudo-bits from a masked model, bits from a decoder. The loss per predicted token can not: a finer
    tokenizer has easier tokens and more of them. Words that the tokenizer cannot write as they are do not count.

    Args:
        text: lines of text.
        count: words to draw, about one a line.
        name: what the values are called: `<name>_pseudo_bits_per_character` or `<name>_bits_per_character`.
    """

    def __init__(self, text: Path, count: int, name: str) -> None:
        self.text, self.name = text, name
        self.lines = sample_lines(read_lines(text), count, 0)  # the same whatever the run's seed
        self.words = sample_words(self.lines, count, 0)

    def measure(self, run: Run) -> dict[str, float]:
        """Measure the weights that would be exported now.

        Returns:
            One value under its name.

        Raises:
            InputError: the tokenizer can write none of the words.
        """
        setup = run.setup
        value = self._value(run) if setup.world.leads or setup.shards else 0.0
        kind = "pseudo-bits" if setup.objective.bidirectional else "bits"
        value = setup.world.totals([value * setup.world.leads])[0]  # all processes decide by the same value
        return {key_of(self.name, kind): value}

    def _value(self, run: Run) -> float:
        from adapt.pretrain.step import autocast

        with run.exported(), autocast(run.setup.bf16, run.setup.device):
            given = run.setup.model, run.tokenizer, self.lines, self.words
            found = run.setup.run(word_bits, *given, context_tokens=CONTEXT)
        use = [status == "ok" for status in found.status]
        if not any(use):
            raise InputError("the tokenizer can write none of the words that are to be measured", file=self.text,
                             found=f"{len(use)} words, e.g. {self.words[0].text!r}" if use else "no words")  # fmt: skip
        return bits_per_character(found.bits, self.words, use)


def key_of(name: str, kind: str) -> str:
    """Name a value in the log: `kind` is `bits` or `pseudo-bits`."""
    return f"{name}_{kind.replace('-', '_')}_per_character"


def found_in(facts: dict[str, Any], name: str) -> float | None:
    """Look a value up in a step's facts, whichever of the two kinds it is."""
    return next((facts[key] for kind in ("bits", "pseudo-bits") if (key := key_of(name, kind)) in facts), None)
