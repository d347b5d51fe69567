"""What a watcher declares, what it is given and may answer, and the registry that finds the watchers of this folder.

A watcher is told every finished step. It may note facts for the step's line in the log, and answer with a notice, a
wish for a checkpoint, or an end of the training. What it remembers is kept in the checkpoints, so that a run that was
killed goes on as if it had not been: it must depend on the steps alone, never on the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, model_validator

from lexigraft import InputError
from vocab.options import Options
from vocab.registry import Registry

if TYPE_CHECKING:
    from adapt.pretrain.step import Setup
    from adapt.pretrain.texts import Beside

# The order in which watchers are told of a step: whether it may count at all, then what changes weights, measures,
# judges by what was measured, and passes it all on.
TURNS = ("guard", "weights", "measure", "judge", "tell")


@dataclass(frozen=True)
class Answer:
    """What a watcher wants after a step.

    Attributes:
        notice: a sentence for people, kept in the run's facts.
        save: write a checkpoint of this step, whatever the clock says.
        action: `on`; `stop`: end the training well, here; `back`: go on from the checkpoint of step `back_to`.
        back_to: see `action`.
        change: what the watcher remembers after going back: laid over its state in that checkpoint.
    """

    notice: str = ""
    save: bool = False
    action: Literal["on", "stop", "back"] = "on"
    back_to: int = 0
    change: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """The training that a watcher looks at.

    Attributes:
        setup: model, optimiser, stream, options; a watcher changes nothing of it but what its docstring says.
        tokenizer: the model's fast tokenizer.
        heldout: held-out text of the language, or None.
        beside: the other texts.
        folder: the training's folder.
        end: the step it ends after.
        characters_per_token: of the training text.
        exported: a context in which the model has the weights that would be exported.
    """

    setup: Setup
    tokenizer: Any
    heldout: Path | None
    beside: Beside
    folder: Path
    end: int
    characters_per_token: float
    exported: Callable[[], Any]


class Watch:
    """One watcher at work in one training; its file overrides what it needs.

    Attributes:
        state: what it remembers as JSON. `lr_scale` in it is a factor on the learning rate.
        tensors: what it remembers as tensors, by name.
    """

    def __init__(self, run: Run, options: Any) -> None:
        self.run, self.options = run, options
        self.state: dict[str, Any] = {}
        self.tensors: dict[str, Any] = {}

    def begin(self, step: int) -> Answer | None:
        """Look at the model before the first step: 0, or where a branch leaves its training, with that one's state."""

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Look at a finished step.

        Args:
            step: steps done, from 1.
            facts: the step's line in the log; what is put there, those that are told later see too.

        Raises:
            InputError: the training cannot go on.
        """

    @property
    def pins(self) -> set[int]:
        """Steps whose checkpoints must stay."""
        return set()

    def weights(self) -> dict[str, Any] | None:
        """Tensors that are exported in place of the trained ones, by name; None: those that were trained."""
        return None

    def export_step(self) -> int | None:
        """Step whose weights are exported; None: the last."""
        return None

    def summary(self) -> dict[str, Any]:
        """Return facts about the whole training."""
        return {}

    def flush(self) -> None:
        """Write out what is held back: a checkpoint is about to be written."""

    def close(self) -> None:
        """Let go of what was opened: the training is over."""


@dataclass(frozen=True)
class Watcher:
    """One kind of watcher.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year, section; empty when there is none.
        options: its options model.
        watch: makes the watcher of one training.
        turn: when it is told of a step, one of TURNS.
        always: it is there without being asked for.
        in_branch: it also watches while a checkpoint is decayed to a finished model.
        needs: texts it cannot do without: `heldout`, `source_heldout`.
        package: what it imports, as `pip install` names it; empty when it is always there.
        check: raises ValueError where the options of all watchers do not go with this one.
    """

    name: str
    summary: str
    paper: str
    options: type[Options]
    watch: Callable[[Run, Any], Watch]
    turn: Literal["guard", "weights", "measure", "judge", "tell"]
    always: bool = False
    in_branch: bool = True
    needs: tuple[str, ...] = ()
    package: str = ""
    check: Callable[[Any], None] | None = None


WATCHERS: Registry[Watcher] = Registry("adapt.pretrain.watchers", "watcher")


def watcher_options() -> Any:
    """Make the model of the options of all watchers; one that is not always there is off while its field is null."""
    fields: dict[str, Any] = {}
    for spec in WATCHERS:
        kind: Any = spec.options if spec.always else spec.options | None
        default = {"default_factory": spec.options} if spec.always else {"default": None}
        fields[spec.name.replace("-", "_")] = (kind, Field(description=spec.summary, **default))

    def check(given: Any) -> Any:
        for spec, _ in chosen(given):
            if spec.check:
                spec.check(given)
        return given

    validators: dict[str, Any] = {"check": model_validator(mode="after")(check)}
    return create_model("WatcherOptions", __base__=Options, __validators__=validators, **fields)


def chosen(options: Any) -> list[tuple[Watcher, Any]]:
    """Watchers that are on with their options, in the order in which they are told.

    Args:
        options: the `watchers` part of the settings.
    """
    on = [(spec, getattr(options, spec.name.replace("-", "_"))) for spec in WATCHERS]
    return sorted(((spec, given) for spec, given in on if given is not None), key=lambda e: TURNS.index(e[0].turn))


def refuse(options: Any, texts: dict[str, Any]) -> None:
    """Refuse, before time is spent, watchers that lack a text or a package.

    Args:
        options: the `watchers` part of the settings.
        texts: what there is of `heldout` and `source_heldout`; None or missing where there is none.

    Raises:
        InputError: says which watcher lacks what.
    """
    for spec, _ in chosen(options):
        for name in spec.needs:
            if texts.get(name) is None:
                what = {"heldout": "held-out text", "source_heldout": "held-out text of the source's language"}[name]
                raise InputError(f"pretrain.watchers.{spec.name}: {spec.summary[:1].lower()}{spec.summary[1:]}",
                                 found=f"no {what}", expected=what)  # fmt: skip
        if spec.package and find_spec(spec.package) is None:
            raise InputError(f"pretrain.watchers.{spec.name} needs a package that is not installed",
                             expected=f"pip install {spec.package}")  # fmt: skip


def numbers(facts: dict[str, Any]) -> dict[str, float]:
    """Pick what can be drawn as a curve, for watchers that pass it on."""
    return {k: v for k, v in facts.items() if isinstance(v, int | float) and not isinstance(v, bool) and k != "step"}
