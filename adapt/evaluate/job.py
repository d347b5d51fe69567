"""What one measurement is given, and how its folder is written so that a kill loses nothing that was finished.

A task writes `seed-N/` for each seed of its heads: scores.json, predictions.jsonl, and head.safetensors + head.json
where there is a head. A seed's folder is filled under another name and renamed; one that carries the fingerprint of
the same model, data and settings is taken as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[float, float, dict[str, Any]], None]


@dataclass
class Job:
    """One task on one arm.

    Attributes:
        arm: name of the arm (`source`, `keep`, `adapted`); for floors it is not used.
        task: name of the task.
        model: folder of the model; None for floors.
        tokenizer: folder of its tokenizer; None for floors.
        options: the task's own options (adapt.evaluate.task.TaskFiles or a subclass); None for language modelling.
        shared: adapt.config.Evaluate, or anything with its fields.
        heldout: text kept apart, for language modelling.
        out: `<run>/evaluate/<arm>/<task>`; for floors `<run>/evaluate/floors/<task>`, under which every floor writes
            `<floor>/seed-N/`.
        seed: the run's seed: draws subsets, a missing dev set and the held-out words, the same for every arm.
        threads: threads of the matrix products; None leaves them as they are.
        progress: called as `progress(done, total, facts)`.
    """

    arm: str
    task: str
    model: Path | None
    tokenizer: Path | None
    options: Any
    shared: Any
    heldout: Path | None
    out: Path
    seed: int = 0
    threads: int | None = None
    progress: Progress | None = None

    def tell(self, done: float, **facts: Any) -> None:
        """Report the share that is done, from 0 to 1."""
        if self.progress:
            self.progress(done, 1.0, facts)

    def folders(self) -> tuple[Path, Path]:
        """Model and tokenizer folder.

        Raises:
            ValueError: the job was made without a model.
        """
        if self.model is None:
            raise ValueError(f"the job {self.arm}/{self.task} has no model")
        return Path(self.model), Path(self.tokenizer or self.model)

    def set_threads(self) -> None:
        """Apply `threads` to torch."""
        if self.threads:
            import torch

            torch.set_num_threads(self.threads)


def is_done(folder: Path, fingerprint: str) -> bool:
    """Whether a seed's folder was finished with the same model, data and settings."""
    file = folder / "scores.json"
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("fingerprint") == fingerprint
    except (OSError, ValueError):
        return False


def write_json(file: Path, data: Any) -> None:
    """Write JSON with sorted keys, the same bytes for the same data."""
    file.write_text(json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_seed(
    folder: Path,
    scores: dict[str, Any],
    predictions: Iterable[dict[str, Any]] | None = None,
    fill: Callable[[Path], None] | None = None,
) -> None:
    """Write a seed's folder under a temporary name and rename it into place.

    Args:
        folder: `.../seed-N`.
        scores: what scores.json holds.
        predictions: one record a test item; None when there are none.
        fill: writes further files (the head) into the folder it is given.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if predictions is not None:
        with (partial / "predictions.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for record in predictions:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    if fill:
        fill(partial)
    write_json(partial / "scores.json", scores)
    for path in sorted(partial.rglob("*")):
        if path.is_file():
            with path.open("rb+") as handle:
                os.fsync(handle.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """Read the records of a seed's predictions.jsonl."""
    with (folder / "predictions.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
