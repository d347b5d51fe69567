"""The loop over the steps: the log, the checkpoints, and what the watchers answer."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from adapt.pretrain import checkpoint as saved
from adapt.pretrain.step import Setup, train_step
from adapt.pretrain.watchers.watcher import Answer
from adapt.pretrain.watching import Watching, changed

Progress = Callable[[float, float, dict[str, Any]], None]


def loop(
    setup: Setup, watching: Watching, state: dict[str, Any], end: int, folder: Path, say: Progress, fresh: bool
) -> bool:
    """Train from `state["step"]` to the end, writing the log and the checkpoints.

    Args:
        setup: the model and all around it.
        watching: its watchers.
        state: where the training stands; changed.
        end: steps to come to.
        folder: gets log.jsonl and checkpoints/.
        say: told steps done, all steps, and facts.
        fresh: it does not go on from a checkpoint of its own.

    Returns:
        False when an earlier checkpoint was made the newest: everything must be set up anew and go on from there.
    """
    leads, root = setup.world.leads, folder / "checkpoints"
    log_file = folder / "log.jsonl" if leads else Path(os.devnull)
    _cut_log(log_file, state["step"])
    if fresh:
        _save(setup, watching, state, root, _heard(watching.begin(state["step"]), state, end, say))
    last_saved = last_said = time.monotonic()
    recent: list[float] = []
    newest: dict[str, Any] = {}  # of every fact, also of those that are not measured at each step
    with log_file.open("a", encoding="utf-8") as log:
        for step in range(state["step"], end):
            began = time.monotonic()
            facts = train_step(setup, step)
            took = time.monotonic() - began
            line = {"step": step + 1, **facts, "tokens_per_second": facts["tokens"] / took}
            state["step"], state["loss"] = step + 1, facts["loss"]
            state["tokens"] += facts["tokens"]
            state["step_seconds"] += took
            answers = watching.after(step + 1, line)
            state["seconds"] += time.monotonic() - began
            for name, answer in answers.items():
                if answer.action == "back":
                    say(answer.back_to, end, {"notice": answer.notice})
                    if leads:
                        saved.go_back(root, answer.back_to, partial(changed, name, answer, state["seconds"]))
                    return False
            now = time.monotonic()
            recent = [*recent[-49:], now - began]
            left = statistics.median(recent) * (end - step - 1)
            newest |= {**line, "seconds_left": left}
            log.write(json.dumps({**line, "seconds": state["seconds"], "seconds_left": left}) + "\n")
            log.flush()
            wanted = _heard(answers, state, end, say)
            stop = any(answer.action == "stop" for answer in answers.values())
            if now - last_said > 0.5 or step + 1 == end or step == 0 or stop:
                last_said = now
                say(step + 1, end, dict(newest))
            if stop:
                break
            due = wanted or now - last_saved >= setup.options.checkpoint_seconds
            if step + 1 < end and _save(setup, watching, state, root, due):
                last_saved = time.monotonic()
                state["seconds"] += last_saved - now
    return True


def _save(setup: Setup, watching: Watching, state: dict[str, Any], root: Path, due: bool) -> bool:
    """Write a checkpoint where rank 0 finds it due, and say whether; all bring their parts where tensors are cut."""
    world = setup.world
    if setup.shards is not None:
        due = world.totals([float(due and world.leads)])[0] > 0
    elif not world.leads:
        return False
    if due:
        made = checkpoint(setup, watching, state)
        if world.leads:
            saved.save(root, made)
    return due


def _heard(answers: dict[str, Answer], state: dict[str, Any], end: int, say: Progress) -> bool:
    """Pass on what the watchers have to say; True when one wants a checkpoint."""
    for answer in answers.values():
        if answer.notice:
            state["notices"] = [*state["notices"], answer.notice]
            say(state["step"], end, {"notice": answer.notice})
    return any(answer.save for answer in answers.values())


def checkpoint(setup: Setup, watching: Watching, state: dict[str, Any]) -> saved.Checkpoint:
    """Make what a run goes on from, whole; where tensors are cut, in rank 0, for which all processes must call this."""
    moments = {
        f"{name}.{key}": value
        for name, parameter in setup.trained.items()
        for key, value in setup.optimizer.state.get(parameter, {}).items()
    }
    weights = {name: parameter.data for name, parameter in setup.trained.items()}
    watchers, extra = watching.snapshot()
    state = {**state, "cursor": list(setup.stream.cursor), "watchers": watchers, "pins": watching.pins}
    if setup.shards is not None:
        from adapt.pretrain.sharding import whole

        leads = setup.world.leads
        weights, moments, extra = (
            {name: whole(tensor, leads) for name, tensor in each.items()} for each in (weights, moments, extra)
        )
    return saved.Checkpoint(weights, moments, state, extra=extra)


def take_weights(setup: Setup, watching: Watching, last: saved.Checkpoint) -> None:
    """Bring the weights, and those that watchers would export in their place, to what they were at a checkpoint."""
    import torch

    with torch.no_grad():
        for name, parameter in setup.trained.items():
            parameter.copy_(setup.placed(last.weights[name], parameter))
    watching.restore({}, last.extra)


def restore(setup: Setup, watching: Watching, last: saved.Checkpoint) -> None:
    """Bring the model, the optimiser, the stream and the watchers to where a checkpoint was written."""
    take_weights(setup, watching, last)
    for name, parameter in setup.trained.items():
        moments = {
            key: last.optimizer[f"{name}.{key}"]
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{name}.{key}" in last.optimizer
        }
        if moments:
            setup.optimizer.state[parameter] = {key: setup.placed(value, parameter) for key, value in moments.items()}
    setup.stream.seek(last.state["cursor"])
    watching.restore(last.state.get("watchers", {}), last.extra)


def _cut_log(path: Path, step: int) -> None:
    """Drop lines of steps that will be done again, and a last line that was cut off."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue
    path.write_text("".join(kept), encoding="utf-8")
