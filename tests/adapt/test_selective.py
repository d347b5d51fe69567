"""Loss on the tokens that a reference model chooses: by hand, with all of them, however a step is cut, and in a run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

import adapt
from adapt.pretrain.loss import linear_cross_entropy, token_cross_entropy
from adapt.pretrain.selective import kept, select
from adapt.pretrain.step import forward, train_step
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on
from tests.conftest import make_source, other_weights, write_config


@pytest.fixture(scope="module")
def reference(tmp_path_factory, tiny_source):
    """A model with the tiny source's vocabulary and other weights."""
    return other_weights(tiny_source, tmp_path_factory.mktemp("reference"))


def batch_of(setup, rows=8):
    return setup.objective.batch(
        setup.stream.take(rows), setup.symbols, setup.objective_options, np.random.default_rng(1)
    )


def test_the_largest_excess_is_kept():
    excess = np.array([2.0, 3.0, 2.0, 1.0, 5.0])
    assert kept(excess, 0.6).tolist() == [True, True, False, False, True]  # of equals the first
    assert kept(excess, 0.01).sum() == 1 and kept(excess, 1.0).all()


def test_token_losses_are_what_their_sum_is_of():
    torch.manual_seed(0)
    states, weight, bias, labels = torch.randn(5, 4), torch.randn(9, 4), torch.randn(9), torch.arange(5)
    logits = states @ weight.T + bias
    by_hand = -logits.log_softmax(1)[torch.arange(5), labels]
    assert torch.allclose(token_cross_entropy(states, weight, bias, labels), by_hand, atol=1e-6)
    assert torch.allclose(linear_cross_entropy(states, weight, bias, labels), by_hand.sum(), atol=1e-5)
    leaf, plain = (states.clone().requires_grad_() for _ in range(2))
    share = torch.tensor([0.0, 1.0, 2.0, 0.0, 0.5])
    (token_cross_entropy(leaf, weight, bias, labels) * share).sum().backward()
    (-(plain @ weight.T + bias).log_softmax(1)[torch.arange(5), labels] * share).sum().backward()
    assert torch.allclose(leaf.grad, plain.grad, atol=1e-6)


def test_what_counts_is_the_loss_over_the_reference(tmp_path, tiny_source, reference, language):
    given = options(selective={"reference": reference, "share": 0.5}, dropout=0.3)
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, given)
    batch = batch_of(setup)
    made = select(setup, setup.reference, batch, 0.5)
    ids, mask = torch.from_numpy(batch.inputs), torch.from_numpy(batch.attention).long()
    losses = []
    for folder in (tiny_source, reference):
        model = AutoModelForMaskedLM.from_pretrained(folder).eval()
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits[batch.rows, batch.columns]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels), reduction="none"))
    excess = (losses[0] - losses[1]).numpy()
    best = np.sort(np.argsort(-excess, kind="stable")[: -(-len(excess) // 2)])
    assert (made.rows == batch.rows[best]).all() and (made.labels == batch.labels[best]).all()
    assert (made.inputs == batch.inputs).all() and setup.model.training
    assert all(not p.requires_grad for p in setup.reference.model.parameters())


def test_with_all_tokens_it_is_the_plain_loss(tmp_path, tiny_source, reference, language):
    found = []
    for more in ({}, {"selective": {"reference": reference, "share": 1.0}}):
        setup = setup_on(tiny_source, language / "text.txt", tmp_path, options(dropout=0.1, **more))
        found.append(([train_step(setup, step)["loss"] for step in range(3)], dict(setup.trained)))
    (plain, a), (all_of_them, b) = found
    assert plain == all_of_them and all(torch.equal(a[name], b[name]) for name in a)


def test_the_choice_does_not_depend_on_the_cut(tmp_path, tiny_source, reference, language):
    found = []
    for micro in (None, 64):
        given = options(micro_batch_tokens=micro, selective={"reference": reference, "share": 0.6})
        setup = setup_on(tiny_source, language / "text.txt", tmp_path, given)
        found.append([train_step(setup, step) for step in range(4)])
    for whole, parts in zip(*found, strict=True):
        assert whole["predicted"] == parts["predicted"]
        assert whole["loss"] == pytest.approx(parts["loss"], abs=1e-5)
        assert whole["grad_norm"] == pytest.approx(parts["grad_norm"], rel=1e-4)


def test_the_loss_is_that_of_the_chosen_tokens(tmp_path, tiny_source, reference, language):
    setup = setup_on(
        tiny_source, language / "text.txt", tmp_path, options(selective={"reference": reference, "share": 0.25})
    )
    batch = batch_of(setup)
    made = select(setup, setup.reference, batch, 0.25)
    assert len(made.labels) == -(-len(batch.labels) // 4)
    setup.model.eval()
    with torch.no_grad():
        each = forward(setup, batch, each=True)
        own = {(r, c): float(x) for r, c, x in zip(batch.rows, batch.columns, each, strict=True)}
        total = float(forward(setup, made))
    assert total == pytest.approx(sum(own[place] for place in zip(made.rows, made.columns, strict=True)), abs=1e-3)


def test_another_vocabulary_is_refused(tmp_path, tiny_source, language):
    other = make_source(tmp_path / "other")
    (other / "tokenizer.json").write_text((other / "tokenizer.json").read_text().replace('"walk"', '"wolk"'))
    given = options(selective={"reference": other})
    with pytest.raises(InputError, match="another vocabulary"):
        setup_on(tiny_source, language / "text.txt", tmp_path, given)


def test_a_run_with_a_reference(tiny_source, reference, language, tmp_path):
    path = write_config(
        tmp_path / "selective.yaml", tiny_source, language, arms=["keep"], evaluate={"lm_words": 20},
        pretrain__selective={"reference": str(reference), "share": 0.5},
    )  # fmt: skip
    log = adapt.run(path).folder / "pretrain" / "keep" / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    shares = [line["predicted"] / line["tokens"] for line in lines]  # 0.3 of the tokens are hidden, half of them count
    assert len(lines) == 6 and sum(shares) / 6 == pytest.approx(0.15, abs=0.05)
