"""Factorised embeddings: the same rows in fewer numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from lexigraft import InputError
from tests.vocab.six_tokens import BC, E_, B, D, six_tokens
from vocab.factorised import FactorisedEmbedding, factorise, load, save, unfold
from vocab.matrix import top_directions
from vocab.transplant import chain

IDS = torch.tensor([[5, 1, 17, 3], [2, 2, 9, 0]])


def bert(kind=BertForMaskedLM, **more):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=23, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, **more
    )
    return kind(config).eval()


def llama(tie: bool):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=23, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        tie_word_embeddings=tie,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def lowered(model, rank: int):
    """The model with its matrices brought to a rank by numpy's SVD."""
    with torch.no_grad():
        weights = {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m}
        for weight in weights.values():
            u, s, v = np.linalg.svd(weight.numpy().astype(float), full_matrices=False)
            weight.copy_(torch.from_numpy(u[:, :rank] * s[:rank] @ v[:rank]))
    return model


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS)[0]


MODELS = {"tied with a bias": bert, "no head": lambda: bert(BertModel), "tied": lambda: llama(True)}
MODELS["untied"] = lambda: llama(False)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_factors_are_the_svd_and_come_back(make, tmp_path):
    expected = logits(lowered(make(), 5))
    model = factorise(make(), 5)
    assert logits(model) == pytest.approx(expected, abs=1e-5)
    loaded = load(save(model, tmp_path))
    assert torch.equal(logits(loaded), logits(model))
    plain = unfold(loaded)
    assert logits(plain) == pytest.approx(expected, abs=1e-5)
    plain.save_pretrained(tmp_path / "plain")
    again = type(plain).from_pretrained(tmp_path / "plain")
    assert logits(again) == pytest.approx(expected, abs=1e-5)
    assert not hasattr(again.config, "lexigraft_rank")


def test_numbers_are_fewer():
    model = bert()
    before = model.num_parameters()
    factorise(model, 4)
    # 23 x 12 numbers become 23 x 4 and 4 x 12, shared with the head.
    assert before - model.num_parameters() == 23 * 12 - 23 * 4 - 4 * 12


@pytest.mark.parametrize(("rank", "millions"), [(100, 126), (200, 166), (400, 246), (768, 394)])
def test_sizes_of_the_paper(rank, millions):
    """XLM-R base with 401k tokens; table 1 of the paper, whose largest is not factorised."""
    with torch.device("meta"):
        model = XLMRobertaForMaskedLM(
            XLMRobertaConfig(vocab_size=401_143, max_position_embeddings=514, type_vocab_size=1)
        )
        if rank < 768:
            factorise(model, rank)
    assert model.num_parameters() / 1e6 == pytest.approx(millions, abs=1.5)


def test_gradients_reach_both_factors():
    model = factorise(bert(), 4)
    model(IDS)[0].square().sum().backward()
    table = model.get_input_embeddings()
    assert table.coordinates.weight.grad.abs().sum() > 0 and table.primitives.weight.grad.abs().sum() > 0


def test_ofa_at_a_rank_is_the_mixture_of_coordinates():
    problem = six_tokens(
        [[0, 0], [0, 3], [2, 0], [0, 0], [0, 1], [0, 5]], [[0, 0], [1, 0], [0, 1], [1, 1], [0, 0], [0, 0]]
    )
    matrix = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    problem.matrices = {"input": matrix}
    links = ("ofa", "mean")
    whole = chain.run(problem, links)
    mixture = chain.run(problem, links, chain.options_of(links, {"ofa": {"rank": 2}}, default=False))
    u, s, v = np.linalg.svd(matrix.astype(float), full_matrices=False)
    coordinates = u[:, :2] * s[:2]
    assert mixture.apply(matrix) == pytest.approx(whole.apply(coordinates) @ v[:2], abs=1e-5)
    assert np.linalg.matrix_rank(mixture.apply(matrix), tol=1e-5) == 2
    assert mixture.copied[[B, D]].all() and mixture.filled[[BC, E_]].all()
    with pytest.raises(InputError, match="above the embeddings' dimensions; found 5; expected at most 4"):
        chain.run(problem, links, chain.options_of(links, {"ofa": {"rank": 5}}, default=False))


def test_directions_have_one_sign():
    matrix = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    found = top_directions(matrix, 9, 3)
    again = top_directions(torch.from_numpy(-matrix), 9, 3)
    assert found == pytest.approx(again) and found.T @ found == pytest.approx(np.eye(3))
    assert (found[np.abs(found).argmax(axis=0), np.arange(3)] > 0).all()


def test_bad_input(tmp_path):
    for rank in (0, 13):
        with pytest.raises(InputError, match=f"no rank for these embeddings; found {rank}; expected 1 to 12"):
            factorise(bert(), rank)
    with pytest.raises(InputError, match="is not factorised; found Embedding"):
        unfold(bert())
    with pytest.raises(InputError, match="more than a table.*found FactorisedEmbedding"):
        factorise(factorise(bert(), 3), 3)
    with pytest.raises(InputError, match="no factorised model here"):
        load(tmp_path)
    assert isinstance(factorise(bert(BertModel), 12).get_input_embeddings(), FactorisedEmbedding)
