"""Architectures from scratch: their sizes, that the same seed gives the same bytes, and that each learns."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerFast

import adapt
from adapt.pretrain.model import objective_of
from adapt.pretrain.presets.preset import PRESETS, untrained
from adapt.pretrain.step import train_step
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on
from tests.conftest import write_config

SMALL = {"layers": 2, "hidden": 32, "heads": 2, "inner": 64, "positions": 64}


def parameters(name, words):
    """Parameters of a preset at its own size, nothing of it in memory."""
    roles = {f"{role}_token_id": number for number, role in enumerate(("pad", "bos", "eos", "cls", "sep"))}
    preset = PRESETS[name]
    auto = AutoModelForMaskedLM if preset.objective == "mlm" else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(preset.config(preset.options(), {"vocab_size": words, **roles}))
    return sum(p.numel() for p in model.parameters())


def test_sizes_are_those_that_are_said():
    words = 32_000
    counts = {name: parameters(name, words) for name in PRESETS.names}
    assert {name: round(count / 1e6, 1) for name, count in counts.items()} == {
        "albert": 6.1, "decoder-12": 33.5, "decoder-6": 22.9, "decoder-tiny": 8.8, "encoder-12": 34.0,
        "encoder-6": 23.3, "encoder-tiny": 9.0, "rotary-encoder": 27.5,
    }  # fmt: skip
    by_hand = words * 128 + 512 * 128 + 2 * 128 + 2 * 128  # words, positions, types, norm
    by_hand += 128 * 384 + 384 + 4 * (384 * 384 + 384) + 2 * (384 * 1536) + 1536 + 384 + 4 * 384  # one layer for twelve
    by_hand += 384 * 128 + 128 + 2 * 128 + words  # head
    assert counts["albert"] == by_hand
    assert max(counts["encoder-tiny"], counts["decoder-tiny"]) < 10_000_000


@pytest.mark.parametrize("name", PRESETS.names)
def test_every_preset_is_made_for_a_tokenizer_and_learns(name, tmp_path, tiny_source, language):
    shape = PRESETS[name].options(**SMALL)
    folders = [tmp_path / part for part in ("one", "two", "three")]
    for seed, folder in zip((1, 1, 2), folders, strict=True):
        model = untrained(name, tiny_source, folder, seed=seed, shape=shape)
    one, two, three = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert one == two != three
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert objective_of(folders[0]) == PRESETS[name].objective
    setup = setup_on(folders[0], language / "text.txt", tmp_path, options(lr=1e-2, batch_tokens=512), steps=20)
    assert not setup.new_head and not setup.predictor.full
    assert setup.symbols.size == model.get_input_embeddings().weight.shape[0]
    losses = [train_step(setup, step)["loss"] for step in range(20)]
    assert losses[-1] < losses[0] - 0.3


def test_from_scratch_goes_the_way_of_every_source(tmp_path, tiny_source, language):
    untrained("encoder-tiny", tiny_source, tmp_path / "made", shape=PRESETS["encoder-tiny"].options(**SMALL))
    file = write_config(tmp_path / "scratch.yaml", tmp_path / "made", language, arms=["source", "keep"],
                        evaluate__tasks={}, pretrain__steps=30, pretrain__lr=1e-2)  # fmt: skip
    scores = adapt.run(file, preflight=False).scores.groupby("arm").value.first()
    assert scores["keep"] < scores["source"]  # pseudo-bits per character of held-out text


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="5 heads do not divide a width of 32"):
        PRESETS["encoder-tiny"].options(**{**SMALL, "heads": 5})
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"<unk>": 0, "a": 1}, "<unk>")))
    with pytest.raises(InputError, match="needs a mask token"):
        untrained("encoder-tiny", bare, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="did you mean 'albert'"):
        untrained("alberta", bare, tmp_path)
