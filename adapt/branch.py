"""A finished model of a run's training before its end: from a checkpoint that was kept, the rate falls to the floor.

With schedule `wsd` or `constant` a single long training so gives models of several lengths, each as good as one that
was planned to be that long (Hägele et al. 2024, section 3), for the cost of the falls alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from adapt import config as configuration
from adapt.events import Events
from adapt.files import read_json
from adapt.graph import PARTIAL, Context
from lexigraft import InputError


def branch(run: Path, arm: str, step: int, steps: int, console: Console | None = None) -> tuple[Path, dict[str, Any]]:
    """Let the rate fall from a checkpoint of a run; cut short, the same call goes on.

    Args:
        run: the run folder, finished or not.
        arm: which of its models.
        step: of the checkpoint (see the settings `pretrain.watchers.keep`).
        steps: how many the rate falls over.
        console: where progress is shown.

    Returns:
        Folder with model/, facts.json and log.jsonl; and the facts.

    Raises:
        InputError: no such checkpoint, or one where the rate is not at its peak.
    """
    from adapt.pipeline import prepare_libraries
    from adapt.pretrain.engine import Branch
    from adapt.pretrain.schedule import rate_share
    from adapt.stages.pretrain import train
    from adapt.stages.source import find

    if not (run / "run.yaml").is_file():
        raise InputError("not a run folder", file=run, found="no run.yaml")
    settings = configuration.load(run / "run.yaml")
    roots = [run / "pretrain" / arm / "checkpoints", run / PARTIAL / f"pretrain--{arm}" / "checkpoints"]
    root = next((root for root in roots if root.is_dir()), None)
    if root is None:
        raise InputError(f"this run kept no checkpoints of the arm {arm}", file=run,
                         expected="a run with pretrain.watchers.keep")  # fmt: skip
    options = settings.pretrain
    done = {"budget": read_json(run / "budget" / "done.json")}
    if options.schedule not in ("wsd", "constant"):
        raise InputError("only a training with a rate that stays can be ended from a checkpoint", file=run / "run.yaml",
                         found=f"pretrain.schedule = {options.schedule}", expected="wsd or constant")  # fmt: skip
    if rate_share(options, step - 1, done["budget"]["facts"]["steps"][arm]) < 1:
        raise InputError(f"the learning rate is not at its peak at step {step}", file=root,
                         expected="a step after the warm-up and before the fall")  # fmt: skip
    settings = settings.model_copy(update={"pretrain": options.model_copy(update={"schedule": "wsd"})})
    prepare_libraries(settings)
    folder = run / "branches" / f"{arm}-{step}-{steps}"
    context = Context(settings, run, find(settings.source), Events(folder / "events.jsonl", console), done)
    try:
        with context.events.progress(f"branch/{folder.name}") as report:
            return folder, train(context, arm, folder, report, Branch(root, step, steps))
    finally:
        context.events.close()
