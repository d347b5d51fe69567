"""The output bias by frequency: worked by hand, matched on a model, and left alone where it must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.mixture import Mixture
from vocab.tokenizer.extend import extend
from vocab.tokenizer.load import load_tokenizer
from vocab.transplant import prior
from vocab.transplant.setting import Setting

LINES = ["mata kuda wato tree", "walks talked the house of mata", "kuda watoing house mata", "tree wato kuda"] * 100
PIECES = ["▁mata", "▁kuda", "▁wato", "▁tree", "▁house", "▁walk", "s", "ing", "▁", "▁zzz", *"abcdefhiklmnortuw"]
TARGET = metaspace(PIECES)


@pytest.fixture(scope="module")
def graft(tiny_source):
    return vocab.transplant(tiny_source, TARGET, texts=LINES, score=False)


def bias_of(model):
    return model.cls.predictions.bias.detach()


def test_a_model_that_sees_nothing_begins_at_the_frequencies():
    """With states of 0 the prediction is softmax(bias): the shift is log p - log softmax(bias), to a constant."""
    wanted = np.log([0.5, 0.25, 0.125, 0.125])
    bias = torch.tensor([1.0, 0.0, -2.0, 3.0])
    shift = prior._matched(torch.zeros(5, 2), torch.randn(4, 2), bias, wanted, np.ones(4, bool))
    assert torch.softmax(bias + shift, 0).tolist() == pytest.approx([0.5, 0.25, 0.125, 0.125], abs=1e-6)
    assert torch.diff(bias + shift).tolist() == pytest.approx([-np.log(2), -np.log(2), 0], abs=1e-6)


def test_tokens_that_stay_keep_their_bias():
    wanted = np.log([0.6, 0.3, 0.1])
    bias = torch.tensor([0.5, 0.0, 0.0])
    shift = prior._matched(torch.zeros(5, 2), torch.randn(3, 2), bias, wanted, np.array([False, True, True]))
    found = torch.softmax(bias + shift, 0)
    assert shift[0] == 0 and float(found[1] / found[2]) == pytest.approx(3)
    assert float(found[0]) == pytest.approx(float(torch.softmax(bias, 0)[0]), abs=1e-6)


def test_mean_predictions_agree_with_the_text(tiny_source, graft):
    setting = Setting.of(tiny_source, TARGET, texts=LINES)
    plain = setting.mixture(None)
    states, labels, weight, bias = prior._asked(setting, plain)
    shift = torch.from_numpy(graft.mixture.bias_shift)
    facts = graft.report["output_bias"]
    assert facts["factor"] == 1 and facts["nats"][1] < facts["nats"][0] and facts["places"] == len(labels)
    frequent = torch.from_numpy(setting.frequency + 0.5)
    free = torch.from_numpy(setting.new.kind <= 1)
    for now, near in ((bias, False), (bias + shift, True)):
        mean = torch.softmax(states @ weight.T + now, -1).mean(0)[free]
        agree = torch.allclose(mean / mean.sum(), (frequent[free] / frequent[free].sum()).float(), rtol=0.1)
        assert agree == near
    assert prior._loss(states, labels, weight, bias + shift) < prior._loss(states, labels, weight, bias)


def test_the_shift_is_on_the_model_in_the_file_and_in_the_report(graft, tmp_path):
    plain = Mixture.load(graft.save(tmp_path))
    assert np.array_equal(plain.bias_shift, graft.mixture.bias_shift) and plain.bias_shift.any()
    again = vocab.transplant.apply_mixture(plain, graft._setting.carrier.folder, target=TARGET)
    assert torch.equal(bias_of(again.model), bias_of(graft.model))
    edited = plain.edit({"▁zzz": {plain.source.tokens[-1]: 1.0}})
    assert np.array_equal(edited.bias_shift, plain.bias_shift)
    assert "predicts each token as often as the text shows it" in graft.markdown


def test_methods_as_published_mix_the_bias(tiny_source, graft):
    made = vocab.transplant(tiny_source, TARGET, method="focus -> subwords -> mean", vectors="counts+characters",
                            texts=LINES, score=False)  # fmt: skip
    assert not len(made.mixture.bias_shift) and "output_bias" not in made.report
    asked = vocab.transplant(tiny_source, TARGET, method="subwords", texts=LINES, score=False, bias="frequency")
    assert len(asked.mixture.bias_shift) and asked.report["output_bias"]["nats"]
    off = vocab.transplant(tiny_source, TARGET, texts=LINES, score=False, bias="mixed")
    assert not len(off.mixture.bias_shift)
    with pytest.raises(InputError, match="output bias"):
        vocab.transplant(tiny_source, TARGET, texts=LINES, bias="unigram")
    with pytest.raises(InputError, match="by frequency needs text"):
        vocab.transplant(tiny_source, TARGET, bias="frequency")


def test_nothing_is_shifted_where_nothing_is_new_or_nothing_can_be(tiny_source, tiny_base, tiny_decoder):
    own = load_tokenizer(tiny_source)
    for source, target, texts in (
        (tiny_source, own, LINES),
        (tiny_source, TARGET, None),
        (tiny_base, TARGET, LINES),
        (tiny_decoder, TARGET, LINES),
    ):
        made = vocab.transplant(source, target, texts=texts, score=False)
        assert not len(made.mixture.bias_shift) and made.report.get("output_bias") is None
    for source, target, why in (
        (tiny_decoder, TARGET, "LlamaForCausalLM has none"),
        (tiny_base, TARGET, "BertModel has no language-modelling head"),
        (tiny_source, own, "no row is new"),
    ):
        made = vocab.transplant(source, target, texts=LINES, score=False, bias="frequency")
        assert any(f"frequencies: {why}" in note for note in made.report["notes"]), "asked for by name, so it is said"
    few = vocab.transplant(tiny_source, TARGET, texts=LINES[:4], score=False)
    assert not len(few.mixture.bias_shift) and any("places" in note for note in few.report["notes"])


def test_an_extended_vocabulary_keeps_the_bias_of_the_old_tokens(tiny_source):
    own = load_tokenizer(tiny_source)
    longer = extend(own, LINES, 8).tokenizer
    made = vocab.transplant(tiny_source, longer, texts=LINES, score=False)
    shift, copied = made.mixture.bias_shift, made.mixture.copied
    assert shift[~copied].any() and not shift[copied].any()
