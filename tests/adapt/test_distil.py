"""Learning from the model before: the divergence and its gradient, cut and kill change nothing, what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import kl_div, log_softmax

import adapt
from adapt.config import load
from adapt.pretrain.distil import _LinearDivergence
from adapt.pretrain.step import accumulate, train_step
from lexigraft import InputError
from tests.adapt.pretraining import ends_in_the_same_bytes, options, setup_on
from tests.conftest import write_config


def test_the_divergence_is_the_one_worked_by_hand():
    """Teacher's logits 2 ln 3, 0, student's 0, 0, at T = 2: p = (3/4, 1/4), q = (1/2, 1/2)."""
    one = torch.ones(1, 1)
    teacher, student = torch.tensor([[2 * np.log(3.0)], [0.0]]).float(), torch.zeros(2, 1, requires_grad=True)
    found = _LinearDivergence.apply(one, student, None, one, teacher, None, 2.0)
    found.backward()
    assert float(found.detach()) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5), abs=1e-6)
    assert student.grad[:, 0].tolist() == pytest.approx([(0.5 - 0.75) / 2, (0.5 - 0.25) / 2], abs=1e-6)


@pytest.mark.parametrize("columns", [100, 20_000])
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
def test_the_divergence_in_blocks_is_the_plain_one(columns, half):
    torch.manual_seed(0)
    t = 1.5
    inputs = [torch.randn(7, 16), torch.randn(columns, 16), torch.randn(columns)]
    before = [torch.randn(7, 16), torch.randn(columns, 16), torch.randn(columns)]

    def plain(*given):
        now, old = (log_softmax(torch.nn.functional.linear(*part).float() / t, -1) for part in (given[:3], given[3:6]))
        return kl_div(now, old, reduction="sum", log_target=True)

    found = []
    for way in (_LinearDivergence.apply, plain):
        leaves = [x.clone().requires_grad_() for x in inputs]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = way(*leaves, *before, t)
        (loss / 7).backward()
        found.append([loss.detach(), *(x.grad for x in leaves)])
    for ours, known in zip(*found, strict=True):
        assert torch.allclose(ours, known, atol=2e-2 if half else 1e-5, rtol=2e-2 if half else 1e-4)


def test_a_model_that_has_not_moved_pays_nothing_and_the_cut_changes_nothing(tmp_path, tiny_source, language):
    found = []
    for weight, micro in ((0.0, None), (0.5, None), (0.5, 3 * 32)):
        given = options(micro_batch_tokens=micro, distil={"weight": weight}, lr=1e-2)
        setup = setup_on(tiny_source, language / "text.txt", tmp_path, given)
        losses = [train_step(setup, step)["loss"] for step in range(4)]
        found.append((losses, {n: p.detach().clone() for n, p in setup.trained.items()}))
    (plain, _), (whole, a), (cut, b) = found
    assert plain[0] == pytest.approx(whole[0], abs=1e-5) and whole[3] > plain[3] + 1e-3
    assert whole == pytest.approx(cut, abs=1e-5)
    assert max(float((a[n] - b[n]).abs().max()) for n in a) < 1e-5


def test_loss_and_gradient_are_the_texts_and_the_divergences(tmp_path, tiny_source, language):
    """T^2 times the weight, on the same masked input, at the predicted positions, over their number."""
    given = options(distil={"weight": 0.7, "temperature": 3.0}, lr=1e-2)
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, given)
    train_step(setup, 0)
    setup.optimizer.zero_grad()
    batch = setup.objective.batch(setup.take(1), setup.symbols, setup.objective_options, np.random.default_rng(1))
    loss = accumulate(setup, batch)
    ours = {n: p.grad.clone() for n, p in setup.trained.items()}
    setup.optimizer.zero_grad()
    ids, mask = torch.from_numpy(batch.inputs), torch.from_numpy(batch.attention).long()
    now, old = (m(input_ids=ids, attention_mask=mask).logits[torch.from_numpy(batch.rows), torch.from_numpy(
        batch.columns)] for m in (setup.model, setup.teacher.predictor.model))  # fmt: skip
    text = torch.nn.functional.cross_entropy(now, torch.from_numpy(batch.labels))
    apart = kl_div(log_softmax(now / 3, -1), log_softmax(old / 3, -1), reduction="batchmean", log_target=True)
    (text + 0.7 * 9 * apart).backward()
    assert apart > 1e-4 and loss == pytest.approx(float((text + 0.7 * 9 * apart).detach()), abs=1e-5)
    assert max(float((ours[n] - p.grad).abs().max()) for n, p in setup.trained.items()) < 1e-5
    assert all(p.grad is None for p in setup.teacher.predictor.model.parameters())


def test_stopped_and_resumed_it_ends_in_the_same_bytes(tmp_path, tiny_source, language, monkeypatch):
    given = options(distil={"weight": 1.0}, lr=1e-2, dropout=0.1, checkpoint_seconds=0.0, batch_tokens=64)
    arguments = (tiny_source, tiny_source, language / "text.txt", None, given, 4, 0)
    ends_in_the_same_bytes(arguments, tmp_path, monkeypatch)


def test_a_run_that_distils_stays_nearer_to_the_source(tmp_path, tiny_source, language):
    """How far the logits on the source's own words have moved, with and without."""
    from transformers import AutoModelForMaskedLM

    ids = torch.arange(40).reshape(4, 10) + 5
    models = [AutoModelForMaskedLM.from_pretrained(tiny_source)]
    for weight in (0.0, 4.0):
        file = write_config(
            tmp_path / f"{weight}.yaml", tiny_source, language, arms=["keep"], evaluate__tasks={}, pretrain__lr=1e-2,
            pretrain__steps=25, pretrain__distil={"weight": weight},
        )  # fmt: skip
        models.append(AutoModelForMaskedLM.from_pretrained(adapt.run(file, preflight=False).model))
    with torch.no_grad():
        before, plain, taught = (log_softmax(m.eval()(input_ids=ids).logits, -1) for m in models)
    moved = [float(kl_div(now, before, reduction="batchmean", log_target=True)) for now in (plain, taught)]
    assert moved[1] < 0.5 * moved[0]


def test_what_cannot_be_learnt_from_is_refused_early(tmp_path, tiny_source, tiny_base, language):
    file = write_config(tmp_path / "a.yaml", tiny_source, language, pretrain__distil={"weight": 1.0})
    with pytest.raises(InputError, match=r"pretrain.distil.match logits needs the source's vocabulary.*adapted"):
        load(file)
    with pytest.raises(InputError, match=r"no language-modelling head.*hidden-states"):
        setup_on(tiny_base, language / "text.txt", tmp_path, options(distil={"weight": 1.0}))
