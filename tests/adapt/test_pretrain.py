"""The loop: its loss, its gradient, its resumption, and what stops it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, linear
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from adapt.pretrain.checkpoint import listed
from adapt.pretrain.engine import measure, pretrain
from adapt.pretrain.loss import linear_cross_entropy
from adapt.pretrain.model import load_with_head, objective_of
from adapt.pretrain.step import accumulate, forward, train_step
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on
from vocab.head import Predictor


@pytest.mark.parametrize("kind", ["mlm", "clm"])
def test_one_batch_of_32_and_4_of_8_give_the_same_weights(kind, tmp_path, tiny_source, tiny_decoder, language):
    source = tiny_source if kind == "mlm" else tiny_decoder
    results = []
    for micro in (None, 8 * 32):
        given = options(batch_tokens=32 * 32, micro_batch_tokens=micro)
        setup = setup_on(source, language / "text.txt", tmp_path, given)
        assert setup.objective.name == kind and setup.rows == 32
        losses = [train_step(setup, step)["loss"] for step in range(5)]
        results.append((losses, {n: p.detach().clone() for n, p in setup.trained.items()}))
    batch = setup.objective.batch(
        setup.stream.take(32), setup.symbols, setup.objective_options, np.random.default_rng(0)
    )
    counts = [len(batch.part(k, k + 8).labels) for k in range(0, 32, 8)]
    assert len(set(counts)) > 1  # unequal numbers of predicted tokens
    (whole, a), (parts, b) = results
    assert whole == pytest.approx(parts, abs=1e-5)
    assert max(float((a[n] - b[n]).abs().max()) for n in a) < 1e-5


@pytest.mark.parametrize("kind", ["mlm", "clm"])
def test_loss_and_gradient_are_those_of_the_plain_model(kind, tmp_path, tiny_source, tiny_decoder, language):
    setup = setup_on(tiny_source if kind == "mlm" else tiny_decoder, language / "text.txt", tmp_path, options())
    batch = setup.objective.batch(
        setup.stream.take(8), setup.symbols, setup.objective_options, np.random.default_rng(1)
    )
    loss = accumulate(setup, batch)
    ours = {n: p.grad.clone() for n, p in setup.trained.items()}
    setup.optimizer.zero_grad()
    ids, mask = torch.from_numpy(batch.inputs), torch.from_numpy(batch.attention).long()
    logits = setup.model(input_ids=ids, attention_mask=mask).logits
    labels = torch.full(ids.shape, -100)
    labels[torch.from_numpy(batch.rows), torch.from_numpy(batch.columns)] = torch.from_numpy(batch.labels)
    plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    plain.backward()
    assert loss == pytest.approx(float(plain.detach()), abs=1e-5)
    assert max(float((ours[n] - p.grad).abs().max()) for n, p in setup.trained.items()) < 1e-5


@pytest.mark.parametrize("columns", [100, 20_000])
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
def test_the_loss_in_blocks_is_the_plain_one(columns, half):
    torch.manual_seed(0)
    inputs = [torch.randn(7, 16), torch.randn(columns, 16), torch.randn(columns)]
    labels = torch.randint(columns, (7,))
    found = []
    for way in (linear_cross_entropy, lambda s, w, b, y: cross_entropy(linear(s, w, b).float(), y, reduction="sum")):
        leaves = [t.clone().requires_grad_() for t in inputs]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = way(*leaves, labels)
        (loss / 7).backward()
        found.append([loss.detach(), *(t.grad for t in leaves)])
    for ours, plain in zip(*found, strict=True):
        assert torch.allclose(ours, plain, atol=2e-2 if half else 1e-5, rtol=1e-2 if half else 1e-5)


def test_clm_predicts_the_token_that_follows(tmp_path, tiny_decoder, language):
    setup = setup_on(tiny_decoder, language / "text.txt", tmp_path, options())
    blocks = setup.stream.take(2)
    batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng(0))
    assert (batch.inputs == blocks.ids).all()
    assert (batch.labels == blocks.ids[batch.rows, batch.columns + 1]).all()
    assert len(batch.labels) == (blocks.attention.sum(1) - 1).sum()


def test_a_model_that_knows_nothing_pays_ln_v(tmp_path, tiny_source, language):
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, options())
    with torch.no_grad():
        setup.model.get_output_embeddings().weight.zero_()
        setup.model.get_output_embeddings().bias.zero_()
    batch = setup.objective.batch(
        setup.stream.take(8), setup.symbols, setup.objective_options, np.random.default_rng(0)
    )
    rows = setup.model.get_output_embeddings().weight.shape[0]
    assert float(forward(setup, batch).detach()) / len(batch.labels) == pytest.approx(math.log(rows), abs=1e-5)


def test_masks_are_those_of_the_step_whatever_the_cut(tmp_path, tiny_source, language):
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, options())
    blocks = setup.stream.take(8)
    batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng(5))
    parts = [batch.part(k, k + 3) for k in range(0, 8, 3)]
    assert np.concatenate([p.inputs for p in parts]).tolist() == batch.inputs.tolist()
    assert np.concatenate([p.labels for p in parts]).tolist() == batch.labels.tolist()
    chosen = np.concatenate([p.inputs[p.rows, p.columns] for p in parts])
    assert chosen.tolist() == batch.inputs[batch.rows, batch.columns].tolist()


FAMILIES = ["BertConfig", "XLMRobertaConfig", "DistilBertConfig", "ModernBertConfig", "ElectraConfig", "GPT2Config"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_decoder_runs_at_predicted_positions_only(family):
    import transformers

    sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 1}
    renamed = {
        "DistilBertConfig": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 99},
        "GPT2Config": {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 99},
    }
    config = getattr(transformers, family)(**renamed.get(family, {**sizes, "intermediate_size": 64}))
    auto = transformers.AutoModelForCausalLM if family == "GPT2Config" else AutoModelForMaskedLM
    torch.manual_seed(0)
    model = auto.from_config(config).eval()
    predictor = Predictor.of(model)
    assert not predictor.full
    ids = torch.arange(20).reshape(2, 10) + 5
    flat = torch.tensor([3, 11, 19])
    with torch.no_grad():
        whole = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.reshape(20, -1)[flat]
        apart = predictor.logits(predictor.gathered(ids, None, flat))
    assert torch.allclose(whole, apart, atol=1e-4)


def test_a_head_of_an_unknown_kind_computes_logits_everywhere(tmp_path, tiny_source, language, monkeypatch):
    monkeypatch.setattr("vocab.head.head_parts", lambda model: ([], model.get_output_embeddings()))
    unknown = setup_on(tiny_source, language / "text.txt", tmp_path, options())
    monkeypatch.undo()
    known = setup_on(tiny_source, language / "text.txt", tmp_path, options())
    assert unknown.predictor.full and not known.predictor.full
    losses = [[train_step(setup, step)["loss"] for step in range(2)] for setup in (unknown, known)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_new_head_is_tied_the_same_every_time_and_begins_at_the_unigram_entropy(tmp_path, tiny_base, language):
    (a, new), (b, _) = (load_with_head(tiny_base, "AutoModelForMaskedLM") for _ in range(2))
    assert new and all((p == q).all() for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert a.get_output_embeddings().weight is a.get_input_embeddings().weight
    setup = setup_on(tiny_base, language / "text.txt", tmp_path, options(rate=0.5))
    with torch.no_grad():
        setup.model.get_input_embeddings().weight.zero_()  # what is left is the bias
    counts = setup.stream.tokens.counts(setup.symbols.size) + 0.5
    rows = setup.model.get_output_embeddings().weight.shape[0]
    share = np.concatenate([counts, np.full(rows - len(counts), counts.min())])
    share = share / share.sum()
    batch = setup.objective.batch(
        setup.stream.take(64), setup.symbols, setup.objective_options, np.random.default_rng(0)
    )
    by_hand = -np.log(share[batch.labels]).mean()
    assert float(forward(setup, batch).detach()) / len(batch.labels) == pytest.approx(by_hand, abs=1e-4)


def test_a_head_that_was_there_is_left_alone(tiny_source):
    model, new = load_with_head(tiny_source, "AutoModelForMaskedLM")
    plain = AutoModelForMaskedLM.from_pretrained(tiny_source)
    assert not new and all((p == q).all() for p, q in zip(model.parameters(), plain.parameters(), strict=True))


def test_objective_follows_the_model(tiny_source, tiny_base, tiny_decoder):
    assert [objective_of(f) for f in (tiny_source, tiny_base, tiny_decoder)] == ["mlm", "mlm", "clm"]


def test_training_learns_and_leaves_a_plain_folder(tmp_path, tiny_base, language):
    seen, given = [], options(lr=1e-2, batch_tokens=512)
    facts = pretrain(tiny_base, tiny_base, language / "text.txt", language / "text.txt", given, 60, 0,
                     tmp_path, progress=lambda d, t, f: seen.append((d, t, f)))  # fmt: skip
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 61))
    watched = [line["heldout_loss"] for line in log if "heldout_loss" in line]
    assert watched[-1] < watched[0] - 0.01 and facts["heldout_loss"] == watched[-1]
    assert seen[-1][:2] == (60, 60) and {"loss", "tokens_per_second", "seconds_left"} <= seen[-1][2].keys()
    assert facts["tokens"] == sum(line["tokens"] for line in log) and facts["new_head"] and facts["resumed_from"] == []
    assert facts["tokens"] > 60 * 512 * 0.7  # lines of a third of a block fill it less well than shorter ones
    AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    assert model.config.hidden_dropout_prob == 0.1  # the source's, for whoever tunes it next
    body = AutoModel.from_pretrained(tmp_path / "model")
    assert (body.embeddings.word_embeddings.weight == model.bert.embeddings.word_embeddings.weight).all()
    before = (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns
    again = pretrain(tiny_base, tiny_base, language / "text.txt", language / "text.txt", given, 60, 0, tmp_path)
    assert again == facts and (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_other_settings_start_afresh_and_say_so(tmp_path, tiny_source, language):
    text = language / "text.txt"
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            tiny_source, tiny_source, text, None, options(checkpoint_seconds=0.0), 9, 0, tmp_path, progress=stop_at(5)
        )
    assert listed(tmp_path / "checkpoints")
    notices = []
    facts = pretrain(tiny_source, tiny_source, text, None, options(lr=2e-3), 9, 0, tmp_path,
                     progress=lambda d, t, f: notices.append(f.get("notice")))  # fmt: skip
    assert facts["resumed_from"] == [] and any("started afresh" in n for n in notices if n)


def stop_at(step):
    """A progress function that interrupts like Ctrl-C."""
    given = iter(range(10**6))

    def progress(done, total, facts):
        if "loss" in facts and next(given) >= 1:
            raise KeyboardInterrupt

    return progress


def test_a_loss_that_is_no_number_or_explodes_stops(tmp_path, tiny_source, language):
    with pytest.raises(InputError, match=r"(no number|exploded).*at step \d+.*pretrain.lr = 1e\+06"):
        pretrain(tiny_source, tiny_source, language / "text.txt", None, options(lr=1e6, warmup=0.0), 40, 0, tmp_path)


def test_measure_is_thrown_away(tmp_path, tiny_source, language):
    facts = measure(tiny_source, tiny_source, language / "text.txt", options(), 0, steps=3)
    assert facts["seconds_per_step"] > 0 and 150 < facts["tokens_per_step"] <= 256
    assert facts["peak_rss_bytes"] > 2**27 and facts["trained_parameters"] == facts["parameters"]
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_refused_before_training(tmp_path, tiny_source, language):
    text = language / "text.txt"
    with pytest.raises(InputError, match="more than the model's positions"):
        setup_on(tiny_source, text, tmp_path / "a", options(sequence_length=128))
    with pytest.raises(InputError, match="unknown objective 'mml'; did you mean 'mlm'"):
        setup_on(tiny_source, text, tmp_path / "b", options(objective="mml"))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_bytes((tiny_source / "config.json").read_bytes())
    with pytest.raises(InputError, match="without weights"):
        load_with_head(empty, "AutoModelForMaskedLM")
