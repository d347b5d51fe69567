"""Architectures from scratch: their sizes, that the same seed gives the same bytes, and that each learns."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

import adapt
from adapt.pretrain.model import objective_of
from adapt.pretrain.presets.preset import PRESETS, size, untrained
from adapt.pretrain.step import train_step
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on
from tests.conftest import write_config

SMALL = {"layers": 2, "hidden": 32, "heads": 2, "inner": 64, "positions": 64}


def test_sizes_are_those_that_are_said():
    words = 32_000
    counts = {preset.name: size(preset, preset.options(), words)[0] for preset in PRESETS}
    assert {name: round(count / 1e6, 1) for name, count in counts.items()} == {
        "albert": 6.1, "decoder-12": 33.5, "decoder-6": 22.9, "decoder-tiny": 8.8, "encoder-12": 34.0,
        "encoder-6": 23.3, "encoder-tiny": 9.0, "rotary-encoder": 27.5,
    }  # fmt: skip
    by_hand = words * 128 + 512 * 128 + 2 * 128 + 2 * 128  # words, positions, types, norm
    by_hand += 128 * 384 + 384 + 4 * (384 * 384 + 384) + 2 * (384 * 1536) + 1536 + 384 + 4 * 384  # one layer for twelve
    head = 384 * 128 + 128 + 2 * 128 + words
    by_hand += head
    assert counts["albert"] == by_hand
    assert size(PRESETS["albert"], PRESETS["albert"].options(), words)[1] == by_hand - head - words * 128
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


def test_as_it_is_continued_and_from_scratch_are_arms_of_one_run(tmp_path, tiny_source, language):
    small = {"encoder_tiny": SMALL}
    file = write_config(tmp_path / "three.yaml", tiny_source, language, arms=["source", "scratch", "adapted"],
                        evaluate__tasks={}, pretrain__lr=1e-2, scratch={"options": small})  # fmt: skip
    run = adapt.run(file, {"pretrain.steps": 30})
    steps = json.loads((run.folder / "budget" / "steps.json").read_text())["steps"]
    assert steps == {"scratch": 30, "adapted": 30}
    scores = run.scores.query("task == 'lm' and seed == 'mean'").set_index("arm").value
    assert set(scores.index) == {"source", "scratch", "adapted"} and scores["scratch"] < scores["source"]
    table = json.loads((run.folder / "report" / "table.json").read_text())
    assert [row["arm"] for row in table["rows"]] == ["source", "adapted", "scratch"]
    assert any((v["a"], v["b"]) == ("adapted", "scratch") for v in table["verdicts"])
    card = (run.folder / "README.md").read_text()
    assert "scratch is an untrained model" in card and "| Model of scratch | BERT, 6 layers of 192" in card
    models = {arm: AutoModelForMaskedLM.from_pretrained(run.folder / "pretrain" / arm / "model")
              for arm in ("scratch", "adapted")}  # fmt: skip
    words = AutoTokenizer.from_pretrained(run.folder / "tokenizer")
    assert {m.get_input_embeddings().weight.shape[0] for m in models.values()} == {len(words)}
    handed = AutoModelForMaskedLM.from_pretrained(run.model).state_dict()  # what the run is for, whatever the order
    assert all(torch.equal(value, handed[key]) for key, value in models["adapted"].state_dict().items())
    before = json.loads((run.folder / "preflight.json").read_text())
    measured, body = before["measured"], size(PRESETS["encoder-tiny"], PRESETS["encoder-tiny"].options(**SMALL), 150)[1]
    arms = 1 + body / (measured["parameters"] - 32 * len(AutoTokenizer.from_pretrained(tiny_source)))
    assert before["estimate"]["pretrain_seconds"] == pytest.approx(30 * measured["seconds_per_step"] * arms)


@pytest.mark.parametrize(("settings", "said"), [
    ({"pretrain__objective": "mlm", "scratch": {"preset": "decoder-6"}}, "decoder-6 is made for clm"),
    ({"pretrain__sequence_length": 64, "scratch": {"options": {"encoder_tiny": {**SMALL, "positions": 48}}}},
     "encoder-tiny reads 48 tokens at most"),
    ({"scratch": {"preset": "encoder-tini"}}, "did you mean 'encoder-tiny'"),
])  # fmt: skip
def test_an_untrained_model_that_contradicts_the_run_is_refused_at_once(
    settings, said, tmp_path, tiny_source, language
):
    file = write_config(tmp_path / "bad.yaml", tiny_source, language, arms=["scratch"], **settings)
    with pytest.raises(InputError, match=said):
        adapt.run(file)
    assert not list(tmp_path.glob("runs/*/corpus"))


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="5 heads do not divide a width of 32"):
        PRESETS["encoder-tiny"].options(**{**SMALL, "heads": 5})
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"<unk>": 0, "a": 1}, "<unk>")))
    with pytest.raises(InputError, match="needs a mask token"):
        untrained("encoder-tiny", bare, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="did you mean 'albert'"):
        untrained("alberta", bare, tmp_path)
