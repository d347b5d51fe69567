"""Blends: `0.7 focus + 0.3 subwords`, several methods averaged row by row. Our own; part of the language of chains.

A row that only some of the methods fill is averaged over those, so weights are shares and need not sum to 1; a method
without a weight counts 1. Rows that all copy alike stay copies. A row is brought to the copied rows' norm where any of
the methods does so. The evidence is the average of theirs, which are on scales of their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

from lexigraft import InputError
from vocab.mixture import Mixture
from vocab.mixture_join import blend
from vocab.options import Options
from vocab.transplant.method import METHODS, Method

if TYPE_CHECKING:
    from vocab.transplant.method import Problem

_TERM = re.compile(r"(?:(?P<weight>\d*\.?\d+)(?:\s*\*\s*|\s+))?(?P<name>[A-Za-z][\w-]*)")


class BlendOptions(Options):
    """Options of the methods that are blended."""

    terms: dict[str, Any] = Field(default_factory=dict)
    """Options by method; defaults where missing."""


def terms_of(text: str) -> tuple[tuple[float, Method], ...]:
    """Read a blend.

    Args:
        text: `0.7 focus + 0.3 subwords`.

    Raises:
        InputError: a term that is no weight and method, an unknown method, or one that stands twice.
    """
    terms: list[tuple[float, Method]] = []
    for part in text.split("+"):
        found = _TERM.fullmatch(part.strip())
        weight = float(found["weight"] or 1) if found else 0.0
        if found is None or weight <= 0:
            raise InputError(
                "a term of the blend is not a weight above 0 and a method", found=repr(part.strip()),
                expected="such as 0.7 focus + 0.3 subwords",
            )  # fmt: skip
        method = METHODS[found["name"]]
        if any(method.name == other.name for _, other in terms):
            raise InputError("a method stands twice in the blend", found=repr(text))
        terms.append((weight, method))
    return tuple(terms)


def blend_of(text: str) -> Method:
    """Make the method that a blend is; as a link of a chain it is one like any other."""
    terms = terms_of(text)
    methods = [method for _, method in terms]

    def rows(problem: Problem, options: BlendOptions) -> Mixture:
        parts = [(w, m.rows(problem, options.terms.get(m.name) or m.options())) for w, m in terms]
        return blend(parts, name, problem.matrices)

    name = " + ".join(f"{weight:g} {method.name}" for weight, method in terms)
    return Method(
        name=name,
        summary=f"Rows averaged over {', '.join(m.name for m in methods)}.",
        formula=f"`E_t = {' + '.join(f'{weight:g} E_{m.name}' for weight, m in terms)}`",
        paper="; ".join(dict.fromkeys(m.paper for m in methods if m.paper)),
        when="Where two kinds of evidence see different things.",
        when_not="Before the blend was seen to beat its parts.",
        options=BlendOptions,
        rows=rows,
        needs=frozenset().union(*(m.needs for m in methods)),
        uses=frozenset().union(*(m.uses for m in methods)),
        fallback=("mean",),
        convex=all(m.convex for m in methods),
        copies_overlap=all(m.copies_overlap for m in methods),
        evidence="the average of the blended methods' evidence",
        terms=terms,
    )
