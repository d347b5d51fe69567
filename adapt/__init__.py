"""A package of Lexigraft. The pipeline: from raw text to an adapted, evaluated model.

import adapt
run = adapt.run("hau.yaml", overrides={"pretrain.steps": 2000})
run.scores            # a DataFrame: arm x task x seed, with intervals
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexigraft import refuse_foreign_packages

refuse_foreign_packages()

if TYPE_CHECKING:
    from adapt.pipeline import Run as Run
    from adapt.pipeline import run as run

__all__ = ["Run", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from adapt import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'adapt' has no attribute {name!r}")
