"""Mixtures put on other checkpoints, sentence-embedding models, and checkpoints whose body is never loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import vocab
from lexigraft import InputError
from tests.conftest import ROOT, make_source
from tests.tiny_tokenizers import metaspace
from vocab.tokenizer.load import load_tokenizer
from vocab.transplant import shards
from vocab.transplant.load import load_model
from vocab.transplant.reuse import apply_mixture
from vocab.transplant.sentences import accuracy, embed, pooling_of
from vocab.view import Vocabulary

LINES = ["mata kuda wato tree", "walks talked the house of mata", "kuda watoing house mata", "tree wato kuda"] * 5
TARGET = metaspace(["▁mata", "▁kuda", "▁wato", "▁tree", "▁house", "▁walk", "s", "ing", "▁", *"abcdefhiklmnortuw"])


def finetuned(source, folder, factor=3.0):
    """A variant of a model: other rows, other body."""
    model = load_model(source)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    model.save_pretrained(folder)
    load_tokenizer(source).save_pretrained(folder)
    return folder


def test_a_mixture_goes_on_a_fine_tuned_variant(tiny_source, tmp_path):
    edits = {"▁kuda": {Vocabulary.of(tiny_source).forms[30]: 1}}
    before = vocab.transplant(tiny_source, TARGET, texts=LINES, edits=edits)
    made = before.save(tmp_path / "made")
    variant = finetuned(tiny_source, tmp_path / "variant")
    graft = vocab.transplant.apply_mixture(made, variant, texts=LINES)
    first = load_model(made).get_input_embeddings().weight
    assert torch.allclose(graft.model.get_input_embeddings().weight, 3 * first, atol=1e-5)
    assert graft.tokenizer.get_vocab() == TARGET.get_vocab()
    assert graft.report["rows"] == before.report["rows"], "also which of them fell back"
    assert graft.report["method"].startswith("focus") and graft.report["rows"]["by_method"]["edit"] == 1
    assert graft.report["before_training"]["models"].keys() >= {"source", "copy + random"}
    loaded = load_model(graft.save(tmp_path / "again"))
    body = [(n, p) for n, p in loaded.named_parameters() if "layer.0" in n]
    assert body and all(torch.equal(p, load_model(variant).get_parameter(n)) for n, p in body)
    by_hand = apply_mixture(graft.mixture, load_model(variant), TARGET, score=False)
    assert torch.equal(by_hand.model.get_input_embeddings().weight, graft.model.get_input_embeddings().weight)


def test_mixtures_of_others_are_refused(tiny_source, tmp_path):
    made = vocab.transplant(tiny_source, TARGET).save(tmp_path / "made")
    other = shutil.copytree(tiny_source, tmp_path / "other")
    load_tokenizer(TARGET).save_pretrained(other)
    with pytest.raises(InputError, match="made for another source vocabulary"):
        apply_mixture(made, other)
    with pytest.raises(InputError, match="made for another target vocabulary"):
        apply_mixture(made, tiny_source, metaspace(["▁mata"]))
    with pytest.raises(InputError, match="a mixture holds no tokenizer"):
        apply_mixture(vocab.Mixture.load(made), tiny_source)
    drawn = vocab.transplant(tiny_source, TARGET, method="random").save(tmp_path / "drawn")
    with pytest.raises(InputError, match="rows computed from one matrix of one checkpoint"):
        apply_mixture(drawn, finetuned(tiny_source, tmp_path / "variant"))


@pytest.fixture
def sentence_model(tmp_path):
    """A folder as sentence-transformers writes it."""
    folder = make_source(tmp_path / "sentences", head=False)
    types = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
               for i, (name, path) in enumerate(types.items())]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64, "do_lower_case": false}')
    (folder / "1_Pooling").mkdir()
    (folder / "2_Normalize").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def test_sentence_models_stay_what_they_are(sentence_model, tmp_path):
    pairs = [
        (f"the {a} {b}", f"{a} {b} the") for a in ("house", "tree", "walk") for b in ("good", "bad", "king", "land")
    ]
    target = load_tokenizer(sentence_model)
    graft = vocab.transplant(sentence_model, target, parallel=pairs)
    found = graft.report["retrieval"]
    assert found["pairs"] == 12 and found["pooling"] == "mean"
    assert found["models"]["source"] == found["models"]["graft"], "the same vocabulary finds the same"
    assert 0 < found["models"]["source"]["source_to_target"] <= 1
    assert "Retrieval on parallel text" in graft.markdown
    folder = graft.save(tmp_path / "made")
    for name in ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json"):
        assert (folder / name).read_bytes() == (sentence_model / name).read_bytes()
    lost = vocab.transplant(sentence_model, metaspace(["▁qq", "▁"]), parallel=pairs, method="mean").report["retrieval"]
    assert lost["models"]["graft"]["source_to_target"] < lost["models"]["source"]["source_to_target"]
    assert "retrieval" not in vocab.transplant(sentence_model, target, parallel=pairs, score=False).report
    with pytest.raises(InputError, match="parallel text"):
        vocab.transplant(sentence_model, target, parallel=(["a", "b"], ["a"]))
    modules = json.loads((sentence_model / "modules.json").read_text())
    (sentence_model / "modules.json").write_text(json.dumps([*modules, {"path": "../elsewhere"}]))
    with pytest.raises(InputError, match="outside the model's folder"):
        graft.save(tmp_path / "again")


def test_sentence_transformers_loads_what_was_written(sentence_model, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    folder = vocab.transplant(sentence_model, TARGET, texts=LINES).save(tmp_path / "made")
    lines = ["kuda mata", "the tree walks"]
    theirs = library.SentenceTransformer(str(folder), device="cpu").encode(lines)
    ours = embed(load_model(folder), load_tokenizer(folder), lines)
    assert np.allclose(theirs, ours, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "max", "mean"])
def test_pooling_looks_at_no_padding(sentence_model, pooling):
    model, tokenizer = load_model(sentence_model), load_tokenizer(sentence_model)
    lines = ["tree", "the house of the good king walked and talked"]
    together, apart = embed(model, tokenizer, lines, pooling), [embed(model, tokenizer, [x], pooling)[0] for x in lines]
    assert np.allclose(together, apart, atol=1e-5) and np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    facts = {f"pooling_mode_{k}": k == "cls_token" for k in ("cls_token", "mean_tokens", "max_tokens")}
    (sentence_model / "1_Pooling" / "config.json").write_text(json.dumps(facts))
    assert pooling_of(sentence_model) == "cls" and pooling_of(None) == "mean"
    (sentence_model / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    with pytest.raises(InputError, match="this pooling is not known"):
        pooling_of(sentence_model)
    graft = vocab.transplant(sentence_model, TARGET, parallel=[("a", "b"), ("c", "d")], method="subwords")
    assert "Retrieval was not measured" in graft.report["retrieval"]["note"] and "not measured" in graft.html


def test_accuracy_by_hand():
    source = np.eye(3)
    assert accuracy(source, source) == (1, 1)
    # The second translation lies where the first is: the first query ties with it (1/2), the second with all (1/3).
    assert accuracy(source, source[[0, 0, 2]]) == pytest.approx(((1 / 2 + 1 / 3 + 1) / 3, 2 / 3))
    assert accuracy(source, source[[1, 2, 0]]) == (0, 0)


def test_adapters_in_a_model_given_as_an_object_are_refused(tiny_source, tmp_path):
    """What its class does not have would be missing from what is saved: plain from_pretrained drops it."""
    import peft

    own = load_model(tiny_source)
    own.bert.encoder.layer[0].output.add_module("adapter", torch.nn.Linear(4, 4))
    with pytest.raises(InputError, match="modules that its class does not have.*found bert.encoder.layer.0.output.ada"):
        vocab.transplant(own, TARGET)
    lora = peft.get_peft_model(load_model(tiny_source), peft.LoraConfig(target_modules=["query"]))
    with torch.no_grad():
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    lora.save_pretrained(tmp_path / "beside")
    for given in (lora, lora.base_model.model):
        with pytest.raises(InputError, match="found .*; expected .*merge_and_unload"):
            vocab.transplant(given, TARGET, source_tokenizer=tiny_source)
    with pytest.raises(InputError, match="beside: the folder holds a peft adapter without its model"):
        vocab.transplant(tmp_path / "beside", TARGET)
    shutil.copytree(tiny_source, tmp_path / "beside", dirs_exist_ok=True)
    with pytest.raises(InputError, match="adapter_config.json: a peft adapter beside the model would be lost"):
        vocab.transplant(tmp_path / "beside", TARGET)
    merged = lora.merge_and_unload()
    made = vocab.transplant(merged, TARGET, source_tokenizer=tiny_source, method="subwords").save(tmp_path / "made")
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert torch.equal(load_model(made).state_dict()[name], merged.state_dict()[name])


def test_checkpoints_in_parts(tiny_source, tmp_path):
    load_model(tiny_source).save_pretrained(tmp_path / "parts", max_shard_size="40KB")
    load_tokenizer(tiny_source).save_pretrained(tmp_path / "parts")
    names = sorted(file.name for file in (tmp_path / "parts").glob("*.safetensors"))
    assert len(names) > 2
    graft = vocab.transplant(tmp_path / "parts", TARGET, method="subwords")
    folder = graft.save(tmp_path / "made")
    assert sorted(file.name for file in folder.glob("model*.safetensors")) == names
    one = load_model(vocab.transplant(tiny_source, TARGET, method="subwords").save(tmp_path / "one")).state_dict()
    made = load_model(folder).state_dict()
    assert all(torch.equal(value, made[name]) for name, value in one.items())
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    sizes = {name: value for name, value in made.items() if name in index["weight_map"]}
    assert index["metadata"]["total_size"] == sum(v.numel() * v.element_size() for v in sizes.values())
    assert index["metadata"]["total_parameters"] == sum(v.numel() for v in sizes.values())


def test_damaged_checkpoints_are_refused(tiny_source, tmp_path):
    folder = shutil.copytree(tiny_source, tmp_path / "short")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(InputError, match=f"damaged weights; found {len(whole) - 100:,} bytes; expected {len(whole):,}"):
        vocab.transplant(folder, TARGET)
    (folder / "model.safetensors").write_bytes(b"\xff" * 8 + whole[8:])
    with pytest.raises(InputError, match="damaged weights"):
        shards.files_of(folder)
    (folder / shards.INDEX).write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(InputError, match="a part of the weights is missing"):
        shards.files_of(folder)


MEASURE = """
import resource, sys
import pyarrow, scipy.sparse, torch  # what the interpreter and the libraries take is not the transplant's
from transformers import AutoTokenizer, BertForMaskedLM, LlamaForCausalLM
import vocab
from vocab.transplant.skeleton import Carrier
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
vocab.transplant(sys.argv[1], sys.argv[2], score=False, texts=sys.argv[4:] or None).save(sys.argv[3])
print(peak() - before)
"""


def megabytes(*arguments):
    """Peak memory of a transplant in a process of its own, what its start takes left out."""
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is read from `resource`")
def test_a_large_vocabulary_takes_half_a_gigabyte(tmp_path):
    """A source of 250,000 pieces, tokenizer and evidence included; its matrix of 16 MB does not count for much.

    370 MB were seen: some 200 are the source's tokenizer and the view of it, 110 the evidence as it is made.
    """
    from transformers import BertConfig, BertForMaskedLM

    syllables = [a + b for a in "bdfghjklmnprstwyz" for b in ("a", "e", "i", "o", "u", "an", "en", "in")]
    words = [f"{a}{b}{c}" for a in syllables for b in syllables for c in syllables]
    draw = np.random.default_rng(0)
    old = metaspace([*(f"▁{w}" for w in words[:250_000]), *"abdefghijklmnoprstuwyz", "▁"])
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(vocab_size=len(old), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                               intermediate_size=16)).save_pretrained(tmp_path / "large")  # fmt: skip
    old.save_pretrained(tmp_path / "large")
    new = [words[i] for i in draw.integers(len(words), size=8000)]
    metaspace(list(dict.fromkeys([*(f"▁{w}" for w in new), *"abdefghijklmnoprstuwyz", "▁"]))).save_pretrained(
        tmp_path / "target"
    )
    text = "\n".join(" ".join(new[i] for i in draw.integers(len(new), size=25)) for _ in range(20_000))
    (tmp_path / "text.txt").write_text(text + "\n", encoding="utf-8")
    assert megabytes(tmp_path / "large", tmp_path / "target", tmp_path / "made", tmp_path / "text.txt") < 450


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is read from `resource`")
def test_the_body_is_not_in_memory(tiny_source, tmp_path):
    """A body of 200 MB in several files, embeddings of 5 MB: what is needed beyond start-up stays below 96 MB."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=1000, hidden_size=1536, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=1,
        intermediate_size=6656, tie_word_embeddings=True, torch_dtype="bfloat16",
    )  # fmt: skip
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.to_empty(device="cpu").tie_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    model.save_pretrained(tmp_path / "large", max_shard_size="50MB")
    size = sum(file.stat().st_size for file in (tmp_path / "large").glob("*.safetensors"))
    assert size > 190e6
    metaspace([f"▁w{n}" for n in range(900)]).save_pretrained(tmp_path / "large")
    metaspace([f"▁w{n}" for n in range(0, 1200, 2)]).save_pretrained(tmp_path / "target")
    assert megabytes(tmp_path / "large", tmp_path / "target", tmp_path / "made") < 96
    assert len(list((tmp_path / "made").glob("model*.safetensors"))) >= 4
