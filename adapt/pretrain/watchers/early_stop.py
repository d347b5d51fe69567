"""Stop when held-out bits per character fall no more, and keep the best weights (Prechelt 1998, section 2)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from adapt.pretrain.bits import found_in
from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher
from vocab.options import Options


class EarlyStopOptions(Options):
    """Options of stopping early."""

    patience: int = Field(3, gt=0)
    """Measurements in a row without a gain, after which it stops (how often is measured: `watchers.heldout.every`)."""
    min_gain: float = Field(0.005, ge=0)
    """Smallest fall of the held-out bits per character that counts as a gain."""
    keep: Literal["best", "last"] = "best"
    """Whose weights are exported: those of the best measurement, also where it did not stop early; or the last."""


class EarlyStop(Watch):
    """Judges the bits per character that `heldout` notes."""

    def __init__(self, run: Run, options: EarlyStopOptions) -> None:
        super().__init__(run, options)
        self.state: dict[str, Any] = {"best": None, "best_step": 0, "without": 0, "stopped_at": None}

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Ask for a checkpoint at each gain, and stop after too many measurements without one."""
        value, state = found_in(facts, "heldout"), self.state
        if value is None:
            return None
        if state["best"] is None or value < state["best"] - self.options.min_gain:
            state.update(best=value, best_step=step, without=0)
            return Answer(save=self.options.keep == "best")
        state["without"] += 1
        if state["without"] < self.options.patience or step >= self.run.end:
            return None
        state["stopped_at"] = step
        return Answer(
            f"stopped at step {step} of {self.run.end}: no gain since step {state['best_step']}, which had "
            f"{state['best']:.4f} held-out bits per character",
            action="stop",
        )

    @property
    def pins(self) -> set[int]:
        """The best step's."""
        return {self.state["best_step"]} if self.options.keep == "best" and self.state["best_step"] else set()

    def export_step(self) -> int | None:
        """Return the step of the best measurement, where that is to be kept."""
        return next(iter(self.pins), None)

    def summary(self) -> dict[str, Any]:
        """Say when it was best and whether it stopped."""
        return {"early_stop": {key: self.state[key] for key in ("best", "best_step", "stopped_at")}}


def check(watchers: Any) -> None:
    """Refuse to judge by what is not measured."""
    if not watchers.heldout.words:
        raise ValueError("early_stop needs the bits per character that heldout.words = 0 leaves out")


SPEC = Watcher(
    name="early-stop",
    summary="Stop when held-out bits per character fall no more",
    paper="Prechelt 1998, Early Stopping - But When?, section 2",
    options=EarlyStopOptions,
    watch=EarlyStop,
    turn="judge",
    in_branch=False,
    needs=("heldout",),
    check=check,
)
