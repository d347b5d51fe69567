"""What the machine gives: characters a second, memory, and the share of its matrix throughput that is reached."""

from __future__ import annotations

from typing import Any

from adapt.pretrain.throughput import Throughput
from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher
from vocab.options import Options


class MachineOptions(Options):
    """Options of watching the machine: none."""


class Machine(Watch):
    """Notes speed, memory, and the share of the machine's matrix throughput (`throughput_share`) of each step."""

    def __init__(self, run: Run, options: MachineOptions) -> None:
        import psutil

        super().__init__(run, options)
        self._process = psutil.Process()
        self._throughput: Throughput | None = None

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Note them."""
        import torch

        facts["characters_per_second"] = facts["tokens_per_second"] * self.run.characters_per_token
        size = self.run.setup.world.size
        tokens, predicted = facts["tokens"] // size, facts["predicted"] // size
        if self._throughput is None:  # measured beside the first step, whose shapes it has
            self._throughput = Throughput.measure(self.run.setup, tokens, predicted)
        seconds = facts["tokens"] / facts["tokens_per_second"]
        facts["throughput_share"] = self._throughput.share(tokens, predicted, seconds)
        facts["memory_bytes"] = self._process.memory_info().rss
        if torch.cuda.is_available():
            facts["gpu_peak_bytes"] = torch.cuda.max_memory_allocated()
        return None


SPEC = Watcher(
    name="machine",
    summary="Characters a second, memory and share of the matrix throughput of each step",
    paper="",
    options=MachineOptions,
    watch=Machine,
    turn="measure",
    always=True,
)
