"""A device that is not there: tensors with a shape and no values; operations on two devices raise as on a GPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.conftest import ROOT


def imagine() -> tuple[torch.device, Any, Callable[[Any], Any]]:
    """Make the device, for the rest of this process.

    Returns:
        The device; the mode in which its tensors are computed with; and what brings a model there, in place.
    """
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend("imagined")
    there = torch.device("imagined", 0)
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)

    def brought(model: Any) -> Any:
        known: dict[int, Any] = {}
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and id(tensor) not in known:
                        fake = FakeTensor(mode, tensor.detach().to("meta"), there)
                        known[id(tensor)] = torch.nn.Parameter(fake) if isinstance(tensor, torch.nn.Parameter) else fake
                    tensors[name] = None if tensor is None else known[id(tensor)]
        return model

    return there, mode, brought


def run_there(script: str, *arguments: Any) -> None:
    """Run a script that imagines the device, in a process of its own; skip where this torch cannot."""
    if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip(f"torch {torch.__version__} has no devices that are imagined")
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
