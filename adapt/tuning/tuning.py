"""What a tuning declares (which parameters are trained), and the registry that finds the tunings of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vocab.options import Options
from vocab.registry import Registry


@dataclass(frozen=True)
class Tuning:
    """One choice of what is trained.

    Attributes:
        name: what users type.
        summary: one line.
        paper: authors, year, section; empty when there is none.
        when: when to use it.
        when_not: when not to.
        options: its options model.
        prepare: `(model, options) -> model`: marks parameters as trainable, wraps where it must.
        finish: `(model) -> model`: gives back the plain model that is saved (adapters merged).
    """

    name: str
    summary: str
    paper: str
    when: str
    when_not: str
    options: type[Options]
    prepare: Callable[[Any, Any], Any]
    finish: Callable[[Any], Any]


TUNINGS: Registry[Tuning] = Registry("adapt.tuning", "tuning")
