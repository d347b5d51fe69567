"""Find what a folder offers: every module of a package that declares a `SPEC` is one method, metric, task or tuning.

A new one is one new file; nothing else needs an edit. `adapt` uses the same registry for its own rooms.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from lexigraft import InputError


class Spec(Protocol):
    """What every declaration has: the name users type."""

    @property
    def name(self) -> str:
        """The name users type; the module's name with `-` for `_`."""


S = TypeVar("S", bound=Spec)


class Registry(Generic[S]):
    """The `SPEC`s of a package's modules, by name, imported when first asked for.

    Args:
        package: dotted name of the package whose modules are looked at (`vocab.transplant`).
        kind: what one entry is called in messages (`method`).
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package, self.kind = package, kind

    @cached_property
    def _specs(self) -> dict[str, S]:
        specs: dict[str, S] = {}
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            found = getattr(importlib.import_module(f"{self.package}.{module.name}"), "SPEC", None)
            if found is None:
                continue
            if found.name.replace("-", "_") != module.name.rstrip("_"):
                raise TypeError(
                    f"{self.package}.{module.name} declares the {self.kind} {found.name!r}: names must agree"
                )
            specs[found.name] = found
        return dict(sorted(specs.items()))

    def __getitem__(self, name: str) -> S:
        """Return one entry.

        Raises:
            InputError: no such name; the nearest known one is suggested.
        """
        try:
            return self._specs[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._specs, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"unknown {self.kind} {name!r}{hint}", expected=f"one of {', '.join(self._specs)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[S]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self._specs)
