"""Bits of words: hand-made models whose probabilities are known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lexigraft import InputError
from tests.tiny_tokenizers import metaspace, wordpiece
from vocab.score import bits_per_character, word_bits
from vocab.windows import Word, sample_words, words_of


class Neighbours(nn.Module):
    """A masked model whose logits at a place are a table's row for the token before plus one for the token after."""

    def __init__(self, before: torch.Tensor, after: torch.Tensor, columns: tuple[int, ...] = (-1, 1)) -> None:
        super().__init__()
        size = len(before)
        self.config = SimpleNamespace(max_position_embeddings=64, is_encoder_decoder=False, is_decoder=False)
        self.embeddings = nn.Embedding(size, 4)
        self.decoder = nn.Linear(2 * size, size, bias=False)
        with torch.no_grad():
            self.decoder.weight.copy_(torch.cat([before, after]).T)
        self.columns, self.size = columns, size

    @property
    def base_model(self):
        return self.body

    def get_input_embeddings(self):
        return self.embeddings

    def get_output_embeddings(self):
        return self.decoder

    def body(self, input_ids, attention_mask=None):
        padded = nn.functional.pad(input_ids, (1, 1))
        length = input_ids.shape[1]
        sides = [nn.functional.one_hot(padded[:, 1 + c : 1 + c + length], self.size).float() for c in self.columns]
        return (torch.cat(sides, dim=-1),)

    def forward(self, input_ids, attention_mask=None):
        return SimpleNamespace(logits=self.decoder(self.body(input_ids)[0]))


class BigramForCausalLM(Neighbours):
    """A decoder whose logits are a table's row for the token itself."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__(table, torch.zeros_like(table), (0, 0))


TOKENIZER = metaspace(
    ["▁a", "▁b", "c", "d", "▁"]
)  # <s> 0, <pad> 1, </s> 2, <unk> 3, <mask> 4, ▁a 5, ▁b 6, c 7, d 8, ▁ 9
A, B, C, D, MASK, END = 5, 6, 7, 8, 4, 2


def tables():
    torch.manual_seed(0)
    return torch.randn(10, 10), torch.randn(10, 10)


def bits(logits: torch.Tensor, token: int) -> float:
    return float(-torch.log_softmax(logits, 0)[token]) / math.log(2)


def test_pieces_of_a_word_are_hidden_together_and_filled_in_from_the_left():
    before, after = tables()
    lines = ["a bcd", "acc"]
    words = words_of(lines)
    found = word_bits(Neighbours(before, after), TOKENIZER, lines, words)
    assert found.kind == "pseudo-bits" and found.status == ["ok"] * 3 and found.pieces.tolist() == [1, 3, 3]
    # "a": between <s> and ▁b
    assert found.bits[0] == pytest.approx(bits(before[0] + after[B], A), abs=1e-5)
    # "bcd": ▁b after ▁a with c hidden; c after ▁b with d hidden; d after c before </s>
    by_hand = bits(before[A] + after[MASK], B) + bits(before[B] + after[MASK], C) + bits(before[C] + after[END], D)
    assert found.bits[1] == pytest.approx(by_hand, abs=1e-5)
    assert bits_per_character(found.bits, words, [False, True, False]) == pytest.approx(by_hand / 3, abs=1e-5)
    assert bits_per_character(found.bits, words) == pytest.approx(found.bits.sum() / 7, abs=1e-5)


def test_a_decoder_follows_the_chain_rule():
    table = tables()[0]
    lines = ["a bcd"]
    found = word_bits(BigramForCausalLM(table), TOKENIZER, lines, words_of(lines))
    assert found.kind == "bits"
    assert found.bits[0] == pytest.approx(bits(table[0], A), abs=1e-5)
    assert found.bits[1] == pytest.approx(bits(table[A], B) + bits(table[B], C) + bits(table[C], D), abs=1e-5)


@pytest.mark.parametrize("context,batch", [(128, 8192), (128, 8), (7, 8192), (6, 16)])
def test_batches_and_windows_change_nothing_that_is_not_out_of_reach(context, batch):
    before, after = tables()
    lines = ["a bcd " * 9, "bd", "a a b acdcd"]
    words = words_of(lines)
    whole = word_bits(Neighbours(before, after), TOKENIZER, lines, words)
    cut = word_bits(Neighbours(before, after), TOKENIZER, lines, words, context_tokens=context, batch_tokens=batch)
    inner = [0 < w.start and w.end < len(lines[w.line].rstrip()) for w in words]
    keep = [s == "ok" and (context == 128 or i) for s, i in zip(cut.status, inner, strict=True)]
    # A window of 7 shows at least one neighbour on each side of three pieces, which is all this model looks at.
    if context != 6:
        assert np.allclose(cut.bits[keep], whole.bits[keep], atol=1e-4) and sum(keep) > 15
    assert [s for w, s in zip(words, cut.status, strict=True) if w.text == "acdcd"] == [
        "too_long" if context == 6 else "ok"
    ]


def test_words_that_cannot_be_compared_are_flagged():
    before, after = tables()
    lines = ["a az bcdcd", "b"]
    found = word_bits(Neighbours(before, after), TOKENIZER, lines, words_of(lines), context_tokens=6)
    assert found.status == ["ok", "unk", "too_long", "ok"]
    assert np.isnan(found.bits).tolist() == [False, False, True, False]


def test_what_the_normaliser_alters_is_flagged(tiny_source):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(tiny_source).train()
    lines = ["Walk walk wálk walk."]
    seen = []
    found = word_bits(model, AutoTokenizer.from_pretrained(tiny_source), lines, words_of(lines),
                      progress=lambda done, total, facts: seen.append((done, total)))  # fmt: skip
    assert found.status == ["altered", "ok", "altered", "ok"]
    assert found.bits[1] > 0 and seen[-1] == (found.pieces.sum(), found.pieces.sum()) and model.training


def test_byte_level_spelling_is_not_an_alteration():
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(["<|end|>"])
    from vocab.tokenizer.load import wrap

    tokenizer = wrap(backend, eos_token="<|end|>", bos_token="<|end|>")
    torch.manual_seed(0)
    table = torch.randn(257, 257)
    lines = ["Ọjọ́ ha"]
    found = word_bits(BigramForCausalLM(table), tokenizer, lines, words_of(lines))
    assert found.status == ["ok", "ok"] and found.pieces.tolist() == [
        len("Ọjọ́".encode()),
        3,
    ]  # the space goes with "ha"


def test_wordpiece_punctuation_belongs_to_its_word():
    tokenizer = wordpiece(["a", "b", "##b", ".", ","])
    before = torch.zeros(10, 10)
    found = word_bits(Neighbours(before, before), tokenizer, ["ab, b."], words_of(["ab, b."]))
    assert found.pieces.tolist() == [3, 2] and found.status == ["ok", "ok"]
    assert found.bits == pytest.approx([3 * math.log2(10), 2 * math.log2(10)], abs=1e-5)


def test_a_sample_is_seeded_sorted_and_without_repeats():
    lines = ["a b  c", "", " d e a a "]
    assert words_of(lines)[:4] == [Word(0, 0, 1, "a"), Word(0, 2, 3, "b"), Word(0, 5, 6, "c"), Word(2, 1, 2, "d")]
    assert all(lines[w.line][w.start : w.end] == w.text for w in words_of(lines))
    drawn = sample_words(lines, 4, seed=3)
    assert drawn == sample_words(lines, 4, seed=3) and len(set(drawn)) == 4
    assert drawn == sorted(drawn, key=lambda w: (w.line, w.start))
    assert sample_words(lines, 99, seed=0) == words_of(lines)
    assert len({tuple(sample_words(lines, 3, seed=s)) for s in range(20)}) > 5


def test_a_body_without_a_head_is_refused(tiny_base):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(tiny_base), AutoTokenizer.from_pretrained(tiny_base)
    with pytest.raises(InputError, match="no language-modelling head"):
        word_bits(model, tokenizer, ["a"], words_of(["a"]))
