"""Mixture: a vocabulary transplant as one sparse matrix, `E_target = W @ [E_source ; B @ E_source] + D`.

`W` has one row a new token over the source rows and a few named basis rows `B` (such as the mean of all rows). `D`
holds explicit rows for what is not linear in the source rows; those belong to one matrix of one checkpoint. A method
makes a mixture without touching a model; one place (here) applies it, in blocks and in any dtype.
"""

from __future__ import annotations

import difflib
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.matrix import basis_rows, fingerprint, like, product, put, take, top_directions

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from vocab.view import Vocabulary

FILE = "mixture.safetensors"
SPECIAL = "special"
_BLOCK = 4096


@dataclass(frozen=True)
class Side:
    """One vocabulary as a mixture remembers it.

    Attributes:
        fingerprint: `Vocabulary.fingerprint`.
        tokens: canonical forms by id, for `explain`.
    """

    fingerprint: str
    tokens: tuple[str, ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Side:
        """Remember a vocabulary."""
        known = _SIDES.get(vocabulary)
        if known is None:
            known = _SIDES[vocabulary] = cls(vocabulary.fingerprint, tuple(vocabulary.forms))
        return known


_SIDES: weakref.WeakKeyDictionary[Vocabulary, Side] = weakref.WeakKeyDictionary()


@dataclass
class Mixture:
    """New embedding rows as combinations of old ones.

    Attributes:
        source: the old vocabulary.
        target: the new vocabulary.
        weights: CSR float32, (target, source + basis). For explicit rows: the largest weights, for `explain` only.
        basis: CSR float32, (basis, source): what each basis row is made of.
        basis_names: names of the basis rows.
        names: method names; `names[0]` is "" (an empty row).
        method: uint8 (target,): which method filled a row, an index into `names`.
        copied: bool (target,): rows that are an old row unchanged.
        rescale: bool (target,): rows brought to the copied rows' median norm when applied to an embedding matrix.
        evidence: float32 (target,): how well supported a row is (for FOCUS, its best similarity); NaN where unknown.
        explicit_rows: int64 (explicit,): ids of the rows in `D`.
        explicit: `D` by matrix fingerprint, each float32 (explicit, dim).
        edits: rows written by hand, as they were given to `edit`.
        rank: new matrices are brought to this rank, in the source rows' own leading directions (OFA's factorisation);
            0 leaves them as they are.
        bias_shift: float32 (target,): added to a new output bias (see `vocab.transplant.prior`); or empty.
    """

    source: Side
    target: Side
    weights: csr_matrix
    basis: csr_matrix
    basis_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ("",)
    method: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    copied: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    rescale: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    evidence: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    explicit_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    explicit: dict[str, np.ndarray] = field(default_factory=dict)
    edits: dict[str, dict[str, float]] = field(default_factory=dict)
    rank: int = 0
    bias_shift: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    @classmethod
    def empty(cls, source: Vocabulary | Side, target: Vocabulary | Side) -> Mixture:
        """Return a mixture whose rows are all empty."""
        from scipy.sparse import csr_matrix

        source = source if isinstance(source, Side) else Side.of(source)
        target = target if isinstance(target, Side) else Side.of(target)
        n_target, n_source = len(target.tokens), len(source.tokens)
        return cls(
            source,
            target,
            csr_matrix((n_target, n_source), dtype=np.float32),
            csr_matrix((0, n_source), dtype=np.float32),
            method=np.zeros(n_target, np.uint8),
            copied=np.zeros(n_target, bool),
            rescale=np.zeros(n_target, bool),
            evidence=np.full(n_target, np.nan, np.float32),
        )

    @classmethod
    def build(
        cls,
        source: Vocabulary | Side,
        target: Vocabulary | Side,
        name: str,
        rows: np.ndarray,
        weights: csr_matrix | None = None,
        *,
        basis: csr_matrix | None = None,
        basis_names: tuple[str, ...] = (),
        copied: bool = False,
        rescale: bool = False,
        evidence: np.ndarray | None = None,
        explicit: dict[str, np.ndarray] | None = None,
    ) -> Mixture:
        """Return a mixture in which one method fills some rows.

        Args:
            source: the old vocabulary.
            target: the new vocabulary.
            name: the method's name.
            rows: ids of the rows it fills, increasing.
            weights: CSR (rows, source + basis); nothing for explicit rows without weights to show.
            basis: CSR (basis, source).
            basis_names: names of the basis rows.
            copied: the rows are old rows unchanged.
            rescale: restore the rows' norm when applied.
            evidence: how well each row is supported, (rows,).
            explicit: the rows' values by matrix fingerprint, each (rows, dim).
        """
        from scipy.sparse import csr_matrix

        mixture = cls.empty(source, target)
        n_target, n_source = mixture.weights.shape
        rows = np.asarray(rows, np.int64)
        if basis is not None:
            mixture.basis, mixture.basis_names = csr_matrix(basis, dtype=np.float32), basis_names
        width = n_source + mixture.basis.shape[0]
        if weights is None:
            weights = csr_matrix((len(rows), width), dtype=np.float32)
        lengths = np.zeros(n_target + 1, np.int64)
        lengths[rows + 1] = np.diff(weights.indptr)
        mixture.weights = csr_matrix(
            (weights.data.astype(np.float32), weights.indices, np.cumsum(lengths)), shape=(n_target, width)
        )
        mixture.names = ("", name)
        mixture.method[rows] = 1
        mixture.copied[rows] = copied
        mixture.rescale[rows] = rescale
        if evidence is not None:
            mixture.evidence[rows] = evidence
        if explicit is not None:
            mixture.explicit_rows, mixture.explicit = rows, {k: np.asarray(v, np.float32) for k, v in explicit.items()}
        return mixture

    def __len__(self) -> int:
        return len(self.method)

    @property
    def n_source(self) -> int:
        """Number of old rows."""
        return len(self.source.tokens)

    @property
    def filled(self) -> np.ndarray:
        """Bool (target,): rows that some method filled."""
        return self.method > 0

    def methods(self) -> dict[str, int]:
        """Count the rows of each method; empty rows under ""."""
        counts = np.bincount(self.method, minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names, counts, strict=True) if count}

    def then(self, other: Mixture) -> Mixture:
        """Return this mixture with its empty rows taken from another.

        Raises:
            InputError: the two are not over the same vocabularies, or hold explicit rows of different matrices.
        """
        from vocab.mixture_join import then

        return then(self, other)

    def edit(self, edits: Mapping[str, Mapping[str, float]] | str | Path) -> Mixture:
        """Return this mixture with some rows written by hand; they are kept in its file, whatever they replace.

        Args:
            edits: new token -> {old token: weight}, or a YAML file of it. The old rows are added up as weighted, and
                nothing is rescaled.

        Raises:
            InputError: a token that is not there (the nearest is named), a weight that is no finite number.
        """
        from vocab.mixture_join import edit

        return edit(self, edits)

    def apply(self, matrix: Any, *, only: np.ndarray | None = None, block: int = _BLOCK) -> Any:
        """Make the new matrix from an old one.

        Args:
            matrix: numpy array or torch tensor, (source or more rows, dim), of any float dtype. Rows past the source
                vocabulary (padding) are not looked at.
            only: ids of the target rows to make; nothing means all.
            block: target rows made at once.

        Returns:
            (target, dim), of the same kind, dtype and device.

        Raises:
            InputError: too few rows, or explicit rows that were made from another matrix.
        """
        self._check_rows(matrix)
        values = None
        if len(self.explicit_rows):
            values = self.explicit.get(fingerprint(matrix, self.n_source))
            if values is None:
                raise InputError(
                    "this mixture holds rows computed from one matrix of one checkpoint and was given another",
                    found=f"a matrix of {tuple(matrix.shape)}",
                    expected="the matrix it was made from, or a method that mixes source rows (focus, subwords, mean)",
                )
        norm = self.median_norm(matrix) if self.rescale.any() else 0.0
        basis = basis_rows(self.basis, matrix)
        directions = top_directions(matrix, self.n_source, self.rank) if self.rank else None
        ids = np.arange(len(self)) if only is None else only
        result = like(matrix, (len(ids), int(matrix.shape[1])))
        at = np.full(len(self), -1, np.int64)
        at[self.explicit_rows] = np.arange(len(self.explicit_rows))
        for start in range(0, len(ids), block):
            part = ids[start : start + block]
            # A slice of a sparse matrix is much faster than the same rows by number.
            rows = product(self.weights[part if only is not None else slice(start, start + block)], matrix, basis)
            explicit = at[part]
            if values is not None:
                rows[explicit >= 0] = values[explicit[explicit >= 0]]
            if directions is not None:
                rows = (rows @ directions @ directions.T).astype(rows.dtype)
            chosen = self.rescale[part]
            if chosen.any():
                length = np.linalg.norm(rows[chosen], axis=1, keepdims=True)
                rows[chosen] *= norm / np.where(length > 0, length, norm or 1.0)
            put(result, start, start + len(part), rows)
        return result

    def apply_bias(self, bias: Any) -> Any:
        """Make the new output bias from the old one: mixed, the mean for explicit rows, and `bias_shift` added.

        Args:
            bias: numpy array or torch tensor, (source or more,).

        Returns:
            (target,), of the same kind, dtype and device.
        """
        self._check_rows(bias)
        column = bias[:, None]
        result = like(column, (len(self), 1))
        rows = product(self.weights, column, basis_rows(self.basis, column))
        if len(self.explicit_rows):
            old = take(column, np.arange(self.n_source))
            rows[self.explicit_rows] = old.mean(dtype=np.float64)
        if len(self.bias_shift):
            rows += self.bias_shift[:, None]
        put(result, 0, len(self), rows)
        return result[:, 0]

    def median_norm(self, matrix: Any) -> float:
        """Median L2 norm of a matrix's own copied rows, special tokens apart; of all its rows where there are none."""
        special = self.names.index(SPECIAL) if SPECIAL in self.names else -1
        shared = self.copied & (self.method != special)
        ids = self.weights.indices[np.repeat(shared, np.diff(self.weights.indptr))]
        ids = np.arange(self.n_source) if not len(ids) else ids
        lengths = [np.linalg.norm(take(matrix, ids[i : i + _BLOCK]), axis=1) for i in range(0, len(ids), _BLOCK)]
        return float(np.median(np.concatenate(lengths)))

    def explain(self, token: str | int, k: int = 10) -> list[tuple[str, float]]:
        """Say what a new row is made of.

        Args:
            token: canonical form (`▁gida`) or id.
            k: how many sources at most.

        Returns:
            (source token or basis name, weight), by weight; empty for explicit rows without weights.

        Raises:
            InputError: no such token; the nearest one is named.
        """
        row = self.row_of(token)
        start, stop = self.weights.indptr[row], self.weights.indptr[row + 1]
        indices, data = self.weights.indices[start:stop], self.weights.data[start:stop]
        order = np.lexsort((indices, -np.abs(data)))[:k]
        names = self.source.tokens
        return [
            (names[i] if i < len(names) else self.basis_names[i - len(names)], float(w))
            for i, w in zip(indices[order].tolist(), data[order].tolist(), strict=True)
        ]

    def method_of(self, token: str | int) -> str:
        """Name of the method that filled a row."""
        return self.names[self.method[self.row_of(token)]]

    def row_of(self, token: str | int) -> int:
        """Id of a new token, by canonical form or id.

        Raises:
            InputError: no such token; the nearest one is named.
        """
        if isinstance(token, str):
            try:
                return self.target.tokens.index(token)
            except ValueError:
                near = difflib.get_close_matches(token, self.target.tokens, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"the target vocabulary has no token {token!r}{hint}") from None
        if not 0 <= token < len(self):
            raise InputError("no such row", found=token, expected=f"0 to {len(self) - 1}")
        return int(token)

    def check_sides(self, source: str | None = None, target: str | None = None) -> None:
        """Refuse other vocabularies than those the mixture was made for.

        Args:
            source: fingerprint of the old vocabulary.
            target: fingerprint of the new one.

        Raises:
            InputError: says which side differs.
        """
        for side, given, own in (("source", source, self.source), ("target", target, self.target)):
            if given is not None and given != own.fingerprint:
                raise InputError(
                    f"the mixture was made for another {side} vocabulary",
                    found=f"fingerprint {given[:12]}",
                    expected=f"{own.fingerprint[:12]} ({len(own.tokens)} tokens)",
                )

    def _check_rows(self, matrix: Any) -> None:
        if int(matrix.shape[0]) < self.n_source:
            raise InputError(
                "the matrix has fewer rows than the source vocabulary",
                found=f"{int(matrix.shape[0])} rows",
                expected=f"{self.n_source} or more",
            )

    def save(self, where: str | Path) -> Path:
        """Write the mixture (safetensors, no pickle) to a file, or as mixture.safetensors into a folder."""
        from vocab.mixture_file import write

        return write(self, Path(where))

    @classmethod
    def load(cls, where: str | Path, *, source: Vocabulary | None = None, target: Vocabulary | None = None) -> Mixture:
        """Read a mixture and check it against vocabularies.

        Args:
            where: the file, or the folder that holds mixture.safetensors.
            source: the old vocabulary it is to be used with.
            target: the new one.

        Raises:
            InputError: no such file, not a mixture, or made for other vocabularies.
        """
        from vocab.mixture_file import read

        mixture = read(Path(where))
        mixture.check_sides(
            None if source is None else source.fingerprint, None if target is None else target.fingerprint
        )
        return mixture
