"""The stages of a run, one file each; `plan` puts them in order."""

from __future__ import annotations

from pathlib import Path

from adapt.config import HANDED_OUT, NEW_WORDS, RunConfig
from adapt.graph import Stage
from adapt.stages import budget, corpus, evaluate, model, pretrain, report, scratch, tokenizer, transplant


def plan(config: RunConfig, source: Path) -> list[Stage]:
    """List the stages a configuration asks for, each after those it reads.

    Args:
        config: the run.
        source: folder of the source model.
    """
    stages = [corpus.stage(config)]
    trained: list[str] = [arm for arm in config.arms if arm != "source"]
    if NEW_WORDS.intersection(trained):
        stages += [tokenizer.stage(config, source)]
    if "adapted" in trained:
        stages += [transplant.stage(config, source)]
    if "scratch" in trained:
        stages += [scratch.stage(config, source)]
    if trained:
        stages += [budget.stage(config, source, trained)]
        stages += [pretrain.stage(config, source, arm) for arm in trained]
    stages += evaluate.stages(config, source)
    stages += [report.stage(config, [stage.name for stage in stages])]
    if trained:
        stages += [model.stage(min(trained, key=HANDED_OUT.index))]
    return stages
