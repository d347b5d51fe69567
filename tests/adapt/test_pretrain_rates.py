"""Rates by step and by group, budgets in every unit, and what is measured before and while training."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from adapt import pipeline
from adapt.pretrain.data import Stream
from adapt.pretrain.engine import pretrain
from adapt.pretrain.measure import estimated_steps, steps_in_text
from adapt.pretrain.schedule import factor
from adapt.pretrain.step import train_step
from adapt.pretrain.tokens import Symbols, tokenise
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on
from tests.conftest import write_config
from vocab.tokenizer.load import load_tokenizer


def test_schedules():
    cosine = [factor("cosine", s, 100, 0.1) for s in range(100)]
    assert cosine[0] == pytest.approx(0.1) and cosine[9] == cosine[10] == 1.0
    assert cosine[55] == pytest.approx(0.5) and cosine[99] < 0.001
    assert factor("linear", 55, 100, 0.1) == pytest.approx(0.5)
    assert factor("wsd", 79, 100, 0.1) == 1.0 and 0 < factor("wsd", 99, 100, 0.1) < 0.05
    assert factor("constant", 99, 100, 0.0) == 1.0 == factor("constant", 0, 100, 0.0)
    for name in ("cosine", "linear", "wsd"):
        falling = [factor(name, s, 100, 0.1) for s in range(10, 100)]
        assert falling == sorted(falling, reverse=True) and falling[-1] > 0
    # A floor: half of the way down to a tenth is 0.55. A fall from step 50 over 4 steps, by hand: fifths of the way.
    assert factor("cosine", 55, 100, 0.1, floor=0.1) == pytest.approx(0.55)
    linear = [factor("wsd", s, 100, 0.1, decay=(50, 4), shape="linear") for s in range(49, 56)]
    assert linear == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0])
    roots = [factor("wsd", s, 100, 0.1, decay=(50, 3), floor=0.2) for s in range(50, 53)]
    assert roots == pytest.approx([0.2 + 0.8 * (1 - math.sqrt(k / 4)) for k in (1, 2, 3)])
    assert factor("wsd", 50, 100, 0.0, decay=(50, 3), shape="cosine") == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert factor("wsd", 89, 100, 0.1, decay_share=0.1) == 1.0 > factor("wsd", 90, 100, 0.1, decay_share=0.1)
    with pytest.raises(ValueError, match="unknown schedule"):
        factor("steps", 0, 10, 0)


def test_groups_have_the_rates_that_their_factors_say(tmp_path, tiny_source, language):
    given = options(lr=1e-3, warmup=0.0, schedule="constant", lr_embeddings=2.0, lr_body=0.5, lr_head=3.0,
                    layer_decay=0.9)  # fmt: skip
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, given)
    before = {name: p.detach().clone() for name, p in setup.trained.items()}
    facts = train_step(setup, 0)
    layers = setup.model.config.num_hidden_layers
    by_hand = {"embeddings": 2e-3, "head": 3e-3, "body.start": 0.5e-3 * 0.9**layers}
    by_hand |= {f"body.{k}": 0.5e-3 * 0.9 ** (layers - 1 - k) for k in range(layers)}
    assert facts["lrs"] == pytest.approx(by_hand) and facts["lr"] == pytest.approx(1e-3)
    # Adam's first step moves each weight that has a gradient by its rate, whatever the gradient's size.
    moved = {n: float((p.detach() - before[n]).abs().max()) for n, p in setup.trained.items() if p.squeeze().ndim < 2}
    by_name = {"bert.embeddings.LayerNorm.bias": "body.start", "bert.encoder.layer.0.output.dense.bias": "body.0",
               "cls.predictions.transform.dense.bias": "head"}  # fmt: skip
    for name, group in by_name.items():
        assert moved[name] == pytest.approx(by_hand[group], rel=1e-2)


def test_every_parameter_is_in_one_group_and_only_matrices_decay(tmp_path, tiny_source, language):
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, options(weight_decay=0.1))
    groups = setup.optimizer.param_groups
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in setup.trained.values())
    assert {g["name"] for g in groups} == {"embeddings", "body", "head"} and {g["factor"] for g in groups} == {1.0}
    for group in groups:
        assert {p.squeeze().ndim >= 2 for p in group["params"]} == {group["weight_decay"] == 0.1}


def assert_goes_on(source, text, given, folder):
    """Interrupt a training of six steps, let it go on, and compare its weights with those of one in one go."""

    def interrupt(done, total, facts):
        if "loss" in facts and done > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(source, source, text, None, given, 6, 0, folder / "cut", progress=interrupt)
    facts = [pretrain(source, source, text, None, given, 6, 0, folder / name) for name in ("cut", "whole")]
    assert facts[0]["resumed_from"] and not facts[1]["resumed_from"]
    cut, whole = ((folder / n / "model" / "model.safetensors").read_bytes() for n in ("cut", "whole"))
    assert cut == whole


def test_groups_change_nothing_for_a_run_that_goes_on(tmp_path, tiny_source, language):
    text, given = language / "text.txt", options(checkpoint_seconds=0.0, layer_decay=0.8, lr_head=2.0, schedule="wsd",
                                                 min_lr=0.1, decay_share=0.5, decay_shape="linear")  # fmt: skip

    assert_goes_on(tiny_source, text, given, tmp_path)
    log = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["lrs"]["head"] == pytest.approx(2 * log[-1]["lr"]) and log[-1]["lr"] < log[0]["lr"]


def test_a_budget_in_epochs_or_tokens_is_what_the_packed_text_holds(tmp_path, tiny_source, language):
    tokenizer, text = load_tokenizer(tiny_source), language / "text.txt"
    tokens = tokenise(text, tokenizer, tmp_path / "tokens")
    stream = Stream(tokens, Symbols.of(tokenizer), 32, 0)
    sizes = []  # of the blocks of the first epoch
    while True:
        block = stream.take(1)
        if stream.epoch:
            break
        sizes.append(int(block.attention.sum()))
    given = options(batch_tokens=256, sequence_length=32, minutes=None, epochs=2.5)
    assert steps_in_text(tiny_source, text, given, 0) == math.ceil(2.5 * len(sizes) / 8)
    given = options(batch_tokens=256, sequence_length=32, minutes=None, tokens=10_000)
    assert steps_in_text(tiny_source, text, given, 0) == math.ceil(10_000 / np.mean(sizes) / 8)


def test_a_run_in_epochs_trains_so_many(tmp_path, tiny_source, language):
    path = tmp_path / "run.yaml"
    write_config(path, tiny_source, language, arms=["keep"], evaluate__tasks={}, pretrain__steps=None,
                 pretrain__minutes=None, pretrain__epochs=0.2, pretrain__lr_embeddings=0.5)  # fmt: skip
    run = pipeline.run(path)
    facts = json.loads((run.folder / "pretrain" / "keep" / "facts.json").read_text())
    resolved = yaml.safe_load((run.folder / "run.yaml").read_text())["resolved"]
    assert facts["epochs"] == pytest.approx(0.2, abs=0.05) and resolved["steps"]["keep"] == facts["steps"]


def test_minutes_become_steps_once_what_was_spent_before_taken_off(tmp_path, tiny_source, language, monkeypatch):
    monkeypatch.setattr("adapt.pretrain.measure.measure", lambda *_, **__: {"seconds_per_step": 2.0})
    path = tmp_path / "run.yaml"
    write_config(path, tiny_source, language, arms=["keep"], evaluate__tasks={}, pretrain__steps=None,
                 pretrain__minutes=0.25)  # fmt: skip
    run = pipeline.run(path, preflight=False)
    facts = json.loads((run.folder / "pretrain" / "keep" / "facts.json").read_text())
    assert facts["steps"] == 7  # 15 seconds of 2
    given = options(minutes=0.25)
    assert estimated_steps(given, {"seconds_per_step": 2.0}, 0.0, spent=8.5) == 3
    assert estimated_steps(given, {"seconds_per_step": 2.0}, 0.0, spent=14.0) < 1


def test_adamw_by_rows_moves_rows_in_use_as_adamw_does_and_no_others(tmp_path, tiny_decoder, language):
    found = {}
    for name in ("adamw", "adamw-rows"):
        setup = setup_on(tiny_decoder, language / "text.txt", tmp_path, options(optimizer=name, batch_tokens=64,
                                                                                weight_decay=0.1))  # fmt: skip
        matrix = setup.model.get_input_embeddings().weight
        before = matrix.detach().clone()
        seen = setup.take(0).ids
        setup.stream.seek((0, 0))
        first = train_step(setup, 0)
        after = matrix.detach().clone()
        losses = [first["loss"], *(train_step(setup, step)["loss"] for step in range(1, 10))]
        found[name] = (before, after, np.unique(seen), first["grad_norm"], losses)
    (_, exact, _, norm, plain), (before, after, seen, rows_norm, losses) = found.values()
    assert norm == pytest.approx(rows_norm) and losses[0] == plain[0]
    rest = np.setdiff1d(np.arange(len(before)), seen)
    assert len(rest) and (after[rest] == before[rest]).all()
    read = [row for row in seen if not (exact[row] - before[row]).abs().max() < 1e-4]  # a row's last token has none
    assert len(read) > 5 and torch.allclose(after[read], exact[read], atol=1e-6)
    assert losses == pytest.approx(plain, rel=0.02)


def test_adamw_by_rows_goes_on_to_the_bit(tmp_path, tiny_decoder, language):
    given = options(optimizer="adamw-rows", checkpoint_seconds=0.0)
    assert_goes_on(tiny_decoder, language / "text.txt", given, tmp_path)


def test_adamw_by_rows_is_refused_where_it_does_not_help(tmp_path, tiny_source, language):
    with pytest.raises(InputError, match="every row has a gradient"):
        setup_on(tiny_source, language / "text.txt", tmp_path, options(optimizer="adamw-rows"))
    with pytest.raises(ValidationError, match="needs one process"):
        options(optimizer="adamw-rows", processes=2)
