"""Keep checkpoints of a training, so that a finished model can be made of each later.

A training with schedule `wsd` or `constant` can be brought to an end from any of its checkpoints by letting the rate
fall (Hägele et al. 2024, section 3): `lexigraft branch`. So one long training serves several lengths.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher
from vocab.options import Options


class KeepOptions(Options):
    """Options of keeping checkpoints; each takes some 12 bytes a trained parameter."""

    shares: list[float] = Field(default_factory=list)
    """Shares of the steps after which a checkpoint is kept, such as 0.25, 0.5."""
    every: int | None = Field(None, gt=0)
    """Steps between checkpoints that are kept."""

    @model_validator(mode="after")
    def _something(self) -> KeepOptions:
        if not self.shares and self.every is None:
            raise ValueError("needs `shares` or `every`")
        if not all(0 < share < 1 for share in self.shares):
            raise ValueError(f"shares must lie between 0 and 1, found {self.shares}")
        return self


class Keep(Watch):
    """Asks for checkpoints at fixed steps."""

    def __init__(self, run: Run, options: KeepOptions) -> None:
        super().__init__(run, options)
        steps = run.setup.steps
        self.steps = {max(1, round(share * steps)) for share in options.shares}
        if options.every:
            self.steps |= set(range(options.every, steps, options.every))
        self.state: dict[str, Any] = {"kept": []}

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Keep this step, where it is one of those."""
        if step not in self.steps or step >= self.run.end:
            return None
        self.state["kept"].append(step)
        return Answer(save=True)

    @property
    def pins(self) -> set[int]:
        """All that were kept so far."""
        return set(self.state["kept"])

    def summary(self) -> dict[str, Any]:
        """Say which steps were kept."""
        return {"kept_checkpoints": self.state["kept"]}


SPEC = Watcher(
    name="keep",
    summary="Keep checkpoints to make finished models of later",
    paper="Hägele et al. 2024, Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, section 3",
    options=KeepOptions,
    watch=Keep,
    turn="judge",
    in_branch=False,
)
