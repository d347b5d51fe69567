"""Graft: a model with its new vocabulary, and how it came about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocab.mixture import Mixture
from vocab.transplant.report import markdown

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass
class Graft:
    """What `vocab.transplant` returns.

    Attributes:
        model: the model with the new vocabulary.
        tokenizer: the new tokenizer.
        mixture: how each new row was made.
        report: figures: rows copied, mixed, fallen back; overlap; norms; the ten weakest rows; seconds.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    mixture: Mixture
    report: dict[str, Any]

    def explain(self, token: str | int, k: int = 10) -> list[tuple[str, float]]:
        """Say what a new row is made of: (source token, weight), by weight. See `Mixture.explain`."""
        return self.mixture.explain(token, k)

    @property
    def markdown(self) -> str:
        """The report as Markdown."""
        return markdown(self.report)

    def save(self, folder: str | Path) -> Path:
        """Write a folder that loads with plain `from_pretrained`, the mixture and the report beside the model.

        Args:
            folder: made if missing.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.mixture.save(folder)
        text = json.dumps(self.report, ensure_ascii=False, indent=1)
        (folder / "transplant.json").write_text(text + "\n", encoding="utf-8")
        (folder / "transplant.md").write_text(self.markdown, encoding="utf-8")
        return folder
