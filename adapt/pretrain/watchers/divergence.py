"""A loss that is no number or explodes: stop and say what to change, or go back and on with a lower rate.

Going on from the same checkpoint with the same rate would explode again, since nothing in a run is drawn twice. With
`lower_lr` checkpoints are also written at fixed steps, and the newest of those is gone back to: which one does not
depend on the clock, so that a run that was killed ends in the same bytes.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher
from lexigraft import InputError
from vocab.options import Options

POINTS = 10


class DivergenceOptions(Options):
    """Options of what is done about a loss that explodes."""

    on_divergence: Literal["stop", "lower_lr"] = "stop"
    """stop: end the run, the last good checkpoint stays; lower_lr: go back to a checkpoint, on at a lower rate."""
    exploded: float = Field(3.0, gt=1)
    """A loss this many times the larger of ln V and the first loss has exploded."""
    lr_factor: float = Field(0.5, gt=0, lt=1)
    """lower_lr: factor on the learning rate each time."""
    at_most: int = Field(3, gt=0)
    """lower_lr: how often; then it stops."""
    every: int | None = Field(None, gt=0)
    """lower_lr: steps between the checkpoints it goes back to; nothing means a tenth of all."""


class Divergence(Watch):
    """Looks at each loss and gradient norm before anything else does."""

    def __init__(self, run: Run, options: DivergenceOptions) -> None:
        super().__init__(run, options)
        self.every = options.every or max(1, run.setup.steps // POINTS)
        self.lowers = options.on_divergence == "lower_lr"
        self.state = {"start": None, "times": 0, "point": None, "lr_scale": 1.0}

    def begin(self, step: int) -> Answer | None:
        """Ask for a checkpoint to go back to where the first of the fixed steps is not reached."""
        return self._point(step)

    def _point(self, step: int) -> Answer | None:
        if not self.lowers:
            return None
        self.state["point"] = step
        return Answer(save=True)

    @property
    def pins(self) -> set[int]:
        """The checkpoint to go back to."""
        return set() if self.state["point"] is None else {self.state["point"]}

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Let a good step pass."""
        loss, norm, state, given = facts["loss"], facts["grad_norm"], self.state, self.options
        if state["start"] is None and math.isfinite(loss):
            state["start"] = max(loss, math.log(self.run.setup.symbols.size))
        if not math.isfinite(loss) or not math.isfinite(norm):
            what = f"the loss or its gradient is no number (loss {loss}, gradient norm {norm})"
        elif loss > given.exploded * state["start"]:
            what = f"the loss exploded: {loss:.2f} nats a token, {state['start']:.2f} at the start"
        else:
            return self._point(step) if step % self.every == 0 else None
        if self.lowers and state["times"] < given.at_most:
            scale = state["lr_scale"] * given.lr_factor
            told = f"{what} at step {step}: on from step {state['point']} at {scale:g} of the learning rate"
            change = {"times": state["times"] + 1, "lr_scale": scale}
            return Answer(told, action="back", back_to=state["point"], change=change)
        options = self.run.setup.options
        on = "" if self.lowers else "; pretrain.watchers.divergence.on_divergence = lower_lr goes back and on by itself"
        tried = f", lowered {state['times']} times to {state['lr_scale']:g} of it" if state["times"] else ""
        raise InputError(
            f"{what} at step {step}; the last good checkpoint is untouched",
            file=self.run.folder / "checkpoints",
            found=f"pretrain.lr = {options.lr:g}{tried}, warmup = {options.warmup:g}",
            expected=f"a lower pretrain.lr, a longer pretrain.warmup, or pretrain.precision = fp32{on}",
        )

    def summary(self) -> dict[str, Any]:
        """Say how often it went back."""
        return {"lr_lowered": self.state["times"]} if self.lowers else {}


SPEC = Watcher(
    name="divergence",
    summary="What is done about a loss that is no number or explodes",
    paper="",
    options=DivergenceOptions,
    watch=Divergence,
    turn="guard",
    always=True,
)
