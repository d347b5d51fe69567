"""Every family of models: the same vocabulary gives the same logits, a permuted one permuted logits, once reloaded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_matrix

from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.mixture import Mixture
from vocab.tokenizer.load import load_tokenizer
from vocab.transplant import apply, ids, skeleton, transplant
from vocab.transplant.apply import matrices_of
from vocab.transplant.load import load_model, structure_of
from vocab.transplant.specials import specials
from vocab.view import Vocabulary

PIECES = [f"▁{a}{b}" for a in "bdgkm" for b in "aeiou"] + list("abcdefghijk") + ["▁", ".", "▁ka", "ra"]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
OLD = [*SPECIALS, *dict.fromkeys(PIECES)]
# A permutation that moves every special token; the padding token goes from 1 to 7.
ORDER = np.random.default_rng(3).permutation(len(OLD)).tolist()
ORDER.remove(1)
ORDER.insert(7, 1)

ENCODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DECODER = {**ENCODER, "num_key_value_heads": 2, "max_position_embeddings": 64}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
BOTH = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 64}  # fmt: skip
# T5 1.1 and mT5 come with two matrices in one file, while transformers 5 takes them for tied by their configuration.
TWO_MATRICES = ("t5 1.1", "mt5")
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertForMaskedLM", ENCODER),
    "bert, untied": ("BertForMaskedLM", {**ENCODER, "tie_word_embeddings": False}),
    "bert, no head": ("BertModel", ENCODER),
    "bert, classifier": ("BertForTokenClassification", ENCODER),
    "xlm-r": ("XLMRobertaForMaskedLM", {**ENCODER, "max_position_embeddings": 40}),
    "xlm-r, no head": ("XLMRobertaModel", {**ENCODER, "max_position_embeddings": 40}),
    "distilbert": ("DistilBertForMaskedLM", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}),
    "bert, padded": ("BertForMaskedLM", {**ENCODER, "vocab_size": 64}),
    "albert": ("AlbertForMaskedLM", {**ENCODER, "embedding_size": 8}),
    "modernbert": ("ModernBertForMaskedLM", {**ENCODER, "decoder_bias": True}),
    "modernbert, no bias": ("ModernBertForMaskedLM", ENCODER),
    "deberta-v2": ("DebertaV2ForMaskedLM", {**ENCODER, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "gpt-2": ("GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "llama, tied": ("LlamaForCausalLM", {**DECODER, "tie_word_embeddings": True}),
    "llama, untied": ("LlamaForCausalLM", {**DECODER, "tie_word_embeddings": False}),
    "qwen2, padded": ("Qwen2ForCausalLM", {**DECODER, "vocab_size": 64, "tie_word_embeddings": True}),
    "qwen3, padded, untied": ("Qwen3ForCausalLM", {**DECODER, "vocab_size": 64, "tie_word_embeddings": False}),
    "gemma": ("GemmaForCausalLM", {**DECODER, "head_dim": 8}),
    "gemma2": ("Gemma2ForCausalLM", {**DECODER, "head_dim": 8, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3ForCausalLM", {**DECODER, "head_dim": 8, "query_pre_attn_scalar": 8}),
    "electra": ("ElectraForMaskedLM", {**ENCODER, "embedding_size": 8}),
    "rembert": ("RemBertForMaskedLM", {**ENCODER, "input_embedding_size": 8, "output_embedding_size": 12}),
    "xlm": ("XLMWithLMHeadModel", {"emb_dim": 16, "n_layers": 2, "n_heads": 2}),
    "opt": (
        "OPTForCausalLM",
        {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32, "word_embed_proj_dim": 16}
        | {"max_position_embeddings": 64},
    ),
    "bloom": ("BloomForCausalLM", {"hidden_size": 16, "n_layer": 2, "n_head": 2}),
    "gpt-neox": ("GPTNeoXForCausalLM", ENCODER),
    "t5": ("T5ForConditionalGeneration", T5),
    "t5 1.1": ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-gelu"}),
    "mt5": ("MT5ForConditionalGeneration", T5),
    "bart": ("BartForConditionalGeneration", BOTH),
    "mbart": ("MBartForConditionalGeneration", BOTH),
    "marian": ("MarianMTModel", BOTH),
}
# Positions that hang on the padding id: in code (MPNet), or in a table that is computed (M2M100 and NLLB, XGLM).
PINNED: dict[str, tuple[str, dict[str, Any]]] = {
    "mpnet": ("MPNetForMaskedLM", ENCODER),
    "m2m100": ("M2M100ForConditionalGeneration", BOTH),
    "xglm": ("XGLMForCausalLM", {"d_model": 16, "num_layers": 2, "attention_heads": 2, "ffn_dim": 32}),
}
# Rows for the embeddings alone would be wrong: MobileBERT's decoder is two matrices, one of them (dim, vocabulary),
# I-BERT keeps rounded rows beside the rows, CPM-Ant rows of prompts after those of tokens.
STRANGE: dict[str, tuple[str, dict[str, Any], str]] = {
    "mobilebert": (
        "MobileBertForMaskedLM", {**ENCODER, "embedding_size": 8, "true_hidden_size": 16, "intra_bottleneck_size": 16},
        "no rows are made for; found MobileBertForMaskedLM.cls.predictions.dense.weight",
    ),
    "i-bert": ("IBertForMaskedLM", ENCODER, "no rows are made for; found IBertForMaskedLM.*weight_integer"),
    "cpm-ant": (
        "CpmAntForCausalLM",
        {"hidden_size": 16, "num_attention_heads": 2, "dim_head": 8, "dim_ff": 32, "num_hidden_layers": 1},
        "differ in rows.*; found 1068 and 44 rows",
    ),
}  # fmt: skip


def make(family: str, folder: Any) -> Any:
    """A random model of a family and its tokenizer, in a folder; biases and padding rows are not zero."""
    name, settings = (FAMILIES | PINNED | STRANGE)[family][:2]
    chosen = getattr(transformers, name)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    if name.endswith(("ForConditionalGeneration", "MTModel")):
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
    if family in TWO_MATRICES:
        weights = load_file(folder / "model.safetensors")
        save_file(
            {**weights, "lm_head.weight": torch.randn(len(OLD), 16)}, folder / "model.safetensors", {"format": "pt"}
        )
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
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


@pytest.mark.parametrize("family", PINNED)
def test_a_padding_id_that_cannot_move(family, tmp_path):
    model = make(family, tmp_path / "source")
    rest = [i for i in ORDER if i != 1]
    places = [rest[0], 1, *rest[1:]]
    graft = transplant(tmp_path / "source", metaspace([OLD[i] for i in places]), method="copy -> mean")
    loaded = load_model(graft.save(tmp_path / "made"))
    new_id = {old: new for new, old in enumerate(places)}
    found = logits(loaded, [[new_id[i] for i in line] for line in TEXT], 1)
    assert torch.allclose(found, logits(model, TEXT, 1)[:, places], atol=1e-5)
    with pytest.raises(InputError, match="hang on the padding id.*pads with id 7; expected the padding token at id 1"):
        transplant(tmp_path / "source", metaspace([OLD[i] for i in ORDER]), method="copy -> mean")


def test_a_tied_matrix_under_two_names_in_the_file(tmp_path):
    model = make("bert", tmp_path / "source")
    weights = load_file(tmp_path / "source" / "model.safetensors")
    again = {
        "cls.predictions.decoder.weight": weights["bert.embeddings.word_embeddings.weight"].clone(),
        "cls.predictions.decoder.bias": weights["cls.predictions.bias"].clone(),
    }
    save_file({**weights, **again}, tmp_path / "source" / "model.safetensors", {"format": "pt"})
    graft = transplant(tmp_path / "source", metaspace([OLD[i] for i in ORDER]), method="subwords")
    assert not graft._setting.carrier.whole
    loaded = load_model(graft.save(tmp_path / "made"))
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    assert torch.equal(loaded.get_output_embeddings().bias, model.get_output_embeddings().bias[ORDER])
    with pytest.raises(InputError, match="would write over the source model"):
        graft.save(tmp_path / "source")


@pytest.mark.parametrize("family", STRANGE)
def test_more_than_embeddings_output_and_bias_is_refused(family, tmp_path):
    make(family, tmp_path)
    with pytest.raises(InputError, match=STRANGE[family][2]):
        transplant(tmp_path, metaspace([OLD[i] for i in ORDER]), method="copy -> mean")


def test_a_class_that_cannot_be_made_without_memory(tmp_path, monkeypatch):
    """It reads a number while it is made, which the meta device has none of: then the whole model is loaded."""
    assert structure_of(lambda config: torch.zeros(1).item(), None) is None
    model = make("bert", tmp_path / "source")
    for module in (apply, ids, skeleton):
        monkeypatch.setattr(module, "structure_of", lambda kind, config: None)
    target = metaspace([OLD[i] for i in ORDER])
    for source in (tmp_path / "source", model):
        graft = transplant(source, target, method="copy -> mean")
        assert graft._setting.carrier.whole
        rows = graft.model.get_input_embeddings().weight
        assert torch.equal(rows, model.get_input_embeddings().weight[ORDER])


def test_an_id_that_a_model_cannot_do_without(tmp_path):
    """MarianMT begins decoding with a token; its configuration takes no `None` for it."""
    make("marian", tmp_path)
    model = load_model(tmp_path)
    model.config.decoder_start_token_id = 9
    with pytest.raises(InputError, match="decoder_start_token_id 9 has no counterpart .*; found a MarianMTModel"):
        transplant(model, metaspace(OLD[:20]), source_tokenizer=tmp_path, method="copy -> mean")


def test_ids_that_stand_for_images_move(tmp_path):
    config = transformers.LlavaConfig(text_config={"vocab_size": len(OLD)}, image_token_index=4)
    model = structure_of(transformers.LlavaForConditionalGeneration, config)
    source, target = (Vocabulary.of(metaspace(order)) for order in (OLD, [OLD[i] for i in ORDER]))
    ids.update_ids(model, specials(source, target), source, target)
    assert model.config.image_token_id == ORDER.index(4)


def test_two_vocabularies_in_one_model_are_refused():
    settings = {
        "pad_token_id": 1,
        "decoder_vocab_size": 60,
        "share_encoder_decoder_embeddings": False,
        "tie_word_embeddings": False,
    }
    ids = {"eos_token_id": 2, "decoder_start_token_id": 1, "vocab_size": len(OLD)}
    model = transformers.MarianMTModel(transformers.MarianConfig(**BOTH, **ids, **settings))
    with pytest.raises(InputError, match="differ in rows.*found 44 and 60 rows"):
        transplant(model, metaspace(OLD), source_tokenizer=metaspace(OLD), method="copy -> mean")


def test_a_vocabulary_that_two_configurations_name(tmp_path):
    one, two = (
        transformers.BertConfig(**ENCODER, vocab_size=len(OLD), pad_token_id=1, sep_token_id=2) for _ in range(2)
    )
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(one, two, decoder_start_token_id=0)
    model = transformers.EncoderDecoderModel(config).eval()
    model.save_pretrained(tmp_path)
    metaspace(OLD).save_pretrained(tmp_path)
    places = [i for i in ORDER if i != OLD.index("ra")]
    graft = transplant(tmp_path, metaspace([OLD[i] for i in places]), method="copy -> mean")
    loaded = load_model(graft.save(tmp_path / "made"))
    for side in (loaded.config.encoder, loaded.config.decoder):
        assert (side.vocab_size, side.pad_token_id, side.sep_token_id) == (
            len(places),
            places.index(1),
            places.index(2),
        )
    new_ids = [[places.index(i) for i in line] for line in TEXT]
    assert torch.allclose(logits(loaded, new_ids, places.index(1)), logits(model, TEXT, 1)[:, places], atol=1e-5)


@pytest.mark.parametrize("name", ["CLIPModel", "ViTModel"])
def test_no_embedding_matrix(name, tmp_path):
    tower = {**ENCODER, "image_size": 16}
    settings = {"text_config": tower, "vision_config": tower} if name == "CLIPModel" else tower
    kind = getattr(transformers, name)
    kind(kind.config_class(**settings)).save_pretrained(tmp_path)
    metaspace(OLD).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"no embedding matrix; found {name}"):
        transplant(tmp_path, metaspace(OLD), method="copy -> mean")


def test_embeddings_for_every_layer_are_refused(tmp_path):
    model = make("llama, tied", tmp_path)
    model.model.embed_tokens_per_layer = torch.nn.Embedding(44, 4)
    with pytest.raises(InputError, match="of its own for every layer"):
        matrices_of(model, Vocabulary.of(metaspace(OLD)))


def test_a_model_can_be_trained_after_the_graft(tmp_path):
    make("bert", tmp_path)
    graft = transplant(tmp_path, metaspace([OLD[i] for i in ORDER]), method="subwords")
    batch = torch.tensor([TEXT[0]])
    graft.model(input_ids=batch, labels=batch).loss.backward()
    assert graft.model.get_input_embeddings().weight.grad.abs().sum() > 0
    assert graft.model.get_output_embeddings().bias.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["bert", "xlm-r", "llama, untied", "qwen2, padded", "t5", "bart"])
def test_half_precision_stays(family, dtype, tmp_path):
    make(family, tmp_path / "full").to(dtype).save_pretrained(tmp_path / "half")
    metaspace(OLD).save_pretrained(tmp_path / "half")
    model = load_model(tmp_path / "half")
    assert model.dtype == dtype
    graft = transplant(tmp_path / "half", metaspace([OLD[i] for i in ORDER]))
    loaded = load_model(graft.save(tmp_path / "made"))
    new_id = {old: new for new, old in enumerate(ORDER)}
    for made in (graft.model, loaded):
        assert torch.equal(made.get_input_embeddings().weight, model.get_input_embeddings().weight[ORDER])
        assert torch.equal(made.get_output_embeddings().weight, model.get_output_embeddings().weight[ORDER])
        assert [p.dtype for p in made.parameters()] == [p.dtype for p in model.parameters()]
        found = logits(made, [[new_id[i] for i in line] for line in TEXT], new_id[1])
        assert torch.allclose(found, logits(model, TEXT, 1)[:, ORDER], atol=0.02, rtol=0.02)


def test_generation_settings_and_chat_template_go_along(tmp_path):
    model = make("llama, tied", tmp_path / "source")
    settings = model.generation_config
    settings.eos_token_id, settings.suppress_tokens, settings.top_k, settings.do_sample = [2, 4], [9], 7, True
    settings.save_pretrained(tmp_path / "source")
    old = metaspace(OLD)
    old.chat_template = "{{ bos_token }}{% for m in messages %}<mask>{{ m.content }}</s>{% endfor %}"
    old.save_pretrained(tmp_path / "source")
    graft = transplant(tmp_path / "source", metaspace([OLD[i] for i in ORDER]), method="subwords")
    folder = graft.save(tmp_path / "made")
    loaded = load_model(folder)
    new_id = {old: new for new, old in enumerate(ORDER)}
    found = loaded.generation_config
    assert (found.top_k, found.bos_token_id, found.pad_token_id) == (7, new_id[0], new_id[1])
    assert sorted(found.eos_token_id) == sorted([new_id[2], new_id[4]])
    assert found.suppress_tokens is None and any("suppress_tokens" in note for note in graft.report["notes"])
    assert load_tokenizer(folder).chat_template == old.chat_template
    fewer = metaspace([token for token in OLD if token != "<mask>"], SPECIALS[:4])
    graft = transplant(tmp_path / "source", fewer, method="subwords")
    assert graft.tokenizer.chat_template is None
    assert any(
        "chat template was left behind: the new tokenizer has no <mask>" in note for note in graft.report["notes"]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_body_that_was_never_loaded_is_the_same(family, tmp_path):
    make(family, tmp_path / "source")
    target = metaspace([*SPECIALS, "▁ba", "▁bada", "ra", "▁kara", *"abcde"])
    graft = transplant(tmp_path / "source", target, method="subwords")
    assert not graft._setting.carrier.whole
    copied = load_model(graft.save(tmp_path / "made" / "copied"))
    whole = transplant(load_model(tmp_path / "source"), target, method="subwords")
    loaded = load_model(whole.save(tmp_path / "made" / "whole"))
    assert copied.state_dict().keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, copied.state_dict()[name]) for name, value in loaded.state_dict().items())
    settings = [{**model.config.to_dict(), "_name_or_path": None} for model in (copied, loaded)]
    assert settings[0] == settings[1]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "marian"])  # whose specials have ids
def test_a_body_is_read_around_new_rows(family, tmp_path):
    """A skeleton with other rows, filled from the files, is the model that is loaded whole and then given the rows."""
    whole = make(family, tmp_path)
    carrier = skeleton.Carrier.load(tmp_path)
    old, new = (Vocabulary.of(metaspace(tokens)) for tokens in (OLD, [OLD[i] for i in ORDER]))
    rows = Mixture.build(old, new, "copy", np.arange(len(new)), csr_matrix(np.eye(len(old))[ORDER]), copied=True)
    made = carrier.filled(apply.with_rows(carrier.model, rows, old, new))
    if family in TWO_MATRICES:
        assert made is None
        return
    assert made is not None and not any(p.is_meta for p in made.parameters())
    expected = apply.with_rows(whole, rows, old, new)
    pad = new.roles["pad"]
    ids = [[ORDER.index(i) for i in line] for line in TEXT]
    assert torch.equal(logits(made, ids, pad), logits(expected, ids, pad))
