"""Every family of models: the same vocabulary gives the same logits, a permuted one permuted logits, once reloaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_tokenizers import metaspace
from vocab.transplant import transplant
from vocab.transplant.load import load_model

PIECES = [f"▁{a}{b}" for a in "bdgkm" for b in "aeiou"] + list("abcdefghijk") + ["▁", ".", "▁ka", "ra"]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
OLD = [*SPECIALS, *dict.fromkeys(PIECES)]
# A permutation that moves every special token; the padding token goes from 1 to 7.
ORDER = np.random.default_rng(3).permutation(len(OLD)).tolist()
ORDER.remove(1)
ORDER.insert(7, 1)

ENCODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DECODER = {**ENCODER, "num_key_value_heads": 2, "max_position_embeddings": 64}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertForMaskedLM", ENCODER),
    "bert, untied": ("BertForMaskedLM", {**ENCODER, "tie_word_embeddings": False}),
    "bert, no head": ("BertModel", ENCODER),
    "bert, classifier": ("BertForTokenClassification", ENCODER),
    "xlm-r": ("XLMRobertaForMaskedLM", {**ENCODER, "max_position_embeddings": 40}),
    "xlm-r, no head": ("XLMRobertaModel", {**ENCODER, "max_position_embeddings": 40}),
    "distilbert": ("DistilBertForMaskedLM", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}),
    "albert": ("AlbertForMaskedLM", {**ENCODER, "embedding_size": 8}),
    "modernbert": ("ModernBertForMaskedLM", {**ENCODER, "decoder_bias": True}),
    "deberta-v2": ("DebertaV2ForMaskedLM", {**ENCODER, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "gpt-2": ("GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "llama, tied": ("LlamaForCausalLM", {**DECODER, "tie_word_embeddings": True}),
    "llama, untied": ("LlamaForCausalLM", {**DECODER, "tie_word_embeddings": False}),
    "qwen2, padded": ("Qwen2ForCausalLM", {**DECODER, "vocab_size": 64, "tie_word_embeddings": True}),
    "gemma": ("GemmaForCausalLM", {**DECODER, "head_dim": 8}),
    "t5": ("T5ForConditionalGeneration", {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}),
    "t5, untied": (
        "T5ForConditionalGeneration",
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "tie_word_embeddings": False},
    ),
    "bart": (
        "BartForConditionalGeneration",
        {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
        | {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64},
    ),
}


def make(family: str, folder: Any) -> Any:
    """A random model of a family and its tokenizer, in a folder; biases and padding rows are not zero."""
    import transformers

    name, settings = FAMILIES[family]
    chosen = getattr(transformers, name)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    if family.startswith(("t5", "bart")):
        ids["decoder_start_token_id"] = 2
    torch.manual_seed(1)
    model = chosen(chosen.config_class(**{"vocab_size": len(OLD), **ids, **settings})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "embed" in name or "wte" in name or "shared" in name:
                parameter.normal_(0, 0.5)
        if "final_logits_bias" in dict(model.named_buffers()):
            model.final_logits_bias.normal_()
    model.save_pretrained(folder)
    metaspace(OLD).save_pretrained(folder)
    return load_model(folder)


def logits(model: Any, ids: list[list[int]], pad: int) -> torch.Tensor:
    """Scores (or last states, without a head) of a batch whose second line is padded."""
    batch = torch.tensor(ids)
    mask = (batch != pad).long()
    more = {"decoder_input_ids": batch} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        out = model(input_ids=batch, attention_mask=mask, **more)
    scores = out["logits"] if "logits" in out else out["last_hidden_state"]
    return scores[mask.bool()]


TEXT = [[0, 9, 14, 22, 30, 7, 2], [0, 40, 5, 11, 2, 1, 1]]


@pytest.mark.parametrize("order", ["identical", "permuted"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_follow_the_vocabulary(family, order, tmp_path):
    model = make(family, tmp_path / "source")
    places = list(range(len(OLD))) if order == "identical" else ORDER
    target = metaspace([OLD[i] for i in places])
    graft = transplant(tmp_path / "source", target, method="copy -> mean")
    assert graft.report["rows"]["copied"] == len(OLD)
    loaded = load_model(graft.save(tmp_path / "made"))
    new_id = {old: new for new, old in enumerate(places)}
    expected = logits(model, TEXT, 1)
    vocabulary_scores = expected.shape[-1] == len(model.get_input_embeddings().weight)
    if vocabulary_scores:
        expected = expected[:, places]
    for made in (graft.model, loaded):
        found = logits(made, [[new_id[i] for i in line] for line in TEXT], new_id[1])
        assert torch.allclose(found, expected, atol=1e-5), (found - expected).abs().max()
    config = loaded.config
    assert config.vocab_size == len(OLD)
    assert config.pad_token_id == new_id[1]
    if config.eos_token_id is not None:
        assert (config.bos_token_id, config.eos_token_id) == (new_id[0], new_id[2])
    padding = loaded.get_input_embeddings().padding_idx
    assert padding is None or padding == new_id[1]
    head = loaded.get_output_embeddings()
    before = model.get_output_embeddings()
    if head is not None:
        tied = before.weight is model.get_input_embeddings().weight
        assert (head.weight is loaded.get_input_embeddings().weight) == tied
        assert (graft.model.get_output_embeddings().weight is graft.model.get_input_embeddings().weight) == tied
        assert head.out_features == len(OLD)
    generation = loaded.generation_config if loaded.can_generate() else None
    if generation is not None and generation.eos_token_id is not None:
        assert generation.eos_token_id == new_id[2]
    if config.is_encoder_decoder:
        assert config.decoder_start_token_id == new_id[2]


def test_a_model_can_be_trained_after_the_graft(tmp_path):
    make("bert", tmp_path)
    graft = transplant(tmp_path, metaspace([OLD[i] for i in ORDER]), method="subwords")
    batch = torch.tensor([TEXT[0]])
    graft.model(input_ids=batch, labels=batch).loss.backward()
    assert graft.model.get_input_embeddings().weight.grad.abs().sum() > 0
    assert graft.model.get_output_embeddings().bias.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays(dtype, tmp_path):
    model = make("llama, untied", tmp_path / "full").to(dtype)
    model.save_pretrained(tmp_path / "half")
    metaspace(OLD).save_pretrained(tmp_path / "half")
    graft = transplant(tmp_path / "half", metaspace([OLD[i] for i in ORDER]))
    assert graft.model.get_input_embeddings().weight.dtype == dtype
    assert torch.equal(graft.model.get_output_embeddings().weight, model.get_output_embeddings().weight[ORDER])
