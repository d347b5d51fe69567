"""A model cut between two processes: the loss and gradient of one, the same files, resumed to the bit, less held."""

from __future__ import annotations

import json
import os

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from tests.adapt.forked import FORKS_TWO, Training, digests
from tests.adapt.pretraining import options

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX"), FORKS_TWO]


def stepped(server, tmp_path, name, processes, sources, text, **given):
    (tmp_path / f"{name}.json").write_text(json.dumps(given))
    Training(server, "steps", processes, *sources, text, tmp_path / f"{name}.json", tmp_path).finish(name)
    return [[load_file(tmp_path / name / f"{number}-rank-{rank}.safetensors") for rank in range(processes)]
            for number in range(len(sources))]  # fmt: skip


def compare(found, expected):
    assert found.keys() == expected.keys() and any(key.startswith("gradient.") for key in found)
    for key in expected.keys() - {"held"}:
        assert float((found[key] - expected[key]).abs().max()) < 1e-5, key


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"micro_batch_tokens": 96}, id="in-parts"),
        pytest.param({"gradient_checkpointing": True}, id="again", marks=pytest.mark.slow),
        pytest.param({"tuning": "lora", "attention": "document"}, id="lora", marks=pytest.mark.slow),
        pytest.param({"tuning": "bottleneck"}, id="bottleneck", marks=pytest.mark.slow),
    ],
)
def test_it_computes_what_one_process_does(given, server, tmp_path, tiny_source, tiny_decoder, language):
    files = [tiny_source, tiny_decoder], language / "text.txt"
    one = stepped(server, tmp_path, "one", 1, *files, **given)
    cut = stepped(server, tmp_path, "cut", 2, *files, sharding="full", **given)
    for (alone,), (first, second) in zip(one, cut, strict=True):
        compare(first, alone)
        held = [int(part["held"]) for part in (first, second)]
        assert sum(held) == int(alone["held"]) and max(held) < 0.55 * sum(held)


def test_killed_it_ends_in_the_same_bytes_and_a_plain_tied_model(server, tmp_path, tiny_base, language):
    training = Training(server, "sharded", 2, tiny_base, language / "text.txt", tmp_path)
    training.finish("whole")
    for gate in (4, 13):
        training.kill_at("cut", gate)
    training.finish("cut")
    facts, whole = (json.loads((tmp_path / n / "finished.json").read_text())["facts"] for n in ("cut", "whole"))
    assert (
        facts["resumed_from"] == [4, 13] and facts["sharding"] == "full" and facts["early_stop"] == whole["early_stop"]
    )
    found, expected = (digests(tmp_path / name, "model/*") for name in ("cut", "whole"))
    assert found == expected and "model/model.safetensors" in found
    logs = [
        [json.loads(line) for line in (tmp_path / n / "log.jsonl").read_text().splitlines()] for n in ("cut", "whole")
    ]
    assert [line["loss"] for line in logs[0]] == [line["loss"] for line in logs[1]]
    model, info = AutoModelForMaskedLM.from_pretrained(tmp_path / "cut/model", output_loading_info=True)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight and not info["missing_keys"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"processes": 1}, "processes 1: there must be two or more"),
        ({"compile": True}, "does not go with compile"),
        ({"tuning": "embeddings-first"}, "tuning embeddings-first, which thaws weights on the way"),
        ({"distil": {"weight": 1.0}}, "distil, whose teacher would be whole in every process"),
    ],
)
def test_what_does_not_go_with_it_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        options(**{"processes": 2, "sharding": "full", **given})
