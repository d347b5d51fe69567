"""A budget of forgetting: how much worse the model may become on the source's language.

What is measured are the bits per character of the same held-out words of that language, under the trained model with
its own tokenizer, and their rise over the value before training; so with a replaced vocabulary it is what the training
forgets, not what the transplant did. With a head that is new, whose first values say nothing, it is the rise over the
lowest value so far (the measure of Chaudhry et al. 2018, "Riemannian Walk").
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from adapt.pretrain.bits import Words, found_in
from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher
from lexigraft import InputError
from vocab.options import Options

TIMES = 10


class ForgettingOptions(Options):
    """Options of the forgetting budget."""

    max_forgetting: float = Field(0.05, gt=0)
    """Bits per character that the source's language may cost more than before training."""
    on_exceeded: Literal["stop", "lower_lr", "raise_replay"] = "stop"
    """stop: end with the last weights within the budget; lower_lr: lower the learning rate; raise_replay: read more
    source-language text. The last two act at each measurement past the budget, which may still be exceeded at the end:
    the facts say so."""
    every: int | None = Field(None, gt=0)
    """Steps between measurements; nothing means a tenth of all."""
    words: int = Field(100, gt=0)
    """Held-out words of the source's language that are measured."""
    lr_factor: float = Field(0.5, gt=0, lt=1)
    """lower_lr: factor on the learning rate each time."""
    replay_step: float = Field(0.1, gt=0, lt=1)
    """raise_replay: what the share of replayed text rises by each time."""
    replay_max: float = Field(0.5, gt=0, lt=1)
    """raise_replay: the largest share."""


class Forgetting(Watch):
    """Measures the source's language before training and now and then; may change the stream's `replay`."""

    def __init__(self, run: Run, options: ForgettingOptions) -> None:
        super().__init__(run, options)
        if options.on_exceeded == "raise_replay" and run.beside.source is None:
            raise InputError(
                "pretrain.watchers.forgetting.on_exceeded = raise_replay needs text to replay", found="none"
            )
        self.every = options.every or max(1, run.setup.steps // TIMES)
        self.words = Words(run.beside.files["source_heldout"], options.words, "source")
        self.state = {"before": None, "lowest": None, "last": None, "rise": 0.0, "good_step": 0, "exceeded_at": None,
                      "lr_scale": 1.0}  # fmt: skip

    def begin(self, step: int) -> Answer | None:
        """Measure the model before training; a branch has its training's value."""
        if self.state["before"] is None:
            (value,) = self.words.measure(self.run).values()
            self.state.update(before=value, lowest=value, last=value)
        self.state["good_step"] = step
        return Answer(save=True) if self.options.on_exceeded == "stop" else None

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Measure where it is time, and act where the budget is exceeded."""
        if step % self.every and step != self.run.end:
            return None
        facts.update(self.words.measure(self.run))
        state, given = self.state, self.options
        value = state["last"] = found_in(facts, "source")
        rise = facts["forgetting"] = state["rise"] = value - state["lowest" if self.run.setup.new_head else "before"]
        state["lowest"] = min(state["lowest"], value)
        if rise <= given.max_forgetting:
            state["good_step"] = step
            return Answer(save=given.on_exceeded == "stop")
        state["exceeded_at"] = state["exceeded_at"] or step
        told = f"step {step}: the source's language costs {rise:.3f} bits per character more"
        if given.on_exceeded == "stop":
            return Answer(f"{told}; stopped, the weights of step {state['good_step']} are taken", action="stop")
        if given.on_exceeded == "lower_lr":
            state["lr_scale"] *= given.lr_factor
            return Answer(f"{told}; on at {state['lr_scale']:g} of the learning rate")
        stream: Any = self.run.setup.stream
        if stream.replay >= given.replay_max:
            return None
        stream.replay = min(given.replay_max, stream.replay + given.replay_step)
        most = ", the largest share" if stream.replay == given.replay_max else ""
        return Answer(f"{told}; on with {stream.replay:.0%} of replayed text{most}")

    @property
    def pins(self) -> set[int]:
        """The last one within the budget, where that would be exported."""
        return {self.state["good_step"]} if self.options.on_exceeded == "stop" else set()

    def export_step(self) -> int | None:
        """Return the last step within the budget, where the training stopped for it."""
        stopped = self.options.on_exceeded == "stop" and self.state["exceeded_at"] is not None
        return self.state["good_step"] if stopped else None

    def summary(self) -> dict[str, Any]:
        """Say what was forgotten at the last measurement, and when the budget was exceeded first."""
        keys = ("before", "last", "rise", "exceeded_at")
        return {"forgetting": {key: self.state[key] for key in keys}}


SPEC = Watcher(
    name="forgetting",
    summary="Keep what is forgotten of the source's language within a budget",
    paper="Chaudhry et al. 2018, Riemannian Walk (forgetting measure)",
    options=ForgettingOptions,
    watch=Forgetting,
    turn="judge",
    needs=("source_heldout",),
)
