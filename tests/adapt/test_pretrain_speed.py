"""What makes a step fast changes nothing but its speed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from adapt.pretrain import attention
from adapt.pretrain.gradients import clip
from adapt.pretrain.loss import linear_cross_entropy
from adapt.pretrain.step import accumulate, train_step
from adapt.pretrain.throughput import Throughput
from tests.adapt.pretraining import options, setup_on


def masks(rows, length):
    """Padding at the ends, documents apart as numbers to add, causal, none."""
    padded = torch.ones(rows, 1, length, length, dtype=torch.bool)
    padded[1, :, :, -3:] = False
    apart = torch.zeros(rows, 1, length, length)
    apart[:, :, :5, 5:] = apart[:, :, 5:, :5] = torch.finfo(torch.float32).min
    return {"padded": padded, "apart": apart, "causal": None, "none": None}


@pytest.mark.parametrize("kind", ["padded", "apart", "causal", "none"])
def test_plain_products_attend_as_exactly_as_the_fused_kernel(kind):
    torch.manual_seed(0)
    drawn = [torch.randn(2, 3, 24, 16, dtype=torch.bfloat16) for _ in range(4)]
    mask, causal = masks(2, 24)[kind], kind == "causal"
    layer = SimpleNamespace(is_causal=causal)

    def run(way, dtype):
        leaves = [t.detach().clone().to(dtype).requires_grad_() for t in drawn[:3]]
        out = way(*leaves)
        out.backward(drawn[3].to(dtype))
        return [out.detach().float(), *(t.grad.float() for t in leaves)]

    def fused(q, k, v):
        fits = mask.to(q.dtype) if mask is not None and mask.dtype != torch.bool else mask
        return scaled_dot_product_attention(q, k, v, attn_mask=fits, is_causal=causal)

    exact = run(fused, torch.float32)
    theirs = run(fused, torch.bfloat16)
    ours = run(lambda q, k, v: attention.attention(layer, q, k, v, mask)[0].transpose(1, 2), torch.bfloat16)
    for a, b, c in zip(exact, ours, theirs, strict=True):
        error, known = float((b - a).norm() / a.norm()), float((c - a).norm() / a.norm())
        assert 0 < error < 2 * known < 0.02


@pytest.mark.parametrize(
    "name", ["BertConfig", "XLMRobertaConfig", "DistilBertConfig", "ModernBertConfig", "LlamaConfig"]
)
def test_every_architecture_attends_alike_whatever_the_way(name):
    import transformers

    sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 1,
             "intermediate_size": 64}  # fmt: skip
    distil = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 99, "dropout": 0.0}
    config = getattr(transformers, name)(**(distil if name.startswith("Distil") else sizes))
    torch.manual_seed(0)
    model = (AutoModelForCausalLM if name == "LlamaConfig" else AutoModelForMaskedLM).from_config(config).eval()
    ids, mask = torch.arange(40).reshape(2, 20) + 5, torch.ones(2, 20, dtype=torch.int64)
    mask[1, 15:] = 0

    def logits():
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            return model(input_ids=ids, attention_mask=mask).logits.float()[mask.bool()]

    before = logits()
    attention.use_plain_products(model)
    assert model.config._attn_implementation == attention.NAME
    assert torch.allclose(logits(), before, atol=0.02)
    assert attention.NAME not in model.config.to_json_string()


def test_longer_rows_and_other_precisions_take_the_fused_kernel(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("plain products")

    monkeypatch.setattr(attention._Attention, "apply", refuse)
    layer = SimpleNamespace(is_causal=False)
    for length, dtype, dropout in ((attention.LONGEST + 1, torch.bfloat16, 0.0), (8, torch.float32, 0.0),
                                   (8, torch.bfloat16, 0.1)):  # fmt: skip
        drawn = [torch.randn(1, 2, length, 8, dtype=dtype) for _ in range(3)]
        attention.attention(layer, *drawn, torch.zeros(1, 1, length, length), dropout=dropout)
    with pytest.raises(AssertionError, match="plain products"):
        attention.attention(layer, *[torch.randn(1, 2, 8, 8, dtype=torch.bfloat16) for _ in range(3)], None)


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_kept_gradients_are_those_of_autograd_in_one_place(kind, tmp_path, tiny_source, tiny_decoder, language):
    source = tiny_source if kind == "tied" else tiny_decoder
    setup = setup_on(source, language / "text.txt", tmp_path, options(micro_batch_tokens=64, lr=1e-3))
    assert len(setup.kept) == {"tied": 1, "untied": 2}[kind]
    train_step(setup, 0)
    places = [p.grad.data_ptr() for p in setup.kept]
    train_step(setup, 1)
    assert places == [p.grad.data_ptr() for p in setup.kept] and not any(p.grad.is_sparse for p in setup.kept)
    batch = setup.objective.batch(
        setup.stream.take(8), setup.symbols, setup.objective_options, np.random.default_rng(0)
    )
    found = []
    for kept in (setup.kept, []):
        setup.optimizer.zero_grad(set_to_none=True)
        setup.kept = kept
        accumulate(setup, batch)
        found.append({name: p.grad.clone() for name, p in setup.trained.items()})
    assert all(torch.allclose(found[0][n], g, atol=1e-6) for n, g in found[1].items())
    assert not setup.model.get_input_embeddings().sparse


def test_gradients_of_frozen_matrices_do_not_stay(tmp_path, tiny_source, language):
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, options())
    train_step(setup, 0)
    matrix = setup.kept[0]
    before = matrix.detach().clone()
    matrix.requires_grad_(False)
    train_step(setup, 1)
    assert matrix.grad is None and (matrix == before).all()


def test_the_gradient_into_a_tensor_adds_to_it():
    torch.manual_seed(0)
    states, weight, bias = torch.randn(5, 8), torch.randn(9000, 8, requires_grad=True), torch.randn(9000)
    labels = torch.randint(9000, (5,))
    linear_cross_entropy(states, weight, bias, labels).backward()
    into = torch.ones_like(weight)
    other = weight.detach().clone().requires_grad_()
    linear_cross_entropy(states.requires_grad_(), other, bias, labels, into).backward()
    assert other.grad is None and torch.allclose(into, 1 + weight.grad, atol=1e-6)


def test_clip_scales_only_what_is_above_the_limit():
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert clip(parameters, 6.0) == 5.0 and parameters[0].grad.tolist() == [3.0, 0.0]
    assert clip(parameters, 1.0) == 5.0
    assert parameters[0].grad.tolist() == pytest.approx([0.6, 0.0]) and parameters[2].grad is None


def test_operations_are_those_counted_by_hand(tmp_path, tiny_source, language):
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, options())
    config = setup.model.config
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    found = Throughput.measure(setup, tokens=200, predicted=30)
    body = 6 * layers * (4 * width * width + 2 * width * inner)
    rows = len(setup.model.get_output_embeddings().weight)
    by_hand = 200 * (body + 12 * layers * 32 * width) + 30 * 6 * rows * width
    assert found.operations(200, 30) == pytest.approx(by_hand)
    assert found.share(200, 30, 2 * found.seconds(200, 30)) == pytest.approx(0.5)
    for parameter in setup.model.base_model.parameters():
        parameter.requires_grad_(False)
    frozen = Throughput.measure(setup, tokens=200, predicted=30)
    assert sum(frozen.per_token.values()) == pytest.approx(body * 4 / 6)
    assert setup.model.training and not setup.model.base_model._forward_hooks
