"""Models broken on purpose: each fault is found, named, and told what to do about; a sound model has none."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.tokenizer.load import load_tokenizer, wrap
from vocab.transplant.checking import check
from vocab.transplant.findings import Matrix
from vocab.transplant.load import load_model

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
PIECES = [f"▁{a}{b}{c}" for a in "bdgkm" for b in "aeiou" for c in "lnrst"] + ["▁", *"abcdefghiklmn"]
EMBEDDING = "bert.embeddings.word_embeddings.weight"


def make(folder, pieces=PIECES, specials=SPECIALS, **settings):
    """A sound tied BERT whose rows are far from their initialisation, and its tokenizer."""
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = metaspace(pieces, specials)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("pad", "bos", "eos")}
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**{"vocab_size": len(tokenizer), **ids, **size, **settings}))
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(0, 0.5)
        model.get_output_embeddings().bias.normal_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def change(folder, name=EMBEDDING, **rows):
    """Write a change of one tensor into the file."""
    weights = load_file(folder / "model.safetensors")
    for row, value in rows.items():
        weights[name][int(row.strip("r"))] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def settings(folder, file="config.json", **values):
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, **values}))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def model(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "model")


def only(folder, name, **more):
    """Check, and see that this is all there is to find."""
    found = check(folder, **more)
    assert [finding.name for finding in found] == [name] and found[0].advice, found
    return found[0]


def test_nothing_is_found_in_a_sound_model(model, tiny_source):
    assert check(model) == []
    assert check(load_model(model), model) == []
    assert [f.name for f in check(tiny_source) if f.name != "special ids"] == []


def test_dead_rows(model):
    change(model, r9=0, r30=0)
    finding = only(model, "dead rows")
    assert finding.count == 2 and finding.examples == ["▁bat (9)", f"{PIECES[25]} (30)"]


def test_norm_outliers(model):
    change(model, r20=100.0, r21=0.001)
    long, short = check(model)
    assert (long.name, long.count, long.examples) == ("norm outliers", 1, [f"{PIECES[15]} (20)"])
    assert "short rows" in short.message and short.examples == [f"{PIECES[16]} (21)"]


def test_duplicate_rows(model):
    row = load_file(model / "model.safetensors")[EMBEDDING][12]
    change(model, r40=row, r77=row)
    finding = only(model, "duplicate rows")
    assert finding.count == 2
    assert finding.examples == [f"{PIECES[7]} (12) = {PIECES[35]} (40) = {PIECES[72]} (77)"]


def test_rows_that_are_not_finite(model):
    change(model, r15=float("nan"), r16=float("inf"))
    assert only(model, "rows that are not finite").count == 2


def test_bias_of_another_length(model):
    loaded = load_model(model)
    loaded.cls.predictions.decoder.bias = torch.nn.Parameter(torch.zeros(150))
    assert "the output bias has 150 numbers for 144 rows" in only(loaded, "output bias", tokenizer=model).message


def test_weights_that_are_not_as_the_configuration_says(model):
    settings(model, vocab_size=150)
    with pytest.raises(InputError, match=r"out of step.*found .* of shape \(144, 32\); expected \(150, 32\)"):
        check(model)


def test_ids_that_no_token_has(tiny_source):
    state = json.loads(load_tokenizer(tiny_source).backend_tokenizer.to_str())
    words = state["model"]["vocab"]
    dropped = [words.pop(token) for token in [t for t in words if t.startswith("##")][:3]]
    found = {f.name: f for f in check(tiny_source, wrap(Tokenizer.from_str(json.dumps(state))))}
    assert found["ids without a token"].examples == [f" ({index})" for index in sorted(dropped)]


def test_ids_of_generation(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    LlamaForCausalLM(LlamaConfig(vocab_size=144, bos_token_id=1, eos_token_id=2, **size)).save_pretrained(tmp_path)
    metaspace(PIECES).save_pretrained(tmp_path)
    settings(tmp_path, "generation_config.json", eos_token_id=[9, 10])
    messages = [finding.message for finding in check(tmp_path)]
    assert any(m.startswith("generation_config.json: eos_token_id is [9, 10] (") for m in messages)


def test_bias_that_is_not_finite(model):
    change(model, "cls.predictions.bias", r15=float("nan"))
    assert only(model, "output bias").examples == [f"{PIECES[10]} (15)"]


def test_tokenizer_with_more_tokens_than_rows(model):
    metaspace([*PIECES, "▁new", "▁words"]).save_pretrained(model)
    finding = only(model, "tokenizer and model out of step")
    assert finding.count == 2 and finding.examples == ["▁new (144)", "▁words (145)"]


def test_rows_that_no_token_explains(tmp_path):
    assert check(make(tmp_path / "padded", vocab_size=192)) == [], "padded to a multiple of 64"
    assert only(make(tmp_path / "more", vocab_size=230), "tokenizer and model out of step").count == 86


def test_ids_of_another_tokenizer(model):
    settings(model, eos_token_id=7, bos_token_id=999)
    outside, other = check(model)
    assert "bos_token_id is 999, and there are 144 rows" in outside.message
    assert "eos_token_id is 7 (▁ban (7)" not in outside.message and outside.advice.endswith("(0)")
    assert f"eos_token_id is 7 ({PIECES[2]} (7)), the tokenizer's is 2 (</s>)" in other.message


def test_padding(model, tmp_path):
    settings(model, pad_token_id=8)
    names = [finding.name for finding in check(model)]
    assert names == ["special ids", "padding"]
    shared = metaspace(PIECES)
    shared.pad_token = "</s>"
    other = shutil.copytree(model, tmp_path / "shared")
    settings(other, pad_token_id=2)
    shared.save_pretrained(other)
    assert "padding and eos are one token" in only(other, "padding").message


def test_positions_counted_from_another_padding_id(tmp_path):
    from transformers import XLMRobertaConfig, XLMRobertaModel

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = XLMRobertaConfig(vocab_size=144, pad_token_id=1, bos_token_id=0, eos_token_id=2, **size)
    XLMRobertaModel(config).save_pretrained(tmp_path)
    tokenizer = metaspace(["<pad>", "<s>", "</s>", "<unk>", "<mask>", *PIECES])
    tokenizer.save_pretrained(tmp_path)
    assert any("positions are counted from id 1, the tokenizer pads with 0" in f.message for f in check(tmp_path))


def test_ties(tmp_path):
    folder = make(tmp_path / "untied", tie_word_embeddings=False)
    assert check(folder) == []
    weights = load_file(folder / "model.safetensors")
    weights["cls.predictions.decoder.weight"] = weights[EMBEDDING].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "equal but not tied" in only(folder, "ties").message
    weights["cls.predictions.decoder.weight"] = torch.randn_like(weights[EMBEDDING])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    settings(folder, tie_word_embeddings=True)
    assert "they are two matrices" in only(folder, "ties").message


def test_untrained_tokens_by_their_likeness_to_unused_ones(tmp_path):
    unused = [f"<unused{n}>" for n in range(6)]
    folder = make(tmp_path, [*SPECIALS, *unused, *PIECES])
    base = torch.randn(32)
    glitch = 11 + PIECES.index("▁kol")
    change(folder, **{f"r{row}": base + 0.05 * torch.randn(32) for row in [*range(5, 11), glitch]})
    finding = only(folder, "untrained tokens")
    assert finding.examples == [f"▁kol ({glitch})"] and "like those of 6 ids" in finding.message


def test_untrained_tokens_by_the_length_they_were_drawn_with(model):
    change(model, r50=0.02 * torch.randn(32, generator=torch.Generator().manual_seed(1)))
    names = {finding.name: finding for finding in check(model)}
    assert names["untrained tokens"].examples == [f"{PIECES[45]} (50)"]


def test_rows_of_a_transplant_that_little_speaks_for(model, tmp_path):
    # Made-up vectors: what is like nothing shared has no confidence.
    target = metaspace([*PIECES[:100], "▁qqq", "▁vvv", "▁www"])
    vectors = np.zeros((len(target), 8))
    vectors[5:105] = np.eye(8)[np.arange(100) % 7]
    vectors[105], vectors[106] = np.eye(8)[7], np.eye(8)[3]
    vocab.transplant(model, target, method="kriging -> mean", vectors=vectors).save(tmp_path / "made")
    found = {finding.name: finding for finding in check(tmp_path / "made")}
    assert found["rows of low confidence"].examples == ["▁qqq (105)"]
    assert found["rows without evidence"].examples == ["▁www (107)"]
    metaspace(PIECES[:103]).save_pretrained(tmp_path / "made")
    assert (
        "made for another vocabulary"
        in {f.name: f for f in check(tmp_path / "made")}["tokenizer and model out of step"].message
    )


def test_a_decoder_without_an_end_token(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    LlamaForCausalLM(LlamaConfig(vocab_size=140, **size)).save_pretrained(tmp_path)
    metaspace(PIECES, ["<unk>"]).save_pretrained(tmp_path)
    names = [finding.name for finding in check(tmp_path)]
    assert "missing specials" in names


def test_many_rows():
    """250,000 rows of 64 numbers, more than are looked at together: two that are equal, wherever they stand."""
    matrix = torch.randn(250_000, 64, generator=torch.Generator().manual_seed(0))
    matrix[17] = matrix[200_000]
    seen = Matrix(matrix)
    values, counts = np.unique(seen.key, return_counts=True)
    assert (counts == 2).sum() == 1 and len(values) == 249_999
    assert seen.key[17] == seen.key[200_000] and seen.whole.all()
