"""The adapters of `peft` by their type: each trains, is merged exactly, and what cannot work is refused early."""

from __future__ import annotations

import pytest
import torch
import transformers
from safetensors.torch import load_file

import adapt
from adapt.config import load
from adapt.pretrain.model import quiet
from adapt.tuning.adapters import attach, save_tuned
from adapt.tuning.peft_ import PeftOptions, prepare, types
from adapt.tuning.tuning import TUNINGS
from lexigraft import InputError
from tests.conftest import write_config

SIZES = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "pad_token_id": 1, "tie_word_embeddings": True}  # fmt: skip
FAMILIES = {"BertConfig": transformers.AutoModelForMaskedLM, "LlamaConfig": transformers.AutoModelForCausalLM}
# What the widths of a tiny model go with; the others have defaults that do.
FITTING = {
    "c3a": {"block_size": 16}, "miss": {"r": 8}, "road": {"group_size": 16}, "shira": {"r": 2},
    "vblora": {"vector_length": 16, "num_vectors": 16}, "waveft": {"n_frequency": 64},
}  # fmt: skip
KNOWN = {"adamss", "boft", "c3a", "delora", "fourierft", "hra", "ln_tuning", "loha", "lokr", "lora", "miss", "oft",
         "randlora", "road", "shira", "vblora", "vera"}  # fmt: skip
NO_BIAS = {("beft", "LlamaConfig"): "no bias"}
IDS = torch.arange(12).reshape(2, 6) + 5


def model_of(family):
    torch.manual_seed(0)
    return FAMILIES[family].from_config(getattr(transformers, family)(**SIZES)).eval()


def prepared(family, kind, seed=0, **more):
    model = model_of(family)
    torch.manual_seed(seed)  # what peft draws must not depend on it
    return prepare(model, PeftOptions(type=kind, options=FITTING.get(kind, {}), **more))


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_every_type_trains_its_own_weights_and_is_merged_exactly(family, tmp_path):
    """Also that all that ever changes is what a checkpoint holds, and that a type begins alike whatever was drawn."""
    assert set(types()) >= KNOWN
    start = model_of(family)
    before, keys = logits(start), start.state_dict().keys()
    for kind in types():
        if (kind, family) in NO_BIAS:
            with pytest.raises(InputError, match=NO_BIAS[kind, family]):
                prepared(family, kind)
            continue
        model = prepared(family, kind, embeddings=False, head=False).train()
        fresh = {key: value.clone() for key, value in model.state_dict().items()}
        again = prepared(family, kind, seed=1, embeddings=False, head=False).state_dict()
        assert all(torch.equal(value, again[key]) for key, value in fresh.items()), kind
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        shared = {name for name, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
        optimizer = torch.optim.AdamW(trained.values(), lr=3e-2, weight_decay=0)
        for step in range(3):
            torch.manual_seed(step)  # some draw while they train
            model(input_ids=IDS, labels=IDS).loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
        moved = {key for key, value in model.state_dict().items() if not torch.equal(value, fresh[key])}
        assert moved and moved <= shared, kind
        found = logits(model.eval())
        assert (found - before).abs().max() > 1e-4, kind
        with quiet():
            finished = TUNINGS["peft"].finish(model)
            assert finished.state_dict().keys() == keys, kind
            save_tuned(finished, tmp_path)
            plain = FAMILIES[family].from_pretrained(tmp_path)
        assert torch.allclose(logits(plain), found, atol=1e-4), kind
        assert plain.get_output_embeddings().weight is plain.get_input_embeddings().weight


def test_new_embeddings_are_trained_beside_it_and_adapters_of_ours_stay_below(tmp_path):
    for kind in ("loha", "ln_tuning"):
        model = model_of("BertConfig")
        attach(model, "language", 4)
        fresh = {name: p.detach().clone() for name, p in model.named_parameters()}
        model = prepare(model, PeftOptions(type=kind))
        embeddings = model.get_input_embeddings().weight
        assert embeddings.requires_grad and model.get_output_embeddings().weight is embeddings
        torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1).zero_grad()
        model(input_ids=IDS, labels=IDS).loss.backward()
        torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1).step()
        found = logits(model.eval())
        finished = TUNINGS["peft"].finish(model)
        assert torch.allclose(logits(finished), found, atol=1e-5)
        own = dict(finished.named_parameters())
        assert own.keys() == fresh.keys() and all(torch.equal(own[n], p) for n, p in fresh.items() if ".adapters." in n)


@pytest.mark.parametrize(("chosen", "said"), [
    ({"type": "lohaa"}, "peft has no such type; did you mean 'loha'?; those that work: adamss"),
    ({"type": "prefix_tuning"}, "puts learnt tokens before the text"),
    ({"type": "adalora"}, "scores that are kept outside the weights"),
    ({"type": "loha", "options": {"rank": 4, "module_dropout": 0}}, "has no option 'rank', "),
    ({"type": "loha", "options": {"alfa": 4}}, "has no option 'alfa', did you mean 'alpha'?"),
    ({"type": "loha", "options": {"r": "many"}}, "r of type 'loha': Input should be a valid integer"),
    ({"type": "loha", "options": {"task_type": "CAUSAL_LM"}}, "has no option 'task_type'"),
    ({"type": "lora", "options": {"modules_to_save": ["x"]}}, "it would untie embeddings"),
    ({"type": "lora", "options": {"init_lora_weights": "eva"}}, "eva_config of type 'lora' cannot work here"),
    ({"type": "boft", "options": {"boft_block_size": 4, "boft_block_num": 2}}, "type 'boft': "),
])  # fmt: skip
def test_what_cannot_work_is_refused_when_the_file_is_read(chosen, said, tmp_path, tiny_source, language):
    file = write_config(tmp_path / "run.yaml", tiny_source, language, pretrain__tuning="peft",
                        pretrain__tuning_options={"peft": chosen})  # fmt: skip
    with pytest.raises(InputError) as caught:
        load(file)
    assert said in str(caught.value) and "pretrain.tuning_options.peft" in str(caught.value)


@pytest.mark.parametrize(("chosen", "said"), [
    ({"type": "c3a", "options": {"block_size": 7}}, "block size should be a factor"),
    ({"type": "loha", "options": {"target_modules": ["word_embeddings"]}}, "finds no such layers"),
])  # fmt: skip
def test_what_does_not_fit_the_model_is_refused_before_training(chosen, said):
    with pytest.raises(InputError, match=said):
        prepare(model_of("BertConfig"), PeftOptions(**chosen))


def test_the_layers_are_those_whose_names_end_so():
    options = {"target_modules": ["query", "attention.output.dense"]}
    model = prepare(model_of("BertConfig"), PeftOptions(type="loha", options=options, embeddings=False, head=False))
    trained = {name.split(".hada")[0] for name, p in model.named_parameters() if p.requires_grad}
    layers = ("attention.self.query", "attention.output.dense")
    assert trained == {f"bert.encoder.layer.{n}.{layer}" for n in (0, 1) for layer in layers}


def test_a_run_with_a_replaced_vocabulary_stopped_and_resumed(tmp_path, tiny_source, language, monkeypatch):
    """From YAML: the same bytes, a plain model, its embeddings trained and still tied."""
    found = []
    for part in ("whole", "cut"):
        file = write_config(
            tmp_path / part / "run.yaml", tiny_source, language, arms=["adapted"], tokenizer__algorithm="bpe",
            pretrain__tuning="peft", pretrain__lr=1e-2, pretrain__checkpoint_seconds=0,
            pretrain__tuning_options={"peft": {"type": "oft", "options": {"oft_block_size": 8}}},
            evaluate__tasks={}, evaluate__lm_words=10,
        )  # fmt: skip
        if part == "cut":
            from adapt.pretrain.step import train_step

            def stop(setup, step, train_step=train_step):
                if step == 4:
                    raise KeyboardInterrupt
                return train_step(setup, step)

            with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
                patched.setattr("adapt.pretrain.loop.train_step", stop)
                adapt.run(file, preflight=False)
        found.append(adapt.run(file, preflight=False))
    whole, cut = ((run.model / "model.safetensors").read_bytes() for run in found)
    assert whole == cut
    run = found[1]
    before, after = (load_file(folder / "model.safetensors") for folder in (run.folder / "transplant/model", run.model))
    assert before.keys() == after.keys()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert "bert.embeddings.word_embeddings.weight" in moved
    assert "bert.encoder.layer.1.attention.self.query.weight" in moved
    assert not any("LayerNorm" in name and name.startswith("bert.") for name in moved)
    model = transformers.AutoModelForMaskedLM.from_pretrained(run.model)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
