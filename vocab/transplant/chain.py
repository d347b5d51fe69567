"""Chains of methods: each fills the rows it has evidence for, the next one the rows still empty.

A link is a method or a blend of some: `0.7 focus + 0.3 subwords -> mean`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant import AUTO
from vocab.transplant.method import METHODS, Problem
from vocab.transplant.specials import specials

DEFAULT = ("focus", "subwords", "mean")
"""What `method=None` means: focus on counts and characters, the norm restored, then old pieces, then the mean."""


def parse(method: str | None) -> tuple[str, ...]:
    """Read a method or a chain.

    Args:
        method: `focus` (with the published method's own fallback), `focus -> subwords -> mean` (as written; a link may
            be a blend, `0.7 focus + 0.3 subwords`), or None (the default chain).

    Returns:
        The links' names, each one of `METHODS`.

    Raises:
        InputError: unknown method, or an empty link.
    """
    if method is None:
        return DEFAULT
    if not isinstance(method, str):
        raise InputError("a method is a name or a chain of names", found=repr(method), expected="such as focus -> mean")
    links = tuple(link.strip() for link in method.replace("→", "->").split("->"))
    if not all(links):
        raise InputError(
            "a link of the chain is empty", found=repr(method), expected="such as focus -> subwords -> mean"
        )
    if AUTO in links:
        raise InputError(f"{AUTO} chooses among whole chains and is no part of one", found=repr(method))
    specs = [METHODS[link] for link in links]
    links = tuple(spec.name for spec in specs)
    if len(specs) == 1:
        return (links[0], *specs[0].fallback)
    if len(set(links)) < len(links):
        raise InputError("a method stands twice in the chain", found=repr(method))
    return links


def options_of(
    links: tuple[str, ...], given: dict[str, Any] | Any, *, default: bool, strict: bool = False
) -> dict[str, Options]:
    """Make the options of each link.

    Args:
        links: the chain.
        given: options by method name, each its options model or a mapping; or a model with one field a method. Those
            of `auto` are not looked at.
        default: whether the chain is the default chain.
        strict: refuse a mapping that holds options of other methods.

    Raises:
        InputError: options of a method that does not exist, or that it does not know.
    """
    from pydantic import BaseModel, ValidationError

    if isinstance(given, BaseModel):
        strict = False  # it holds those of every method
        given = {name: getattr(given, name) for name in type(given).model_fields}
    if not isinstance(given, Mapping | None):
        raise InputError("options are a mapping", found=repr(given), expected="method: its options")
    given = {str(name).rstrip("_").replace("_", "-"): value for name, value in (given or {}).items()}
    for name in given:
        if name != AUTO:
            METHODS[name]
    asked = {name for link in links for name in (link, *(part.name for _, part in METHODS[link].terms))}
    if strict and (unused := sorted(given.keys() - asked)):
        raise InputError("options of what is not asked for", found=", ".join(unused), expected=" -> ".join(links))
    result: dict[str, Options] = {}
    for link in links:
        method = METHODS[link]
        if method.terms:
            parts = options_of(tuple(part.name for _, part in method.terms), given, default=False)
            result[link] = method.options.model_validate({"terms": parts})
            continue
        model, value = method.options, given.get(link, {})
        try:
            result[link] = value if isinstance(value, model) else model.model_validate(value)
        except ValidationError as error:
            raise InputError(f"options of {link}: {error.errors()[0]['msg']}", found=repr(value)) from None
        published = METHODS[links[0]].fallback_options.get(link, {})
        left = {name: choice for name, choice in published.items() if getattr(result[link], name) is None}
        result[link] = result[link].model_copy(update=left)
    if default and "focus" in result and getattr(result["focus"], "restore_norm", None) is None:
        result["focus"] = result["focus"].model_copy(update={"restore_norm": True})
    return result


def run(problem: Problem, links: tuple[str, ...], options: dict[str, Options] | None = None) -> Mixture:
    """Fill all rows, or all that the problem asks for: specials by role, then link by link, then with the mean.

    Args:
        problem: what the methods may look at.
        links: names of methods.
        options: by name; defaults where missing.

    Returns:
        A mixture without empty rows among those.

    Raises:
        InputError: a method needs what was not given.
    """
    options = options or {}
    mixture = specials(problem.source, problem.target)
    asked = np.ones(len(mixture), bool) if problem.wanted is None else problem.wanted
    for link in links:
        wanted = asked & ~mixture.filled
        if not wanted.any():
            # A rank is one of the whole matrix, whoever fills its rows.
            mixture.rank = mixture.rank or getattr(options.get(link), "rank", None) or 0
            continue
        method = METHODS[link]
        require(method.name, method.needs, problem)
        part = replace(problem, wanted=wanted)
        mixture = mixture.then(method.rows(part, options.get(link) or method.options()))
    if not mixture.filled[asked].all():
        left = replace(problem, wanted=asked & ~mixture.filled)
        if np.any(left.todo()):
            problem.notes.append(f"{len(left.todo())} rows that no method of the chain filled took the mean")
        mean = METHODS["mean"]
        mixture = mixture.then(mean.rows(left, mean.options()))
    return mixture


def unused(links: tuple[str, ...], given: Mapping[str, Any]) -> list[str]:
    """Name what was given and no link looks at: by name, None where it was not given."""
    looked = frozenset().union(*(METHODS[link].needs | METHODS[link].uses for link in links))
    return [name for name, value in given.items() if value is not None and name not in looked]


def require(name: str, needs: frozenset[str], problem: Problem) -> None:
    """Refuse a method whose needs are not met.

    Raises:
        InputError: names what is missing.
    """
    have = {
        "vectors": problem.vectors is not None,
        "source_vectors": problem.source_vectors is not None,
    }
    missing = sorted(n for n in needs if not have.get(n, problem.extra.get(n) is not None))
    if missing:
        raise InputError(f"{name} needs {' and '.join(missing)}", found="nothing given", expected=f"{missing[0]}=...")
