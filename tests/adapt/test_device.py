"""Which device is taken, and that nothing is left on another one; no GPU is needed, and none was there."""

from __future__ import annotations

import pytest
import torch

import adapt
from adapt.config import load
from adapt.pretrain import device
from adapt.stages.transplant import device_of
from lexigraft import InputError
from tests.conftest import write_config
from tests.imagined import run_there


@pytest.fixture
def machine(monkeypatch):
    """Pretend that GPUs are there."""

    def pretend(gpus=0, metal=False, bf16=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: metal)

    monkeypatch.setattr(device, "_wanted", "auto")
    return pretend


def test_a_transplant_takes_the_runs_device_and_its_own_is_refused_early(machine, tmp_path, tiny_source, language):
    machine()
    config = write_config(tmp_path / "x.yaml", tiny_source, language)
    for run, own, taken in (("auto", None, "auto"), ("cuda", None, "cuda"), ("cpu", None, None), ("mps", None, None),
                            ("cpu", "auto", "auto"), ("auto", "cpu", "cpu")):  # fmt: skip
        assert device_of(load(config, {"device": run, "transplant.device": own})) == taken
    with pytest.raises(InputError, match="no cuda; found device: cuda; expected device: auto or cpu"):
        adapt.run(config, overrides={"transplant.device": "cuda"})


def test_the_best_device_that_is_there_is_taken(machine):
    machine()
    assert device.device() == torch.device("cpu") == device.device(1, 2)
    machine(metal=True)
    assert device.device() == torch.device("mps") and not device.wants_bf16("auto")
    machine(gpus=2, metal=True)
    assert [device.device(rank, 2) for rank in (0, 1)] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert device.wants_bf16("auto") and device.wants_bf16("bf16") and not device.wants_bf16("fp32")
    machine(gpus=1, bf16=False)
    assert not device.wants_bf16("auto")
    device.want("cpu")
    assert device.device() == torch.device("cpu")


def test_what_is_not_there_is_refused(machine):
    machine()
    device.want("cuda")
    with pytest.raises(InputError, match="has no cuda.*expected device: auto or cpu"):
        device.device()
    device.want("auto")
    machine(gpus=1)
    with pytest.raises(InputError, match="2 processes, 1 cuda; expected processes: 1, or device: cpu"):
        device.device(0, 2)
    machine(metal=True)
    with pytest.raises(InputError, match="2 processes, 1 mps"):
        device.device(0, 2)


# Tensors that have a shape and a device but no values; operations on two devices raise as they do on a real GPU.
FAKE = """
import sys
from pathlib import Path
import numpy as np, torch
from adapt.evaluate import features, finetune
from adapt.pretrain import step
from tests.adapt.pretraining import options, setup_on
from tests.imagined import imagine
encoder, decoder, text, folder = map(Path, sys.argv[1:])
there, mode, brought = imagine()
for number, source in enumerate((encoder, decoder)):
    setup = setup_on(source, text, folder / str(number), options())
    generator = np.random.default_rng(0)
    batch = setup.objective.batch(setup.stream.take(8), setup.symbols, setup.objective_options, generator)
    brought(setup.model)
    setup.device = there
    with mode:
        step.forward(setup, batch).backward()
        assert {p.grad.device for p in setup.model.parameters()} == {there}
        moved, step.moved = step.moved, lambda array, to: torch.from_numpy(array)
        try:
            step.forward(setup, batch)
        except Exception as error:
            assert "at least two devices" in str(error), error
        else:
            raise SystemExit("tensors on two devices went unseen")
        step.moved = moved
cutter = features.Cutter(encoder)
body = brought(features.load_body(encoder))
with mode:
    states, owners = finetune._states(body, cutter, cutter.texts(["mada kula", "wato"]), pool=True)
    assert states.device == there and len(owners) == len(states) == 2
"""


def test_a_step_leaves_nothing_on_the_processor(tmp_path, tiny_source, tiny_decoder, language):
    run_there(FAKE, tiny_source, tiny_decoder, language / "text.txt", tmp_path)
