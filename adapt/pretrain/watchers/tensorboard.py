"""Write every number of every step for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher, numbers
from vocab.options import Options


class TensorboardOptions(Options):
    """Options of TensorBoard."""

    folder: Path | None = None
    """Where the event files go; nothing means tensorboard/ beside the training's log."""


class Tensorboard(Watch):
    """Opens its file at the first step that it is told of: what was there of later steps is then hidden."""

    def __init__(self, run: Run, options: TensorboardOptions) -> None:
        super().__init__(run, options)
        self._writer: Any = None

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Write the step's numbers."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            folder = self.options.folder or self.run.folder / "tensorboard"
            self._writer = SummaryWriter(str(folder), purge_step=step)
        for key, value in numbers(facts).items():
            self._writer.add_scalar(key, value, step)
        return None

    def flush(self) -> None:
        """Write out what is held back."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


SPEC = Watcher(
    name="tensorboard",
    summary="Write every number for TensorBoard",
    paper="",
    options=TensorboardOptions,
    watch=Tensorboard,
    turn="tell",
    package="tensorboard",
)
