"""Fine-tuning in parts: the same loss and gradient, however unequal the labels of the parts are."""

from __future__ import annotations

import pytest
import torch

from adapt.evaluate import features, finetune


@pytest.mark.parametrize("tagged", [True, False], ids=["tokens", "sequences"])
def test_a_step_in_parts_is_the_step(tagged, tiny_source, monkeypatch):
    monkeypatch.setattr(finetune, "DROPOUT", 0.0)
    monkeypatch.setattr(features, "fast", lambda: False)
    cutter, body = features.Cutter(tiny_source), features.load_body(tiny_source)
    sentences = [["walk"], ["house", "water", "tree"], [], ["mama", "kuda", "wato", "land", "king"], ["good"] * 70]
    cuts = cutter.words(sentences) if tagged else cutter.texts([" ".join(words) for words in sentences])
    targets = [[k % 3 for k in range(len(words))] if tagged else [n % 3] for n, words in enumerate(sentences)]
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
