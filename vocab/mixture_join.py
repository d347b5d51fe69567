"""Mixtures made of mixtures: one filled up from another, several blended, rows edited by hand."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.matrix import fingerprint, only, stack, take
from vocab.mixture import Mixture

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

EDIT = "edit"
Edits = Mapping[str, Mapping[str, float]]


def then(first: Mixture, second: Mixture) -> Mixture:
    """Return a mixture with its empty rows taken from another; see `Mixture.then`."""
    second.check_sides(first.source.fingerprint, first.target.fingerprint)
    added = ~first.filled & second.filled
    weights = _beside([first, replace(second, weights=only(second.weights, added))])
    names, codes = _names([first, second])
    result = replace(
        first,
        weights=weights[0] + weights[1],
        names=names,
        method=np.where(added, codes[1][second.method], first.method),
        copied=np.where(added, second.copied, first.copied),
        rescale=np.where(added, second.rescale, first.rescale),
        evidence=np.where(added, second.evidence, first.evidence),
        edits={**second.edits, **first.edits},
        rank=first.rank or second.rank,
        **_bases([first, second]),
    )
    use = added[second.explicit_rows]
    if use.any():
        if len(first.explicit_rows) and set(first.explicit) != set(second.explicit):
            raise InputError("two methods of a chain computed explicit rows from different matrices")
        rows = np.concatenate([first.explicit_rows, second.explicit_rows[use]])
        order = np.argsort(rows)
        result.explicit_rows = rows[order]
        result.explicit = {
            key: np.concatenate([first.explicit.get(key, value[:0]), value[use]])[order]
            for key, value in second.explicit.items()
        }
    return _fold_basis(result)


def blend(parts: Sequence[tuple[float, Mixture]], name: str, matrices: Mapping[str, Any]) -> Mixture:
    """Average mixtures row by row; a row that only some of them fill is averaged over those.

    A row is copied where all that fill it copy the same old row, and is rescaled where any of them rescales it. Where
    one of them has an explicit row, the average is explicit too. The evidence is the average of what is known.

    Args:
        parts: (weight > 0, mixture) over the same vocabularies.
        name: what rows that more than one of them made are called.
        matrices: the checkpoint's matrices by role, for explicit rows.

    Raises:
        InputError: explicit rows of other matrices than these.
    """
    mixtures = [mixture for _, mixture in parts]
    first = mixtures[0]
    for mixture in mixtures[1:]:
        mixture.check_sides(first.source.fingerprint, first.target.fingerprint)
    filled = np.stack([mixture.filled for mixture in mixtures])
    share = filled * np.array([weight for weight, _ in parts])[:, None]
    share = share / np.maximum(share.sum(axis=0), np.finfo(float).tiny)
    number = filled.sum(axis=0)
    weights = sum(_scaled(w, s) for w, s in zip(_beside(mixtures), share, strict=True))
    weights.sum_duplicates()
    same = (
        (np.stack([m.copied for m in mixtures]) | ~filled).all(axis=0) & (number > 0) & (np.diff(weights.indptr) == 1)
    )
    weights.data[np.repeat(same, np.diff(weights.indptr))] = 1  # 0.7 + 0.3 need not be 1 in float32
    # Rows that all made come before those that only some did: a report takes later names for weaker.
    names, codes = _names([replace(first, names=("", name)), *mixtures])
    codes = codes[1:]
    method = np.zeros(len(first), np.uint8)
    for mixture, code, mine in reversed(list(zip(mixtures, codes, filled, strict=True))):
        method = np.where(mine, code[mixture.method], method).astype(np.uint8)
    method[(number > 1) & ~same] = names.index(name)
    known = np.stack([~np.isnan(m.evidence) for m in mixtures]) & filled
    told = np.where(known, share, 0)
    evidence = sum(t * np.nan_to_num(m.evidence) for t, m in zip(told, mixtures, strict=True))
    result = replace(
        first,
        weights=weights,
        names=names,
        method=method,
        copied=same,
        rescale=np.any([m.rescale & mine for m, mine in zip(mixtures, filled, strict=True)], axis=0) & ~same,
        evidence=np.where(known.any(axis=0), evidence / np.maximum(told.sum(axis=0), 1e-12), np.nan).astype(np.float32),
        explicit_rows=np.unique(np.concatenate([m.explicit_rows for m in mixtures])),
        explicit={},
        rank=max(m.rank for m in mixtures),
        **_bases(mixtures),
    )
    if len(result.explicit_rows):
        rows = result.explicit_rows
        for matrix in matrices.values():
            value = sum(
                s[rows, None] * take(replace(m, rescale=np.zeros(len(m), bool)).apply(matrix, only=rows), slice(None))
                for s, m in zip(share, mixtures, strict=True)
            )
            result.explicit[fingerprint(matrix, result.n_source)] = np.asarray(value, np.float32)
    return _fold_basis(result)


def read_edits(given: Edits | str | Path) -> dict[str, dict[str, float]]:
    """Take edits as users give them.

    Args:
        given: new token -> {old token: weight}, or a YAML file that says the same.

    Raises:
        InputError: no such file, or something else in it; names the token.
    """
    path = None
    table: Any = given
    if isinstance(given, str | Path):
        path = Path(given)
        table = _yaml(path)
    expected = "new token: {old token: weight, ...}"
    if not isinstance(table, Mapping):
        raise InputError("edits are a mapping", file=path, found=type(table).__name__, expected=expected)
    result: dict[str, dict[str, float]] = {}
    for token, row in table.items():
        for name in [token, *(row if isinstance(row, Mapping) else ())]:
            if not isinstance(name, str):
                raise InputError(
                    "a token of an edit is no text: YAML reads yes, on, null and numbers as something else", file=path,
                    found=repr(name), expected="it between quotes, such as '7': {'yes': 1.0}",
                )  # fmt: skip
        if not isinstance(row, Mapping) or not row:
            raise InputError(
                f"the edit of {token!r} names no old tokens", file=path, found=repr(row), expected=expected
            )
        result[token] = {}
        for old, weight in row.items():
            try:
                number = math.nan if isinstance(weight, bool) else float(weight)  # 5e-1 is text to YAML
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                raise InputError(
                    f"the edit of {token!r} has something else than finite weights", file=path,
                    found=f"{old!r}: {weight!r}", expected=expected,
                )  # fmt: skip
            result[token][old] = number
    return result


def _yaml(path: Path) -> Any:
    """Read a YAML file whose mappings name nothing twice.

    Raises:
        InputError: no such file, no YAML, or a token that stands twice: the first would be lost in silence.
    """
    import yaml

    if not path.is_file():
        raise InputError("no such file of edits", file=path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        whole = yaml.compose(text, yaml.SafeLoader)
        inner = [value for _, value in whole.value] if isinstance(whole, yaml.MappingNode) else []
        for node in [whole, *inner]:
            seen = set[str]()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if key.value in seen:
                    raise InputError("a token stands twice", file=path, line=key.start_mark.line + 1, found=key.value)
                seen.add(key.value)
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"this is no YAML: {error}", file=path) from None


def edit(mixture: Mixture, edits: Edits | str | Path) -> Mixture:
    """Return the mixture with some rows written by hand; see `Mixture.edit`."""
    table = read_edits(edits)
    if not table:
        return mixture
    column = {token: index for index, token in reversed(list(enumerate(mixture.source.tokens)))}
    made: dict[int, dict[str, float]] = {}
    for token, row in table.items():
        for old in row:
            if old not in column:
                near = difflib.get_close_matches(old, column, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"the edit of {token!r} names {old!r}, which is no source token{hint}")
        made[mixture.row_of(token)] = row
    rows = np.array(sorted(made), np.int64)
    chosen = np.zeros(len(mixture), bool)
    chosen[rows] = True
    ours = stack(
        [[column[old] for old in made[row]] for row in rows.tolist()],
        mixture.weights.shape[1],
        [list(made[row].values()) for row in rows.tolist()],
    )
    part = Mixture.build(mixture.source, mixture.target, EDIT, rows, evidence=np.ones(len(rows)))
    lengths = np.zeros(len(mixture), np.int64)
    lengths[rows] = np.diff(ours.indptr)
    part.weights = type(ours)(
        (ours.data, ours.indices, np.concatenate([[0], np.cumsum(lengths)])), shape=mixture.weights.shape
    )
    part.basis, part.basis_names, part.rank = mixture.basis, mixture.basis_names, mixture.rank
    part.bias_shift = mixture.bias_shift
    part.edits = {**mixture.edits, **table}
    kept = ~chosen[mixture.explicit_rows]
    return then(
        part,
        replace(
            mixture,
            explicit_rows=mixture.explicit_rows[kept],
            explicit={key: value[kept] for key, value in mixture.explicit.items()},
        ),
    )


def _beside(mixtures: Sequence[Mixture]) -> list[csr_matrix]:
    """Widen the weights of each to the source rows and the basis rows of all of them, one after the other."""
    from scipy.sparse import csr_matrix

    sizes = [m.basis.shape[0] for m in mixtures]
    width = mixtures[0].n_source + sum(sizes)
    result = []
    for place, mixture in enumerate(mixtures):
        weights = mixture.weights
        indices = weights.indices.astype(np.int64)
        indices[indices >= mixture.n_source] += sum(sizes[:place])
        result.append(csr_matrix((weights.data, indices, weights.indptr), shape=(len(mixture), width)))
    return result


def _bases(mixtures: Sequence[Mixture]) -> dict[str, Any]:
    from scipy.sparse import csr_matrix, vstack

    return {
        "basis": csr_matrix(vstack([m.basis for m in mixtures], format="csr")),
        "basis_names": tuple(name for m in mixtures for name in m.basis_names),
    }


def _names(mixtures: Sequence[Mixture]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Join the method names, and say which of the joint ones each one's codes mean."""
    names = tuple(dict.fromkeys(name for m in mixtures for name in m.names))
    return names, [np.array([names.index(name) for name in m.names], np.uint8) for m in mixtures]


def _scaled(weights: csr_matrix, factor: np.ndarray) -> csr_matrix:
    """Each row times its factor, in float32."""
    data = weights.data * np.repeat(factor, np.diff(weights.indptr))
    return type(weights)((data.astype(np.float32), weights.indices, weights.indptr), shape=weights.shape)


def _fold_basis(mixture: Mixture) -> Mixture:
    """Drop basis rows that nothing uses and join those of one name, which methods of a chain bring twice."""
    from scipy.sparse import csr_matrix

    if not mixture.basis_names:
        return mixture
    n_source, weights = mixture.n_source, mixture.weights
    used = np.bincount(weights.indices, minlength=weights.shape[1])[n_source:] > 0
    names = [n for n in dict.fromkeys(n for n, u in zip(mixture.basis_names, used, strict=True) if u)]
    column = np.array([names.index(n) if n in names else 0 for n in mixture.basis_names], np.int64)
    indices = weights.indices.astype(np.int64)
    of_basis = indices >= n_source
    indices[of_basis] = n_source + column[indices[of_basis] - n_source]
    folded = csr_matrix((weights.data, indices, weights.indptr), shape=(len(mixture), n_source + len(names)))
    folded.sum_duplicates()
    basis = mixture.basis[[mixture.basis_names.index(n) for n in names]]
    return replace(mixture, weights=folded, basis=basis, basis_names=tuple(names))
