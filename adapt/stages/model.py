"""Put the finished model where people look for it: `model/`, ready for `from_pretrained`, with its card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from adapt.events import Report
from adapt.files import link_tree
from adapt.graph import Context, Stage


def stage(arm: str) -> Stage:
    """Return the last stage of a run; `arm` is the one whose model is handed out."""

    def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
        link_tree(context.path(f"pretrain/{arm}") / "model", folder)
        mixture = context.path("transplant") / "model" / "mixture.safetensors"
        (folder / "README.md").unlink(missing_ok=True)  # never write through a hard link
        if arm == "adapted" and mixture.is_file():
            shutil.copy2(mixture, folder)
        shutil.copyfile(context.path("report") / "README.md", folder / "README.md")
        return {}

    return Stage("model", work, (f"pretrain/{arm}", "report"), {"arm": arm}, shared=False)
