"""Export the running mean of the weights instead of the last ones.

Averaging the iterates of SGD: Polyak & Juditsky 1992; with exponentially falling weights, in deep learning: Morales-
Brotons, Vogels & Hendrikx 2024. The mean is over trained weights alone: the start is divided out as in Adam (Kingma &
Ba 2015, section 3), so that a short training does not export a share of the weights it began with. With m_t the mean
after t steps, d the decay and w_t the weights: m_t = m_(t-1) + (1 - d) / (1 - d^t) (w_t - m_(t-1)).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher
from vocab.options import Options


class EmaOptions(Options):
    """Options of averaging the weights."""

    decay: float = Field(0.999, gt=0, lt=1)
    """Weight of the mean before, each step: it reaches back some 1 / (1 - decay) steps."""


class Ema(Watch):
    """Keeps a mean of each trained tensor, of the same size; what is tied stays tied, since it is one tensor."""

    def __init__(self, run: Run, options: EmaOptions) -> None:
        super().__init__(run, options)
        self.state = {"count": 0}

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Take the step's weights in."""
        import torch

        trained = self.run.setup.trained
        if not self.tensors:
            self.tensors = {name: torch.empty_like(parameter.data) for name, parameter in trained.items()}
        self.state["count"] += 1
        decay, count = self.options.decay, self.state["count"]
        for name, parameter in trained.items():
            if count == 1:
                self.tensors[name].copy_(parameter.data)
            else:
                self.tensors[name].lerp_(parameter.data, (1 - decay) / (1 - decay**count))
        return None

    def weights(self) -> dict[str, Any] | None:
        """Return the means."""
        return self.tensors or None


SPEC = Watcher(
    name="ema",
    summary="Export an exponential moving average of the weights",
    paper="Polyak & Juditsky 1992; Morales-Brotons, Vogels & Hendrikx 2024",
    options=EmaOptions,
    watch=Ema,
    turn="weights",
)
