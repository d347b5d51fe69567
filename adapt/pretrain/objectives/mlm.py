"""Masked language modelling: some words are hidden, the model says what stood there.

Devlin et al. 2019 (section 3.1): 15 % of the tokens, of which 80 % become the mask token, 10 % a random token and 10 %
stay. Whole words at a time (their later "whole word masking"): with pieces hidden one by one, a tokenizer with finer
pieces reads the answer off its neighbours. A word is what stands between white space, for every tokenizer alike.

`word-l2r` hides half of the chosen words wholly and the others from a random piece on, so that a word's later pieces
are also learnt from its earlier ones: what filling in a word from left to right asks for (vocab/score.py). Measured on
Chichewa with an English BERT at equal steps, pseudo-bits a character, lower is better: vocabulary kept (three pieces a
word) 4.11 with `word`, 3.71 with `word-l2r`; the rate of 0.3 instead of 0.15 (Wettig et al. 2023 find up to 0.4 good):
3.68. Without it a comparison of vocabularies would favour the one that cuts words less. (There the rate was the chance
of a word; now it is the share of the tokens for every unit, so that some more words are chosen.)

`ngram` hides one to three words in a row, n with chance ~ 1/n: spans as in Joshi et al. 2020 (SpanBERT, section 3.1),
the lengths those of Lan et al. 2020 (ALBERT, section 4.1). `similar` puts a token like the hidden one where the mask
token would stand, since no text has mask tokens: Cui et al. 2020 (MacBERT, section 3), who take similar words from
word2vec; here each piece is replaced by a near one in the model's own embeddings, so that it works for any language.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from adapt.pretrain.masking import choose, corrupt
from adapt.pretrain.objectives.objective import Batch, Objective
from adapt.pretrain.similar import similar_tokens
from lexigraft import InputError
from vocab.options import Options
from vocab.view import Vocabulary

if TYPE_CHECKING:
    import numpy as np

    from adapt.pretrain.data import Blocks
    from adapt.pretrain.tokens import Symbols, TokenFile


class MlmOptions(Options):
    """Options of masked language modelling."""

    rate: float = Field(0.3, gt=0, lt=1)
    """Share of the tokens that is predicted."""
    unit: Literal["word", "token", "ngram", "word-l2r"] = "word-l2r"
    """word: all pieces of a word; token: one by one; ngram: one to three words in a row; word-l2r: in half of the words
    only from a random piece on."""
    masked: float = Field(0.8, ge=0, le=1)
    """Share of the predicted tokens that the mask token (or a similar one) replaces."""
    replace: Literal["mask", "similar"] = "mask"
    """What replaces them: the mask token, or a token near the hidden one in the model's embeddings (MacBERT)."""
    random: float = Field(0.1, ge=0, le=1)
    """Share of the predicted tokens that a random token replaces; the rest is left as it is."""
    head_bias: Literal["auto", "unigram", "keep"] = "auto"
    """Start the output bias at the log frequency of each token in the training text; auto: when the head is new."""

    @model_validator(mode="after")
    def _shares_fit(self) -> MlmOptions:
        if self.masked + self.random > 1:
            raise ValueError(f"masked {self.masked:g} and random {self.random:g} are more than all predicted tokens")
        return self


def prepare(model: Any, tokenizer: Any, tokens: TokenFile, symbols: Symbols, options: Any) -> Symbols:
    """Look up similar tokens where they are asked for.

    Args:
        model: the model as training begins.
        tokenizer: its tokenizer.
        tokens: the training text.
        symbols: the vocabulary's special tokens.
        options: MlmOptions.
    """
    if options.replace == "mask":
        return symbols
    rows = model.get_input_embeddings().weight.detach().float().cpu().numpy()
    return replace(symbols, similar=similar_tokens(rows, Vocabulary.of(tokenizer), tokens.counts(symbols.size)))


def batch(blocks: Blocks, symbols: Symbols, options: Any, generator: np.random.Generator) -> Batch:
    """Hide words of a step's blocks.

    Args:
        blocks: token ids, word starts and documents of the whole optimiser step.
        symbols: the vocabulary's special tokens.
        options: MlmOptions.
        generator: the step's generator.

    Returns:
        Inputs with the chosen tokens hidden, and where and what they were.

    Raises:
        InputError: the tokenizer has no mask token.
    """
    if symbols.mask is None:
        raise InputError("masked language modelling needs a mask token", found="a tokenizer without one")
    chosen = choose(blocks, symbols, options.rate, options.unit, generator)
    inputs = corrupt(blocks.ids, chosen, symbols, options.masked, options.random, generator)
    rows, columns = chosen.nonzero()
    return Batch(inputs, blocks.documents, rows, columns, blocks.ids[rows, columns])


SPEC = Objective(
    name="mlm",
    summary="Masked language modelling, whole words (for encoders)",
    paper="Devlin et al. 2019, BERT, section 3.1",
    options=MlmOptions,
    batch=batch,
    auto_class="AutoModelForMaskedLM",
    bidirectional=True,
    prepare=prepare,
)
