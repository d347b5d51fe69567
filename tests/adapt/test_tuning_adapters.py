"""Bottleneck and invertible adapters: their formulas, stacks, files, and that measuring sees them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertModel
from typer.testing import CliRunner

import adapt
from adapt.cli import app
from adapt.evaluate import features
from adapt.pretrain.engine import pretrain
from adapt.pretrain.step import heldout_loss, set_up
from adapt.pretrain.triples import Sentences, Tailed, predict_tails, tokenise_triples
from adapt.tuning.adapters import (
    attach,
    detach,
    load_adapter,
    load_adapters,
    load_tuned,
    parameters,
    save_tuned,
    shapes,
)
from lexigraft import InputError
from tests.adapt.pretraining import options
from tests.conftest import write_config
from vocab.tokenizer.load import load_tokenizer

IDS = torch.arange(12).reshape(2, 6) + 5
SIZES = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 1}
FAMILIES = {
    "BertConfig": {**SIZES, "intermediate_size": 64},
    "XLMRobertaConfig": {**SIZES, "intermediate_size": 64},
    "DistilBertConfig": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 99},
    "AlbertConfig": {**SIZES, "intermediate_size": 64, "embedding_size": 16},
    "ModernBertConfig": {**SIZES, "intermediate_size": 64},
    "LlamaConfig": {**SIZES, "intermediate_size": 64, "tie_word_embeddings": True},
    "GPT2Config": {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 99},
}
DECODERS = ("LlamaConfig", "GPT2Config")


def model_of(family="BertConfig"):
    torch.manual_seed(0)
    auto = transformers.AutoModelForCausalLM if family in DECODERS else AutoModelForMaskedLM
    return auto.from_config(getattr(transformers, family)(**FAMILIES[family])).eval()


def enlarge(model, name, seed=0):
    """Weights of an adapter large enough to be seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters(model, name).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def norm_by_hand(state, norm):
    state = state - state.mean(-1, keepdim=True)
    return state / (state.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def test_a_layer_with_its_norm_behind_gives_what_the_formula_says():
    model = model_of()
    attach(model, "language", 16)
    enlarge(model, "language")
    part, own = model.bert.encoder.layer[0].output, parameters(model, "language")
    down, below, up, above = (
        own[f"encoder.layer.0.output.LayerNorm.{name}"] for name in ("down.weight", "down.bias", "up.weight", "up.bias")
    )
    assert down.shape == (2, 32) and up.shape == (32, 2)
    inner, x = torch.randn(3, 64), torch.randn(3, 32)
    h = inner @ part.dense.weight.T + part.dense.bias
    norm = part.LayerNorm
    hidden = (norm_by_hand(x + h, norm) @ down.T + below).clamp(min=0)
    by_hand = norm_by_hand(x + h + hidden @ up.T + above, norm)
    assert torch.allclose(part(inner, x), by_hand, atol=1e-5)
    assert not torch.allclose(by_hand, norm_by_hand(x + h, norm), atol=0.1)


def test_a_layer_with_its_norm_in_front_gives_what_the_formula_says():
    model = model_of("ModernBertConfig")
    with torch.no_grad():
        plain = model(input_ids=IDS, output_hidden_states=True).hidden_states[1]
        attach(model, "language", 16)
        enlarge(model, "language")
        own = parameters(model, "language")
        norm = model.model.layers[0].mlp_norm(plain)
        inner = (norm @ own["layers.0.down.weight"].T + own["layers.0.down.bias"]).clamp(min=0)
        by_hand = plain + inner @ own["layers.0.up.weight"].T + own["layers.0.up.bias"]
        found = model(input_ids=IDS, output_hidden_states=True).hidden_states[1]
    assert torch.allclose(found, by_hand, atol=1e-5) and not torch.allclose(found, plain, atol=0.1)


def test_the_coupling_is_nice_and_undone_before_the_decoder():
    model = model_of()
    plain = model.bert.embeddings(IDS)
    attach(model, "language", 16, coupling=2)
    enlarge(model, "language")
    own = {key.removeprefix("embeddings."): p for key, p in parameters(model, "language").items()}

    def net(name, x):
        inner = (x @ own[f"{name}.down.weight"].T + own[f"{name}.down.bias"]).clamp(min=0)
        return inner @ own[f"{name}.up.weight"].T + own[f"{name}.up.bias"]

    assert own["f.down.weight"].shape == (8, 16)  # half of 32, reduced by 2
    one = plain[..., :16] + net("f", plain[..., 16:])
    two = plain[..., 16:] + net("g", one)
    coupled = model.bert.embeddings(IDS)
    assert torch.allclose(coupled, torch.cat([one, two], -1), atol=1e-5)
    head = model.cls.predictions.transform
    left = head.LayerNorm.forward(head.transform_act_fn(head.dense(plain)))  # without hooks
    right = head(plain)
    again = torch.cat([right[..., :16] + net("f", right[..., 16:]), right[..., 16:]], -1)
    again[..., 16:] += net("g", again[..., :16])
    assert torch.allclose(again, left, atol=1e-5) and not torch.allclose(left, right, atol=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_carries_adapters_and_gives_them_back(family, tmp_path):
    model = model_of(family)
    before, keys = logits(model), set(model.state_dict())
    coupling = None if family in DECODERS else 2
    attach(model, "language", 4, coupling)
    for key, parameter in parameters(model, "language").items():
        if ".up." in key:
            torch.nn.init.zeros_(parameter)
    assert torch.allclose(logits(model), before, atol=1e-6)  # nothing comes up: the model is what it was
    enlarge(model, "language")
    full = logits(model)
    assert not torch.allclose(full, before, atol=1e-2)
    with torch.no_grad():
        found = model(input_ids=IDS, output_hidden_states=True).hidden_states[1]
        detach(model, "language")
        assert not torch.allclose(model(input_ids=IDS, output_hidden_states=True).hidden_states[1], found, atol=1e-3)
    assert torch.equal(logits(model), before) and shapes(model) == {}
    attach(model, "language", 4, coupling)
    enlarge(model, "language")
    save_tuned(model, tmp_path)
    assert torch.allclose(logits(load_tuned(tmp_path)), full, atol=1e-5)
    plain = type(model).from_pretrained(tmp_path).eval()
    assert torch.allclose(logits(plain), before, atol=1e-5) and set(plain.state_dict()) == keys


def test_a_stack_is_the_same_formula_again_and_its_parts_come_apart(tmp_path):
    model = model_of()
    for number, name in enumerate(("language", "task")):
        attach(model, name, 8, 2)
        enlarge(model, name, number)
    norm = model.bert.encoder.layer[0].output.LayerNorm
    own = {name: norm.adapters[name] for name in shapes(model)}
    state = torch.randn(3, 32)
    first = state + own["language"](norm_by_hand(state, norm))
    by_hand = norm_by_hand(first + own["task"](norm_by_hand(first, norm)), norm)
    assert torch.allclose(norm(state), by_hand, atol=1e-5)
    both = logits(model)
    save_tuned(model, tmp_path)
    assert torch.equal(logits(load_tuned(tmp_path)), both)
    detach(model, "task")
    alone = logits(model)
    assert not torch.allclose(alone, both, atol=1e-2)
    other = BertForMaskedLM.from_pretrained(tmp_path).eval()
    load_adapter(other, tmp_path / "adapter-language.safetensors", name="hausa")
    assert torch.equal(logits(other), alone)


def test_a_task_is_trained_over_a_language_that_stays(tmp_path, tiny_base, language):
    text = language / "text.txt"
    one, two = tmp_path / "one", tmp_path / "two"
    own = {"embeddings": False, "head": False}
    first = tuned("invertible", lr=1e-2, precision="bf16", own={**own, "head": True})
    pretrain(tiny_base, tiny_base, text, None, first, 4, 0, one)
    model = one / "model"
    facts = pretrain(model, model, text, None, tuned("bottleneck", lr=1e-2, own={**own, "name": "task"}), 4, 0, two)
    assert list(shapes(load_tuned(two / "model"))) == ["language", "task"]
    for name in ("model", "adapter-language"):
        assert (two / f"model/{name}.safetensors").read_bytes() == (model / f"{name}.safetensors").read_bytes()
    assert facts["trained_parameters"] == 2 * (2 * 32 * 2 + 2 + 32)
    assert facts["adapters"] == {file.name: file.stat().st_size for file in (two / "model").glob("adapter-*")}
    assert "adapter-language.safetensors, adapter-task.safetensors" in facts["notices"][-1]
    again = pretrain(two / "model", model, text, None, tuned("bottleneck", own={**own, "name": "task"}), 2, 0,
                     tmp_path / "three")  # fmt: skip
    assert again["trained_parameters"] == facts["trained_parameters"]  # the one that came is trained on


@pytest.mark.parametrize("name", ["bitfit", "dora", "ia3", "lora", "top-layers"])
def test_adapters_that_came_with_the_model_stay(name, tmp_path, tiny_source, language):
    model = AutoModelForMaskedLM.from_pretrained(tiny_source)
    attach(model, "language", 4, 2)
    source, saved = tmp_path / "source", tmp_path / "run" / "model"
    save_tuned(model, source)
    transformers.AutoTokenizer.from_pretrained(tiny_source).save_pretrained(source)
    pretrain(source, source, language / "text.txt", None, options(tuning=name, lr=1e-2, precision="bf16"), 2, 0,
             tmp_path / "run")  # fmt: skip
    assert (saved / "adapter-language.safetensors").read_bytes() == (
        source / "adapter-language.safetensors"
    ).read_bytes()
    assert (saved / "model.safetensors").read_bytes() != (source / "model.safetensors").read_bytes()
    assert (
        type(model).from_pretrained(saved).state_dict().keys()
        == type(model).from_pretrained(source).state_dict().keys()
    )


def tuned(name, own, **more):
    """Options with those of one tuning."""
    return options(tuning=name, tuning_options={name: own}, **more)


def test_saved_adapters_are_small(tmp_path):
    """The body of multilingual-e5-small, 12 x 384: what is saved is one hundredth of it."""
    config = BertConfig(vocab_size=500, hidden_size=384, num_hidden_layers=12, num_attention_heads=12,
                        intermediate_size=1536)  # fmt: skip
    model, sizes = BertForMaskedLM(config), {}
    for name, coupling in (("bottleneck", None), ("invertible", 2)):
        attach(model, name, 16, coupling)
        count = sum(p.numel() for p in parameters(model, name).values())
        save_tuned(model, tmp_path)
        sizes[name] = (count, (tmp_path / f"adapter-{name}.safetensors").stat().st_size)
    layers = 12 * (2 * 384 * 24 + 24 + 384)
    assert sizes["bottleneck"][0] == layers == 226_080
    assert sizes["invertible"][0] == layers + 2 * (2 * 192 * 96 + 96 + 192) == 300_384
    assert all(0 < size - 4 * count < 10_000 for count, size in sizes.values())  # 0.9 and 1.2 MB


def test_what_measures_reads_the_adapters(tmp_path, tiny_source):
    model = AutoModelForMaskedLM.from_pretrained(tiny_source)
    attach(model, "language", 4, 2)
    enlarge(model, "language")
    transformers.AutoTokenizer.from_pretrained(tiny_source).save_pretrained(tmp_path)
    save_tuned(model, tmp_path)
    cutter = features.Cutter(tmp_path)
    cuts = cutter.words([["walk", "good"], ["king"]])
    bare, body = features.load_body(tiny_source), features.load_body(tmp_path)
    found, without = (features.compute(b, cutter, cuts, pool=False).astype(np.float32) for b in (body, bare))
    assert np.abs(found - without).max() > 0.1
    save_tuned(body, tmp_path / "body")  # as a fine-tuned body is kept
    again = features.compute(features.load_body(tmp_path / "body"), cutter, cuts, pool=False)
    assert (again.astype(np.float32) == found).all()
    assert features.fingerprint(tmp_path, tmp_path, 0) != features.fingerprint(tiny_source, tmp_path, 0)


def test_a_run_with_adapters_hands_out_the_plain_model_and_them(tmp_path, tiny_base, language):
    pos = {part: str(language / "pos" / f"{part}.txt") for part in ("train", "dev", "test")}
    found = adapt.run(write_config(
        tmp_path / "small.yaml", tiny_base, language, arms=["keep"], pretrain__tuning="invertible",
        pretrain__lr=1e-2, evaluate__mode="finetune", evaluate__epochs=1, evaluate__seeds=[0], evaluate__max_train=30,
        evaluate__max_test=10, evaluate__task_adapter=True, evaluate__lm_words=10, evaluate__tasks={"pos": pos},
    ), preflight=False)  # fmt: skip
    scored = found.scores.query("arm == 'keep' and task == 'lm'").value
    assert len(scored) and scored.notna().all()
    AutoModelForMaskedLM.from_pretrained(found.model)
    assert 'load_tuned("' in (found.model / "README.md").read_text(encoding="utf-8")
    exported = CliRunner().invoke(app, ["export", str(found.folder), str(tmp_path / "out")])
    assert "adapter-language.safetensors: plain transformers leaves it out" in exported.output
    body = found.folder / "evaluate/keep/pos/seed-0/body"  # of the task's adapter, over the language's
    assert list(shapes(load_tuned(found.model))) == ["language"]
    assert list(shapes(load_tuned(body))) == ["language", "pos"]
    before, after = load_file(found.model / "model.safetensors"), load_file(body / "model.safetensors")
    assert after and all((before[f"bert.{key}"] == value).all() for key, value in after.items())
    name = "adapter-language.safetensors"
    assert (found.model / name).read_bytes() == (body / name).read_bytes()
    start = attach(load_tuned(found.model), "pos", 16, seed=0)
    assert all((p != q).any() for p, q in zip(start, parameters(load_tuned(body), "pos").values(), strict=True))


def test_an_adapter_learns_facts_given_as_triples(tmp_path, tiny_source, language):
    """From YAML: it predicts their tails far better than the source model, which lies beside it unchanged."""
    base = AutoModelForMaskedLM.from_pretrained(tiny_source)
    with torch.no_grad():
        base.get_input_embeddings().weight.mul_(20)  # large enough for a decoder that stays as it is
    base.save_pretrained(source := tmp_path / "source")
    transformers.AutoTokenizer.from_pretrained(tiny_source).save_pretrained(source)
    words, file = ("walk", "house", "water", "tree", "king", "land", "good", "bad"), tmp_path / "facts.tsv"
    file.write_text("".join(f"{w}\tis near\t{words[(3 * n + 1) % 8]}\n" for n, w in enumerate(words)))
    run = adapt.run(write_config(
        tmp_path / "small.yaml", source, language, arms=["keep"], evaluate={"lm_words": 10},
        corpus={"text": [str(language / "text.txt")], "triples": str(file)}, pretrain__mix={"triples": 1.0},
        pretrain__tuning="bottleneck", pretrain__lr=1e-2, pretrain__steps=60, pretrain__batch_tokens=128,
        pretrain__tuning_options={"bottleneck": {"reduction": 2, "embeddings": False, "head": False}},
    ), preflight=False)  # fmt: skip
    seen = json.loads((run.folder / "pretrain/keep/facts.json").read_text())["corpora"]
    assert seen["triples"]["epochs"] > 10 and seen["text"]["tokens"] == 0
    plain = shutil.copytree(run.model, tmp_path / "plain", ignore=shutil.ignore_patterns("adapter-*"))
    tokenizer, losses = load_tokenizer(source), []
    tokens = tokenise_triples(file, tokenizer, Sentences(), tmp_path / "tokens")
    for model in (source, run.model, plain):
        setup = set_up(model, source, tokens, tokenizer, options(), 1, 0)
        blocks = Tailed.of(setup.stream.take(2))
        batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng(0))
        losses.append(heldout_loss(setup, predict_tails(batch, blocks, setup.symbols, bidirectional=True)))
    before, adapted, without = losses
    assert adapted < before - 2 and without == before


def test_what_does_not_fit_is_refused(tmp_path):
    model = model_of()
    attach(model, "language", 16)
    for name, message in (("language", "already"), ("a.b", "cannot have this name"), ("keys", "cannot have this name")):
        with pytest.raises(InputError, match=message):
            attach(model, name, 16)
    save_tuned(model, tmp_path)
    larger = BertModel(BertConfig(**{**SIZES, "hidden_size": 64}))
    with pytest.raises(InputError, match=r"does not fit this model.*down"):
        load_adapters(larger, tmp_path)
    assert shapes(larger) == {}
    save_file({"x": torch.zeros(2)}, tmp_path / "adapter-x.safetensors")
    (tmp_path / "adapter-y.safetensors").write_bytes(b"nothing")
    for name in "xy":
        with pytest.raises(InputError, match=f"adapter-{name}.*not an adapter"):
            load_adapter(model, tmp_path / f"adapter-{name}.safetensors")
    decoder = model_of("LlamaConfig")
    with pytest.raises(InputError, match="needs an embedding layer and a head"):
        attach(decoder, "language", 16, coupling=2)
    assert shapes(decoder) == {} and not [key for key in decoder.state_dict() if "adapters" in key]
