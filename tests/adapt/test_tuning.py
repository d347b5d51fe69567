"""What each tuning trains, that it leaves the rest alone, and that a plain model comes out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM

from adapt.pretrain.engine import pretrain
from adapt.pretrain.step import heldout_loss, train_step
from adapt.tuning.tuning import TUNINGS
from tests.adapt.pretraining import options, setup_on

IDS = torch.arange(12).reshape(2, 6) + 5


@pytest.mark.parametrize("name", TUNINGS.names)
def test_every_tuning_gives_back_the_model_it_trained(name, tmp_path, tiny_base, language):
    setup = setup_on(
        tiny_base, language / "text.txt", tmp_path, options(tuning=name, lr=1e-2, batch_tokens=512, rate=0.3), steps=40
    )
    embeddings = setup.model.get_input_embeddings().weight
    assert setup.model.get_output_embeddings().weight is embeddings
    start = embeddings.detach().clone()
    fixed = setup.objective.batch(
        setup.stream.take(64), setup.symbols, setup.objective_options, np.random.default_rng(9)
    )
    before = heldout_loss(setup, fixed)
    for step in range(40):
        train_step(setup, step)
    reached = any(parameter is embeddings for parameter in setup.trained.values())
    # A head alone can do little on a body that knows nothing.
    assert heldout_loss(setup, fixed) < before - (0.03 if reached else 0.005)
    assert bool((embeddings != start).any()) == reached
    setup.model.eval()
    with torch.no_grad():
        trained = setup.model(input_ids=IDS).logits
        plain = setup.tuning.finish(setup.model)
        assert torch.allclose(plain(input_ids=IDS).logits, trained, atol=1e-5)
    assert plain.get_output_embeddings().weight is plain.get_input_embeddings().weight
    plain.save_pretrained(tmp_path / "saved")
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")
    assert loaded.state_dict().keys() == AutoModelForMaskedLM.from_config(loaded.config).state_dict().keys()
    with torch.no_grad():
        assert torch.allclose(loaded(input_ids=IDS).logits, trained, atol=1e-5)


def test_embeddings_leave_the_body_alone(tmp_path, tiny_base, language):
    setup = setup_on(tiny_base, language / "text.txt", tmp_path, options(tuning="embeddings"))
    before = {n: p.detach().clone() for n, p in setup.model.named_parameters()}
    train_step(setup, 0)
    moved = {n for n, p in setup.model.named_parameters() if (p != before[n]).any()}
    assert moved and all("word_embeddings" in n or n.startswith("cls.") for n in moved)


def test_embeddings_first_thaws_the_body_after_its_share(tmp_path, tiny_base, language):
    setup = setup_on(tiny_base, language / "text.txt", tmp_path, options(tuning="embeddings-first"), steps=20)
    query = setup.model.bert.encoder.layer[0].attention.self.query.weight
    start = query.detach().clone()
    for step in range(2):
        train_step(setup, step)
    assert (query == start).all() and query.grad is None
    train_step(setup, 2)
    assert (query != start).any()


def test_lora_trains_little_of_the_body_and_merges_exactly(tmp_path, tiny_source, language):
    text = language / "text.txt"
    facts = pretrain(tiny_source, tiny_source, text, None, options(tuning="lora", lr=1e-2), 8, 0, tmp_path)
    source = AutoModelForMaskedLM.from_pretrained(tiny_source)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    assert model.state_dict().keys() == source.state_dict().keys()
    for name in ("attention.self.query", "intermediate.dense"):
        change = (
            model.bert.encoder.layer[0].get_submodule(name).weight
            - source.bert.encoder.layer[0].get_submodule(name).weight
        )
        assert 0 < torch.linalg.matrix_rank(change, rtol=1e-3) <= 16
    norm = "bert.encoder.layer.0.output.LayerNorm.weight"
    assert (model.get_parameter(norm) == source.get_parameter(norm)).all()
    assert facts["trained_parameters"] < facts["parameters"]
    AutoModel.from_pretrained(tmp_path / "model")
