"""Fine-tuning in parts and on two processes: one loss and gradient, however unequal the labels of the parts are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import adapt
from adapt.config import Evaluate
from adapt.evaluate import features, finetune
from lexigraft import InputError
from tests.adapt.forked import FORKS_TWO, Training
from tests.adapt.several import SENTENCES
from tests.conftest import write_config


@pytest.mark.parametrize("tagged", [True, False], ids=["tokens", "sequences"])
def test_a_step_in_parts_is_the_step(tagged, tiny_source, monkeypatch):
    monkeypatch.setattr(finetune, "DROPOUT", 0.0)
    monkeypatch.setattr(features, "fast", lambda: False)
    cutter, body = features.Cutter(tiny_source), features.load_body(tiny_source)
    cuts = cutter.words(SENTENCES) if tagged else cutter.texts([" ".join(words) for words in SENTENCES])
    targets = [[k % 3 for k in range(len(words))] if tagged else [n % 3] for n, words in enumerate(SENTENCES)]
    torch.manual_seed(0)
    head = torch.nn.Linear(body.config.hidden_size, 3)
    found = []
    for at_once in (None, 2):
        body.zero_grad(), head.zero_grad()
        loss = finetune.accumulate(body, head, cutter, cuts, targets, tagged=tagged, at_once=at_once)
        gradients = [p.grad.clone() for p in (*body.parameters(), *head.parameters()) if p.grad is not None]
        found.append((loss, gradients))
    (whole, a), (parts, b) = found
    assert whole == pytest.approx(parts, abs=1e-5)
    assert max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True)) < 1e-5
    # By hand, over all labels at once.
    states, owners = finetune._states(body, cutter, cuts, pool=not tagged)
    wanted = torch.tensor([targets[i][k] for i, k in owners])
    assert len(wanted) == (79 if tagged else 4)
    assert whole == pytest.approx(float(torch.nn.functional.cross_entropy(head(states), wanted).detach()), abs=1e-5)


@FORKS_TWO
def test_two_processes_are_one(server, tmp_path, tiny_source):
    for processes in (1, 2):
        Training(server, "heads", processes, tiny_source, tmp_path).finish(str(processes))
    for task in ("tokens", "sequences"):
        whole = load_file(tmp_path / "1" / f"{task}-None.safetensors")
        for parts in ("1", "None"), ("1", "2"), ("2", "None"), ("2", "2"):
            found = load_file(tmp_path / parts[0] / f"{task}-{parts[1]}.safetensors")
            assert found.keys() == whole.keys() and "head.weight" in found
            assert max(float((found[key] - whole[key]).abs().max()) for key in whole) < 1e-5


def test_another_number_of_processes_is_refused_at_once(tmp_path, tiny_source, language, monkeypatch):
    with pytest.raises(ValueError, match="processes belongs to mode finetune, found mode probe, processes 2"):
        Evaluate(processes=2)
    config = write_config(tmp_path / "x.yaml", tiny_source, language, evaluate={"mode": "finetune"}, device="cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="found WORLD_SIZE=2; expected evaluate.processes=2, or 1 processes"):
        adapt.run(config)
