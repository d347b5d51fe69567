"""What a transplant method declares, and the registry that finds the methods of this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.options import Options
from vocab.registry import Registry
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from vocab.mixture import Mixture


@dataclass
class Problem:
    """All that a method may look at. A method never touches a model.

    Attributes:
        source: view of the old vocabulary.
        target: view of the new vocabulary.
        matrices: the checkpoint's matrices over the source vocabulary by role (`input`, and `output` where untied),
            numpy arrays or torch tensors (source vocabulary or more, dim); for methods that need rows (random).
        vectors: evidence about target tokens: `Evidence`, or an array (target vocabulary, k), zero rows where there
            is none; or None.
        source_vectors: the same for source tokens; or None.
        seed: seed of everything drawn.
        extra: dictionary, parallel text, helper and texts, for methods that declare them in `needs`.
        wanted: bool (target vocabulary,): rows that no earlier method of the chain filled; None means all. Others
            need not be made.
        notes: what a method wants the report to say.
    """

    source: Vocabulary
    target: Vocabulary
    matrices: dict[str, np.ndarray]
    vectors: Any = None
    source_vectors: Any = None
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    wanted: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    def todo(self, *, specials: bool = False) -> np.ndarray:
        """Ids of the rows to fill, increasing; specials and gaps only where asked for."""
        wanted = np.ones(len(self.target), bool) if self.wanted is None else self.wanted
        return np.flatnonzero(wanted if specials else wanted & (self.target.kind <= Kind.BYTE))

    def needed_matrices(self, method: str) -> dict[str, Any]:
        """Return the checkpoint's matrices, for a method that cannot do without.

        Raises:
            InputError: there are none.
        """
        if not self.matrices:
            raise InputError(f"{method} needs the source model's matrices", found="none", expected="a source model")
        return self.matrices

    def source_rows(self) -> np.ndarray:
        """Ids of the source rows that belong to a token."""
        return np.flatnonzero(self.source.kind != Kind.GAP)


@dataclass(frozen=True)
class Method:
    """One way to form new rows from old ones.

    Attributes:
        name: what users type.
        summary: one line.
        formula: how a row comes about, in Markdown; E_s and E_t are the old and new rows, O the shared tokens.
        paper: authors, year, section; empty when the method is ours.
        when: when to use it.
        when_not: when not to.
        options: its options model.
        rows: fills the rows it has evidence for and leaves the others empty.
        needs: what must be given: of `vectors`, `source_vectors`, `dictionary`, `parallel`, `helper`, `texts`.
        uses: what it looks at besides, where it is given.
        fallback: the published method's own fallback, as a chain; a bare name means `name -> fallback`.
        fallback_options: options of the fallback's methods as published, where they differ from the methods' own: by
            method, then by option; they take the place of options that are None.
        convex: rows have weights >= 0 that sum to 1.
        copies_overlap: shared tokens get exactly their old row.
        evidence: what the number says that a row carries as its evidence (`Mixture.evidence`).
        terms: of a blend: (weight, method) of each part.
    """

    name: str
    summary: str
    formula: str
    paper: str
    when: str
    when_not: str
    options: type[Options]
    rows: Callable[[Problem, Any], Mixture]
    needs: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    fallback: tuple[str, ...] = ()
    fallback_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    convex: bool = True
    copies_overlap: bool = True
    evidence: str = "1 for a copied row"
    terms: tuple[tuple[float, Method], ...] = ()


class _Methods(Registry[Method]):
    """The methods of this folder; asked for a blend of them, it makes one."""

    def __getitem__(self, name: str) -> Method:
        """Return a method, or the blend `0.7 focus + 0.3 subwords`.

        Raises:
            InputError: no such method; the nearest known one is suggested.
        """
        if "+" in name:
            from vocab.transplant.blend import blend_of

            return blend_of(name)
        return super().__getitem__(name)


METHODS = _Methods("vocab.transplant", "method")
