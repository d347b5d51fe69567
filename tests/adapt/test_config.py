"""RunConfig: YAML in, JSON Schema out, errors that name file, line and the nearest key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapt import config
from adapt.config import RunConfig
from lexigraft import InputError
from vocab.transplant.method import METHODS

GOOD = "language: hau\nsource: {model: m}\ncorpus:\n  text: [a.txt]\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hau.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_misspelt_key_names_line_and_nearest(tmp_path):
    path = write(tmp_path, GOOD + "pretrain:\n  step: 5\n")
    with pytest.raises(InputError) as caught:
        config.load(path)
    assert caught.value.line == 6
    assert "did you mean 'steps'" in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_misspelt_override_is_named_as_one(tmp_path):
    with pytest.raises(InputError, match="`pretrain.stepz` .given as an override.*did you mean 'steps'"):
        config.load(write(tmp_path, GOOD), {"pretrain.stepz": "5"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pretrain: {lr: -1}", "greater than 0"),
        ("pretrain: {schedule: cosin}", "'cosine'"),
        ("evaluate: {seeds: [1, 1]}", "seeds repeat"),
        ("arms: [source, kept]", "'keep'"),
        ("language: '../x'", "pattern"),
        ("pretrain: {minutes: null}", "needs one budget of minutes, steps, tokens, epochs; given: none"),
        ("pretrain: {minutes: 3, epochs: 2}", "given: minutes, epochs"),
        ("pretrain: {tokens: 3000, steps: 2}", "given: steps, tokens"),
        ("pretrain: {schedule: cosine, decay_shape: linear}", "decay_shape belongs to schedule wsd"),
        ("pretrain: {schedule: wsd, warmup: 0.5, decay_share: 0.6}", "more than all steps"),
        ("transplant: {method: focus -> subword}", "did you mean 'subwords'"),
        ("transplant: {method: 0.7 focus + -1 mean}", "not a weight above 0"),
        ("transplant: {method: wechsel}", "wechsel needs transplant.source_vectors"),
        ("transplant: {method: 0.5 dictionary + focus -> clp, helper: m}", "focus needs transplant.dictionary"),
        ("pretrain: {schedule: constant, min_lr: 0.1}", "needs a schedule that falls"),
    ],
)
def test_bad_values_are_refused(tmp_path, line, said):
    text = GOOD.replace("language: hau\n", "") + line if line.startswith("language") else GOOD + line
    with pytest.raises(InputError) as caught:
        config.load(write(tmp_path, text + "\n"))
    assert said in str(caught.value)


def test_not_yaml_names_the_line(tmp_path):
    with pytest.raises(InputError) as caught:
        config.load(write(tmp_path, "language: hau\nsource: [\n"))
    assert caught.value.line == 3


def test_yaml_runs_nothing(tmp_path):
    with pytest.raises(InputError):
        config.load(write(tmp_path, "language: !!python/object/apply:os.system ['touch /tmp/x']\n"))


def test_numbers_as_people_write_them(tmp_path):
    """PyYAML reads 5e-5 as text."""
    assert config.load(write(tmp_path, GOOD + "pretrain: {lr: 5e-5}\n")).pretrain.lr == 5e-5
    assert config.load(write(tmp_path, GOOD), {"pretrain.lr": "3e-4"}).pretrain.lr == 3e-4


def test_paths_are_taken_from_the_file(tmp_path):
    assert config.load(write(tmp_path, GOOD)).corpus.text == [tmp_path / "a.txt"]


def test_dump_and_load_are_inverse(tmp_path):
    first = config.load(write(tmp_path, GOOD))
    second = config.load(write(tmp_path, config.dump(first)))
    assert first == second


def test_every_registered_method_is_in_the_schema():
    schema = json.dumps(RunConfig.model_json_schema())
    options = RunConfig.model_json_schema()["$defs"]["MethodOptions"]["properties"]
    assert set(options) == {"auto", *(name.replace("-", "_") for name in METHODS.names)}
    assert "What is trained" in schema or "what is trained" in schema.lower()


def test_one_budget_holds_and_an_override_replaces_the_files(tmp_path):
    file = write(tmp_path, GOOD + "pretrain: {minutes: 10}\n")
    assert config.load(file).pretrain.minutes == 10
    told = config.load(file, {"pretrain.epochs": "1.5"}).pretrain
    assert (told.minutes, told.steps, told.tokens, told.epochs) == (None, None, None, 1.5)
    steps = config.load(write(tmp_path, GOOD + "pretrain: {steps: 5}\n")).pretrain
    assert (steps.minutes, steps.steps) == (None, 5)
    again = write(tmp_path, GOOD + f"pretrain: {json.dumps(steps.model_dump(mode='json'))}\n")
    assert config.load(again).pretrain == steps
