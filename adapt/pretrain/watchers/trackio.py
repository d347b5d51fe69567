"""Pass every number of every step to trackio, which shows it in a local web page or a space of the hub."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher, numbers
from vocab.options import Options


class TrackioOptions(Options):
    """Options of trackio."""

    project: str = "lexigraft"
    """Project that the training is shown under."""
    name: str | None = Field(None, min_length=1)
    """Name of the training; nothing means those of its folder and the one above."""


class Trackio(Watch):
    """Opens its run at the first step that it is told of; steps that are trained again after a kill are there twice."""

    def __init__(self, run: Run, options: TrackioOptions) -> None:
        super().__init__(run, options)
        self._run: Any = None

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Pass the step's numbers on."""
        if self._run is None:
            import trackio

            name = self.options.name or "-".join(self.run.folder.absolute().parts[-2:])
            self._run = trackio.init(project=self.options.project, name=name, resume="allow", auto_log_cpu=False)
        self._run.log(numbers(facts), step=step)
        return None

    def close(self) -> None:
        """Wait until everything is passed on."""
        if self._run is not None:
            self._run.finish()


SPEC = Watcher(
    name="trackio",
    summary="Pass every number to trackio",
    paper="",
    options=TrackioOptions,
    watch=Trackio,
    turn="tell",
    package="trackio",
)
