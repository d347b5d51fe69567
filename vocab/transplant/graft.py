"""Graft: a model with its new vocabulary, and how it came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocab.device import computing_on, here
from vocab.transplant.explain import Explanation, explain
from vocab.transplant.page import html, markdown

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from vocab.mixture import Mixture
    from vocab.transplant.setting import Setting


class Graft:
    """What `vocab.transplant` returns.

    Args:
        setting: what the transplant started from; its carrier already has the new rows.
        mixture: how each new row was made.
        report: figures: rows copied, mixed, fallen back; overlap; norms; the ten weakest rows; seconds.

    Attributes:
        mixture: as given.
        report: as given.
    """

    def __init__(self, setting: Setting, mixture: Mixture, report: dict[str, Any]) -> None:
        self._setting, self.mixture, self.report = setting, mixture, report
        self._model: PreTrainedModel | None = setting.carrier.model if setting.carrier.whole else None
        self._place = here()

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The new tokenizer."""
        return self._setting.tokenizer

    @property
    def model(self) -> PreTrainedModel:
        """The model with the new vocabulary; its body is loaded when it is first asked for."""
        if self._model is None:
            from vocab.transplant.apply import put_on

            setting = self._setting
            self._model = setting.carrier.fresh()
            with computing_on(self._place):  # where the rows that are saved without a body were made
                put_on(self._model, self.mixture, setting.old, setting.new)
        return self._model

    def explain(self, token: str | int, k: int = 10) -> Explanation:
        """Say what a new row is made of: pairs of source token and weight, by weight, and what `print` shows."""
        return explain(self.mixture, token, k, self._setting.frequency)

    @property
    def markdown(self) -> str:
        """The report as Markdown."""
        return markdown(self.report)

    @property
    def html(self) -> str:
        """The report as one HTML page that needs nothing from elsewhere."""
        return html(self.report)

    def save(self, folder: str | Path) -> Path:
        """Write a folder that loads with plain `from_pretrained`, the mixture and the report beside the model.

        A body that was never asked for is copied from the source's files without being loaded.

        Args:
            folder: made if missing.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._setting.carrier.save(folder, self._model)
        self.tokenizer.save_pretrained(folder)
        self.mixture.save(folder)
        text = json.dumps(self.report, ensure_ascii=False, indent=1)
        (folder / "transplant.json").write_text(text + "\n", encoding="utf-8")
        (folder / "transplant.md").write_text(self.markdown, encoding="utf-8")
        (folder / "transplant.html").write_text(self.html, encoding="utf-8")
        return folder
