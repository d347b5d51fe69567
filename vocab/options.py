"""The base of every options model: unknown keys are refused, and the nearest known key is named."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator


class Options(BaseModel):
    """A pydantic model that says `did you mean` when a key is misspelt."""

    model_config = ConfigDict(extra="forbid", validate_default=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key), cls.model_fields, 1, cutoff=0.5)
                    hint = f", did you mean {near[0]!r}?" if near else f", known keys: {', '.join(cls.model_fields)}"
                    raise ValueError(f"unknown key {key!r}{hint}")
        return data


def options_of(registry: Iterable[Any], title: str) -> Any:
    """Make a model with one field for each entry of a registry, typed by the entry's own options model."""
    fields: dict[str, Any] = {
        spec.name.replace("-", "_"): (spec.options, Field(default_factory=spec.options, description=spec.summary))
        for spec in registry
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Field name .* shadows")  # a method may be called like pydantic's old `copy`
        return create_model(title, __base__=Options, **fields)
