"""What each tuning trains, that it leaves the rest alone, and that a plain model comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
)

import adapt
from adapt.pretrain.engine import pretrain
from adapt.pretrain.model import save_plain
from adapt.pretrain.step import heldout_loss, train_step
from adapt.tuning.adapters import load_tuned
from adapt.tuning.top_layers import TopLayersOptions
from adapt.tuning.tuning import TUNINGS
from lexigraft import InputError
from tests.adapt.pretraining import ends_in_the_same_bytes, options, setup_on
from tests.conftest import write_config

ADAPTERS = ("bottleneck", "invertible")
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
        finished = setup.tuning.finish(setup.model)
        assert torch.allclose(finished(input_ids=IDS).logits, trained, atol=1e-5)
    assert finished.get_output_embeddings().weight is finished.get_input_embeddings().weight
    saved = tmp_path / "saved"
    save_plain(finished, tiny_base, saved)
    plain, whole = AutoModelForMaskedLM.from_pretrained(saved), load_tuned(saved)
    assert plain.state_dict().keys() == AutoModelForMaskedLM.from_config(plain.config).state_dict().keys()
    adapters = list(saved.glob("adapter-*.safetensors"))
    with torch.no_grad():
        assert torch.allclose(whole(input_ids=IDS).logits, trained, atol=1e-5)
        assert torch.allclose(plain(input_ids=IDS).logits, trained, atol=1e-5) == (not adapters)
    assert bool(adapters) == (name in ADAPTERS)
    if adapters:  # and the plain model beside them has the body that the source had
        source = AutoModel.from_pretrained(tiny_base)
        for key, value in plain.bert.state_dict().items():
            assert key == "embeddings.word_embeddings.weight" or (value == source.state_dict()[key]).all()


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


@pytest.mark.parametrize("name", TUNINGS.names)
def test_stopped_and_resumed_it_ends_in_the_same_bytes(name, tmp_path, tiny_source, language, monkeypatch):
    given = options(tuning=name, lr=1e-2, dropout=0.1, checkpoint_seconds=0.0, batch_tokens=64)
    arguments = (tiny_source, tiny_source, language / "text.txt", None, given, 5, 0)
    files = ends_in_the_same_bytes(arguments, tmp_path, monkeypatch, stop=3)
    assert len(files) == 1 + (name in ADAPTERS)


def test_top_layers_are_those_asked_for(tiny_source):
    for layers, expected in ((1, {"1"}), (2, {"0", "1"})):
        model = AutoModelForMaskedLM.from_pretrained(tiny_source)
        TUNINGS["top-layers"].prepare(model, TopLayersOptions(layers=layers, embeddings=False, head=False))
        moving = [name for name, p in model.named_parameters() if p.requires_grad]
        assert all(name.startswith("bert.encoder.layer.") for name in moving)
        assert {name.split(".")[3] for name in moving} == expected


def test_a_tuning_that_cannot_work_says_so():
    sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 1}
    for name, config, message in (
        ("bitfit", ModernBertConfig(**sizes), "no biases"),
        ("ia3", ModernBertConfig(**sizes), "keys, values"),
        ("lora", GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=99), "no linear layers"),
        ("top-layers", BertConfig(**{**sizes, "num_hidden_layers": 1}), "that many layers"),
        ("top-layers", AlbertConfig(**sizes), "that many layers"),
        ("invertible", LlamaConfig(**sizes), "embedding layer and a head"),
    ):
        decoder = isinstance(config, LlamaConfig | GPT2Config)
        model = (AutoModelForCausalLM if decoder else AutoModelForMaskedLM).from_config(config)
        with pytest.raises(InputError, match=message):
            TUNINGS[name].prepare(model, TUNINGS[name].options())


def test_new_embeddings_and_lora_on_the_body_are_one_line_and_ties_hold(tmp_path, tiny_source, language, monkeypatch):
    """A run whose vocabulary is replaced: what was measured before the merge is what plain transformers load."""
    noted = []

    def finish(model):
        noted.append(text_loss(model.eval()))
        return lora.finish(model)

    def text_loss(model):
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(model(input_ids=IDS).logits.flatten(0, 1), IDS.flatten()))

    lora = TUNINGS["lora"]
    monkeypatch.setitem(TUNINGS._specs, "lora", replace(lora, finish=finish))
    file = write_config(tmp_path / "one.yaml", tiny_source, language, arms=["adapted"], pretrain__tuning="lora",
                        pretrain__lr=1e-2, evaluate__tasks={}, evaluate__lm_words=10)  # fmt: skip
    run = adapt.run(file, preflight=False)
    start, made = (AutoModelForMaskedLM.from_pretrained(folder).eval() for folder in (
        run.folder / "transplant" / "model", run.model))  # fmt: skip
    assert text_loss(made) == pytest.approx(noted[-1], abs=1e-5) != pytest.approx(text_loss(start), abs=1e-3)
    before, after = start.state_dict(), made.state_dict()
    words = "bert.embeddings.word_embeddings.weight"
    assert before.keys() == after.keys() and len(after[words]) == len(AutoTokenizer.from_pretrained(run.model))
    assert (after[words] != before[words]).any(1).float().mean() > 0.5  # in full, new rows and old
    query = "bert.encoder.layer.1.attention.self.query.weight"
    assert 0 < torch.linalg.matrix_rank(after[query] - before[query], rtol=1e-3) <= 16
    saved = run.model / "model.safetensors"
    assert saved.stat().st_size < 4 * sum(p.numel() for p in made.parameters()) + 20_000  # the tied rows once
