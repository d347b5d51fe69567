"""Distillation across vocabularies: what a word's last token says of it shall stay what it said in the model before.

Both models read the same unmasked text, each cut by its own tokenizer; where both have come to the end of the same word
their last hidden states are compared: weight * |h - h'|^2 / |h'|^2, the mean over the words of a step. Matching hidden
states by squared error, at places that two ways of cutting have in common, is the loss of token distillation (Dobler,
Elliott & de Melo 2025, "Token Distillation"), there for the embeddings of new tokens; on a whole model it is TinyBERT's
(Jiao et al. 2020, section 3.1, equation 8). Divided by the state's own size the weight means the same for every model.

Words are what white space separates. The teacher's text is made from the student's tokens, so that nothing else has to
be kept: a word that a line's cut goes through is two words to it. Lines that the two cut into different numbers of
words, because one of them drops characters, are not compared, nor those beyond the teacher's longest row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from adapt.pretrain.data import Blocks, Row, rows_of
from adapt.pretrain.device import autocast, moved
from adapt.pretrain.model import load_with_head
from adapt.pretrain.tokens import Symbols, word_starts
from lexigraft import InputError
from vocab.head import Predictor, longest_row
from vocab.tokenizer.load import load_tokenizer
from vocab.view import Vocabulary

if TYPE_CHECKING:
    from adapt.pretrain.step import Setup

Places = tuple[np.ndarray, np.ndarray]  # rows and columns


@dataclass(frozen=True)
class Pairs:
    """A step's text as both models read it, the same rows.

    Attributes:
        own: the student's tokens.
        before: the teacher's.
        ends: places of the words' last tokens in `own`, in the order of the text.
        ends_before: places of the same words' last tokens in `before`.
    """

    own: Blocks
    before: Blocks
    ends: Places
    ends_before: Places

    def __len__(self) -> int:
        return len(self.ends[0])

    def part(self, first: int, last: int) -> Pairs:
        """Rows first..last (last excluded): one micro-batch."""
        kept = (self.ends[0] >= first) & (self.ends[0] < last)
        own, before = (Blocks(b.ids[first:last], b.starts[first:last], b.documents[first:last])
                       for b in (self.own, self.before))  # fmt: skip
        ends, ends_before = ((rows[kept] - first, columns[kept]) for rows, columns in (self.ends, self.ends_before))
        return Pairs(own, before, ends, ends_before)


@dataclass(frozen=True)
class WordTeacher:
    """The model before, with its own tokenizer.

    Attributes:
        predictor: the model, frozen.
        tokenizer: its tokenizer.
        symbols: its special tokens.
        student: tokenizer of the model that learns.
        student_symbols: its special tokens.
        apart: whether the lines of a packed row see only themselves.
        weight: of the loss.
    """

    predictor: Predictor
    tokenizer: Any
    symbols: Symbols
    student: Any
    student_symbols: Symbols
    apart: bool
    weight: float

    @classmethod
    def of(
        cls, folder: Path, words: Path, auto_class: str, student: Predictor, tokenizer: Any, *, apart: bool,
        weight: float,
    ) -> WordTeacher:  # fmt: skip
        """Load the model before, where the one that learns from it is.

        Args:
            folder: of the model.
            words: of its tokenizer.
            auto_class: class of transformers that loads it.
            student: the model that learns.
            tokenizer: the tokenizer of that.
            apart: as of the attributes.
            weight: as of the attributes.

        Raises:
            InputError: the models' hidden states differ in size.
        """
        model, _ = load_with_head(folder, auto_class)
        kinds = [(each.config.model_type, each.config.hidden_size) for each in (model, student.model)]
        if kinds[0] != kinds[1]:
            raise InputError("pretrain.distil: a model of another kind or size", file=folder, found=kinds[0],
                             expected=f"{kinds[1]}, as the model in training")  # fmt: skip
        predictor = Predictor.of(model.to(student.model.device).requires_grad_(False).eval())
        old = load_tokenizer(words)
        return cls(predictor, old, Symbols.of(old), tokenizer, Symbols.of(tokenizer), apart, weight)

    def pairs(self, blocks: Blocks) -> Pairs:
        """Cut a step's text the teacher's way too, and find the words' ends in both.

        Args:
            blocks: the step's text as the student reads it, nothing masked.
        """
        inside, begins, ends = _words(blocks, self.student_symbols)
        lines = inside & ~_before(inside)
        own_words = np.split(blocks.ids[inside], np.flatnonzero(begins[inside])[1:])
        line_of = np.cumsum(lines[begins]) - 1
        counts = np.bincount(line_of)
        spell = Vocabulary.of(self.student).text
        spelt = [b"".join(spell[i] for i in word).decode(errors="replace").strip() for word in own_words]
        texts = [" ".join(words) for words in _split(spelt, counts)]
        encoded = self.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        flat = word_starts(texts, [line.offsets for line in encoded])
        starts = _split(flat, np.array([len(line) for line in encoded]))
        matched = np.array([own == there.sum() for own, there in zip(counts, starts, strict=True)], dtype=bool)

        longest = longest_row(self.predictor.model) or 1 << 30
        rows: list[Row] = [[] for _ in blocks.ids]
        used = [0] * len(rows)
        for number, row in enumerate(np.nonzero(lines)[0].tolist()):
            opens = self.symbols.begin is not None and (self.apart or not rows[row])
            needed = len(encoded[number]) + opens + (self.symbols.end is not None)
            matched[number] &= used[row] + needed <= longest
            if matched[number]:
                rows[row].append((np.array(encoded[number].ids), starts[number]))
                used[row] += needed
        before = rows_of(rows, max(*used, 1), self.symbols, apart=self.apart)
        compared = matched[line_of]
        own, known = np.argwhere(ends)[compared], np.argwhere(_words(before, self.symbols)[2])
        return Pairs(blocks, before, (own[:, 0], own[:, 1]), (known[:, 0], known[:, 1]))

    def loss_sum(self, setup: Setup, pairs: Pairs) -> Any:
        """Weighted relative squared distance, summed over the words."""
        from adapt.pretrain.step import attention_of

        def states(predictor: Predictor, blocks: Blocks, ends: Places) -> Any:
            hidden = predictor.hidden(moved(blocks.ids, setup.device), *attention_of(setup, blocks))
            flat = moved(ends[0] * blocks.ids.shape[1] + ends[1], setup.device)
            return hidden.reshape(-1, hidden.shape[-1]).index_select(0, flat).float()

        with autocast(setup.bf16, setup.device):
            now = states(setup.predictor, pairs.own, pairs.ends)
            with torch.no_grad():
                known = states(self.predictor, pairs.before, pairs.ends_before)
        return self.weight * ((now - known).square().sum(1) / known.square().sum(1)).sum()


def _words(blocks: Blocks, symbols: Symbols) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mark the tokens that are text, the first of each word, and the last, each (rows, length) bool."""
    inside = blocks.attention & ~np.isin(blocks.ids, [s for s in (symbols.begin, symbols.end) if s is not None])
    begins = inside & (blocks.starts | ~_before(inside))
    follows = np.zeros_like(inside)
    follows[:, :-1] = inside[:, 1:] & ~begins[:, 1:]
    return inside, begins, inside & ~follows


def _before(marks: np.ndarray) -> np.ndarray:
    """Whether the place before each is marked."""
    found = np.zeros_like(marks)
    found[:, 1:] = marks[:, :-1]
    return found


def _split(values: Any, counts: np.ndarray) -> list[Any]:
    """Cut a sequence into parts of so many."""
    ends = np.cumsum(counts).tolist()
    return [values[last - count : last] for count, last in zip(counts.tolist(), ends, strict=True)]
