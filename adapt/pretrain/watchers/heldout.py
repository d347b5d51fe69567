"""Held-out text: the loss on one fixed batch, which is cheap, and bits per character of whole words, which compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from adapt.pretrain.bits import Words
from adapt.pretrain.watchers.watcher import Answer, Run, Watch, Watcher
from vocab.options import Options

ROWS, TIMES = 32, 8
# Nats a token above the lowest measurement. Rates that are too high for a body whose vocabulary is new make it forget
# what context is for: the loss rises to that of frequencies alone and stays there (docs/forecast.md).
LOST = 0.1


class HeldoutOptions(Options):
    """Options of measuring on held-out text."""

    every: int | None = Field(None, gt=0)
    """Steps between measurements; nothing means an eighth of all."""
    words: int = Field(60, ge=0)
    """Held-out words whose bits per character are measured (always the same ones, so that few show a change); 0 leaves
    them out, and early stop with them."""


class Heldout(Watch):
    """Notes `heldout_loss` and the bits per character now and then, and at the end."""

    def __init__(self, run: Run, options: HeldoutOptions) -> None:
        super().__init__(run, options)
        self.every = options.every or max(1, run.setup.steps // TIMES)
        self.words = Words(run.heldout, options.words, "heldout") if run.heldout and options.words else None
        self._batch = None if run.heldout is None else self._fixed(run, run.heldout)

    def _fixed(self, run: Run, text: Path) -> Any:
        """Make the batch, the same every time."""
        from adapt.pretrain.data import Blocks
        from adapt.pretrain.step import stream_of
        from adapt.pretrain.tokens import tokenise

        setup = run.setup
        tokens = tokenise(text, run.tokenizer, run.folder / "tokens" / "heldout", max_lines=ROWS * 40)
        stream = stream_of(tokens, setup.symbols, setup.options, 0)
        parts = [stream.take(4) for _ in range(ROWS // 4)]  # several, as lines of like length come together
        blocks = Blocks.joined(parts, setup.symbols.pad)
        return setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng([0, 4]))

    def after(self, step: int, facts: dict[str, Any]) -> Answer | None:
        """Measure, where it is time."""
        from adapt.pretrain.step import heldout_loss

        if self._batch is None or (step % self.every and step != self.run.end):
            return None
        with self.run.exported():
            loss = facts["heldout_loss"] = heldout_loss(self.run.setup, self._batch)
        if self.words is not None:
            facts.update(self.words.measure(self.run))
        lowest, at = min(self.state.get("lowest", [loss, step]), [loss, step])
        self.state = {key: value for key, value in facts.items() if key.startswith("heldout_")}
        self.state["lowest"] = [lowest, at]
        if step < self.run.end or loss < lowest + LOST:
            return None
        return Answer(
            f"the held-out loss was lowest at step {at} ({lowest:.2f} nats a token) and ended at {loss:.2f}: larger "
            "pretrain.batch_tokens, a longer pretrain.warmup (0.3) or a lower pretrain.lr may keep it, and "
            "pretrain.watchers.early_stop exports the best weights"
        )

    def summary(self) -> dict[str, Any]:
        """Return the last values."""
        return {"heldout_loss": None, **{key: value for key, value in self.state.items() if key != "lowest"}}


SPEC = Watcher(
    name="heldout",
    summary="Loss and bits per character on held-out text",
    paper="Kauf & Ivanova 2023 (bits of words under a masked model)",
    options=HeldoutOptions,
    watch=Heldout,
    turn="measure",
    always=True,
)
