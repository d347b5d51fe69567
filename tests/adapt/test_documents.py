"""Rows whose documents stay apart: on every architecture, what each costs alone; refused where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from adapt.pretrain.data import Blocks
from adapt.pretrain.objectives.objective import OBJECTIVES
from adapt.pretrain.step import forward, train_step
from adapt.pretrain.tokens import Symbols
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on, short_lines
from tests.tiny_tokenizers import wordpiece

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
         "max_position_embeddings": 66}  # fmt: skip
ENCODERS = {
    "bert": {},
    "xlm-roberta": {},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "modernbert": {"local_attention": 12, "global_attn_every_n_layers": 2},
    "albert": {"embedding_size": 16},
    "electra": {"embedding_size": 16},
}
DECODERS = {
    "llama": {"num_key_value_heads": 1},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 66},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 6},
}
REFUSED = {"bloom": {"n_layer": 2, "n_head": 2}, "mamba": {"state_size": 4}}


def saved(folder, tiny_source, kind):
    """Save a tiny model of an architecture, with the tiny tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_source)
    tokenizer.save_pretrained(folder)
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    more = {**ENCODERS, **DECODERS, **REFUSED}[kind]
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **{**SMALL, **more}, **ids)
    torch.manual_seed(0)
    (AutoModelForMaskedLM if kind in ENCODERS else AutoModelForCausalLM).from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [*ENCODERS, *DECODERS])
def test_a_packed_row_costs_what_its_documents_cost_alone(kind, attention, tmp_path, tiny_source, language):
    folder = saved(tmp_path / "model", tiny_source, kind)
    given = options(attention="document", sequence_length=48, batch_tokens=48 * 6, unit="word")
    setup = setup_on(folder, short_lines(tmp_path, language), tmp_path, given)
    assert not setup.predictor.full
    setup.model.set_attn_implementation(attention)
    if attention == "eager":
        setup.documents = type(setup.documents).of(setup.predictor, kind in DECODERS, 48, folder)
    assert setup.documents.added == (attention == "eager")
    batch = setup.objective.batch(setup.take(0), setup.symbols, setup.objective_options, np.random.default_rng(0))
    assert batch.documents.max() >= 3 and not batch.attention.all()
    with torch.no_grad():
        packed = float(forward(setup, batch))
        alone, longest = 0.0, 0
        for row in range(len(batch.inputs)):
            for document in range(1, batch.documents[row].max() + 1):
                at = np.flatnonzero(batch.documents[row] == document)
                assert (
                    batch.inputs[row, at[0]] == setup.symbols.begin and batch.inputs[row, at[-1]] == setup.symbols.end
                )
                logits = setup.model(input_ids=torch.from_numpy(batch.inputs[row, at])[None]).logits[0]
                mine = (batch.rows == row) & np.isin(batch.columns, at)
                scores = logits[torch.from_numpy(batch.columns[mine] - at[0])].log_softmax(-1)
                alone -= float(scores.gather(1, torch.from_numpy(batch.labels[mine])[:, None]).sum())
                longest = max(longest, len(at))
    assert longest > 12  # longer than every window above
    assert packed == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_keep_documents_apart_is_refused(kind, tmp_path, tiny_source, language):
    folder = saved(tmp_path / "model", tiny_source, kind)
    with pytest.raises(InputError, match=rf"keep the documents of a row apart; found {kind}"):
        setup_on(folder, language / "text.txt", tmp_path, options(attention="document"))
    setup_on(folder, language / "text.txt", tmp_path, options(attention="document", packing=False))


def test_positions_that_belong_to_padding_are_not_counted_on(tmp_path, tiny_source, language):
    folder, text = saved(tmp_path / "model", tiny_source, "xlm-roberta"), language / "text.txt"
    setup = setup_on(folder, text, tmp_path, options(sequence_length=65, batch_tokens=130))
    assert train_step(setup, 0)["loss"] > 0
    with pytest.raises(InputError, match=r"positions; found 66; expected at most 65"):
        setup_on(folder, text, tmp_path, options(sequence_length=66, batch_tokens=132))


def test_the_first_token_of_a_document_is_not_predicted_from_the_one_before(tmp_path):
    blocks = Blocks(np.array([[2, 5, 3, 2, 6, 7, 3, 0]]), np.zeros((1, 8), bool), np.array([[1, 1, 1, 2, 2, 2, 2, 0]]))
    symbols = Symbols.of(wordpiece([*"abcd"]))
    batch = OBJECTIVES["clm"].batch(blocks, symbols, None, np.random.default_rng(0))
    assert batch.columns.tolist() == [0, 1, 3, 4, 5] and batch.labels.tolist() == [5, 3, 6, 7, 3]
    assert batch.part(0, 1).documents.tolist() == blocks.documents.tolist()


# Losses worked by hand
