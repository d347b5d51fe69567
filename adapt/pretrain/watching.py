"""All watchers of one training, as the loop sees them: told in turn, remembered together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapt.pretrain.step import Setup
from adapt.pretrain.texts import Beside
from adapt.pretrain.watchers.watcher import Answer, Run, Watch, chosen


class Watching:
    """The watchers that a training asks for.

    Args:
        setup: the model and all around it.
        tokenizer: its fast tokenizer.
        heldout: held-out text of the language, or None.
        beside: the other texts.
        folder: the training's folder.
        end: the step it ends after.
        characters_per_token: of the training text.
        branch: whether this is a checkpoint that is decayed to a finished model.
    """

    def __init__(
        self,
        setup: Setup,
        tokenizer: Any,
        heldout: Path | None,
        beside: Beside,
        folder: Path,
        end: int,
        characters_per_token: float,
        branch: bool,
    ) -> None:
        run = Run(setup, tokenizer, heldout, beside, folder, end, characters_per_token, self.exported)
        self.setup = setup
        self.watches: dict[str, Watch] = {
            spec.name: spec.watch(run, options)
            for spec, options in chosen(setup.options.watchers)
            if (spec.in_branch or not branch) and (spec.turn != "tell" or setup.world.leads)
        }

    def begin(self, step: int) -> dict[str, Answer]:
        """Let the watchers look before the first step; their answers by name."""
        return {name: answer for name, watch in self.watches.items() if (answer := watch.begin(step))}

    def after(self, step: int, facts: dict[str, Any]) -> dict[str, Answer]:
        """Tell the watchers of a finished step, in turn, until one wants to go back.

        Args:
            step: steps done.
            facts: the step's line in the log, added to.
        """
        answers = {}
        for name, watch in self.watches.items():
            answer = watch.after(step, facts)
            if answer:
                answers[name] = answer
                if answer.action == "back":
                    break
        self._rate()
        return answers

    def _rate(self) -> None:
        self.setup.lr_scale = 1.0
        for watch in self.watches.values():
            self.setup.lr_scale *= watch.state.get("lr_scale", 1.0)

    @contextmanager
    def exported(self) -> Iterator[None]:
        """Give the model the weights that would be exported, for a while; the trained ones come back untouched."""
        import torch

        swapped = [(self.setup.trained[name], tensor) for watch in self.watches.values()
                   for name, tensor in (watch.weights() or {}).items()]  # fmt: skip
        cut = self.setup.shards is not None  # parts stay in the memory that they are gathered from
        kept = [parameter.detach().clone() if cut else parameter.data for parameter, _ in swapped]

        @torch.no_grad()
        def put(tensors: list[Any]) -> None:
            for (parameter, _), tensor in zip(swapped, tensors, strict=True):
                if cut:
                    parameter.copy_(tensor)
                else:
                    parameter.data = tensor

        put([tensor for _, tensor in swapped])
        try:
            yield
        finally:
            put(kept)

    @property
    def export_step(self) -> int | None:
        """Step whose weights are exported: the earliest that any watcher names; None: the last."""
        named = [step for watch in self.watches.values() if (step := watch.export_step()) is not None]
        return min(named, default=None)

    @property
    def pins(self) -> list[int]:
        """Steps whose checkpoints must stay."""
        return sorted(set().union(*(watch.pins for watch in self.watches.values())))

    def snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what they remember: JSON by watcher, tensors by `<watcher>.<name>`."""
        for watch in self.watches.values():
            watch.flush()
        tensors = {f"{name}.{key}": tensor for name, watch in self.watches.items()
                   for key, tensor in watch.tensors.items()}  # fmt: skip
        return {name: watch.state for name, watch in self.watches.items()}, tensors

    def restore(self, states: dict[str, Any], tensors: dict[str, Any]) -> None:
        """Take back what `snapshot` gave; a watcher that it does not know begins afresh."""
        for name, watch in self.watches.items():
            watch.state = {**watch.state, **states.get(name, {})}
            first = f"{name}."
            mine = {k.removeprefix(first): t for k, t in tensors.items() if k.startswith(first)}
            watch.tensors = {
                key: self.setup.placed(tensor, self.setup.trained.get(key, tensor)) for key, tensor in mine.items()
            }
        self._rate()

    def summary(self) -> dict[str, Any]:
        """Facts about the whole training."""
        return {key: value for watch in self.watches.values() for key, value in watch.summary().items()}

    def close(self) -> None:
        """Let the watchers go."""
        for watch in self.watches.values():
            watch.close()


def changed(name: str, answer: Answer, seconds: float, state: dict[str, Any]) -> dict[str, Any]:
    """Lay what a watcher wants remembered over the state of the checkpoint that is gone back to.

    Args:
        name: the watcher.
        answer: its answer.
        seconds: spent so far; what was trained in vain counts.
        state: the checkpoint's state.
    """
    watchers = {**state["watchers"], name: {**state["watchers"].get(name, {}), **answer.change}}
    return {**state, "watchers": watchers, "seconds": seconds, "notices": [*state["notices"], answer.notice]}
