"""Write a new token as a sparse sum of shared tokens in a second model's space (orthogonal matching pursuit).

Paper: Goddard & Fernandes Neto (2025), "Training-Free Tokenizer Transplantation via Orthogonal Matching Pursuit",
section 3 (mergekit's tokensurgeon). The overlap is copied. A new token's row in a model that has it (the donor) is
approximated by k = 64 of that model's rows of shared tokens, chosen one by one by the largest inner product with what
is still unexplained (rows are not brought to length 1 first) and refitted by least squares; the same coefficients make
the new row from the old rows of the same tokens. Coefficients have signs and any sum. Where k reaches the donor's
dimensions the fit is exact and stops. tokensurgeon fits input and output rows each to their own donor matrix; here one
set of coefficients, from the input rows, serves both.

Needs: a model with the target's tokens (`helper=`). Use it between models of one kind that know the language; signed
coefficients can make long rows where the two spaces differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from vocab.device import back, here
from vocab.matrix import blocks, stack
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import apart
from vocab.transplant.helper import helper_rows
from vocab.transplant.method import Method, Problem

_BLOCK = 128
_ZERO = 1e-6


class OmpOptions(Options):
    """Options of omp."""

    k: int = Field(64, gt=0)
    """Shared tokens that a new one is written in."""


def pursue(targets: Any, atoms: Any, k: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Orthogonal matching pursuit of many vectors at once (Pati, Rezaiifar & Krishnaprasad 1993).

    Args:
        targets: (n, dim), an array, or a tensor on any device.
        atoms: (m, dim), not zero, of any length; where the targets are.
        k: atoms used at most.

    Returns:
        For each target the atoms chosen and their coefficients (as many as were needed), and the share of its squared
        length that they explain, (n,).
    """
    from scipy.linalg import solve_triangular

    xp: Any = _library(targets)
    count, dim = targets.shape
    steps, on = min(k, len(atoms), dim), targets.device
    targets, atoms64 = (xp.asarray(rows, dtype=xp.float64) for rows in (targets, atoms))
    length = xp.linalg.norm(targets, axis=1).clip(min=np.finfo(float).tiny)
    basis = xp.zeros((count, steps, dim), dtype=xp.float64, device=on)
    upper = xp.zeros((count, steps, steps), dtype=xp.float64, device=on)
    chosen = xp.zeros((count, steps), dtype=xp.int64, device=on)
    used = xp.zeros(count, dtype=xp.int64, device=on)
    residual, open_ = xp.asarray(targets, copy=True), xp.arange(count, device=on)
    for step in range(steps):
        open_ = open_[xp.linalg.norm(residual[open_], axis=1) > _ZERO * length[open_]]
        if not len(open_):
            break
        score = xp.abs(xp.asarray(residual[open_], dtype=atoms.dtype) @ atoms.T)
        score[xp.arange(len(open_), device=on)[:, None], chosen[open_, :step]] = -1
        best = score.argmax(axis=1)
        fresh = atoms64[best]
        done = basis[open_, :step]
        part = xp.zeros((len(open_), step), dtype=xp.float64, device=on)
        for _ in range(2):  # once more takes away what rounding left
            along = xp.einsum("nsd,nd->ns", done, fresh)
            fresh = fresh - xp.einsum("ns,nsd->nd", along, done)
            part += along
        height = xp.linalg.norm(fresh, axis=1)
        good = height > _ZERO * xp.linalg.norm(atoms64[best], axis=1)
        open_, best, fresh, part, height = open_[good], best[good], fresh[good], part[good], height[good]
        basis[open_, step] = fresh / height[:, None]
        upper[open_, :step, step], upper[open_, step, step] = part, height
        chosen[open_, step], used[open_] = best, step + 1
        along = xp.einsum("nd,nd->n", basis[open_, step], residual[open_])
        residual[open_] -= along[:, None] * basis[open_, step]
    explained = xp.einsum("nsd,nd->ns", basis, targets)
    chosen, used, upper, explained, length = (back(each) for each in (chosen, used, upper, explained, length))
    indices = [chosen[row, :size] for row, size in enumerate(used)]
    values = [
        solve_triangular(upper[row, :size, :size], explained[row, :size]) if size else np.zeros(0)
        for row, size in enumerate(used)
    ]
    return indices, values, (explained**2).sum(axis=1) / length**2


def _library(array: Any) -> Any:
    """Return the library of an array or a tensor; what is asked of it above, both have under one name."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def rows(problem: Problem, options: OmpOptions) -> Mixture:
    """Copy the overlap and write other tokens that the second model has as sums of it."""
    source, target = problem.source, problem.target
    space = helper_rows(problem)
    copied, anchors, column, new = apart(problem, np.asarray(space.any(axis=1)))
    atoms = space[anchors]
    if not len(atoms):
        problem.notes.append("omp needs shared tokens that the second model has and found none: its rows fall back")
        return copied
    indices: list[list[int]] = []
    values: list[list[float]] = []
    evidence = [np.zeros(0)]
    on = here()
    if on is None:
        made = [pursue(space[new[part]], atoms, options.k) for part in blocks(len(new), _BLOCK)]
    else:
        table, (count, dim) = on.put(atoms), atoms.shape
        size = 12 * count + 32 * min(options.k, count, dim) * dim
        made = on.in_blocks(len(new), size, lambda part: pursue(on.put(space[new[part]]), table, options.k))
    for found, weights, explained in made:
        indices += [column[row].tolist() for row in found]
        values += [row.tolist() for row in weights]
        evidence.append(explained)
    made = stack(indices, len(source), values)
    return copied.then(Mixture.build(source, target, "omp", new, made, evidence=np.concatenate(evidence)))


SPEC = Method(
    name="omp",
    summary="Shared tokens are copied; others are sparse signed sums of them, fitted in a second model's space.",
    formula="`E_t[t] = Σ_j c_j E_s[o_j]` with at most 64 signed `c_j` that give `H[t] ≈ Σ_j c_j H[o_j]` greedily",
    paper="Goddard & Fernandes Neto 2025, section 3 (mergekit's tokensurgeon)",
    when="A model of the same kind has the target's tokens.",
    when_not="Without such a model, or where few tokens are shared.",
    options=OmpOptions,
    rows=rows,
    needs=frozenset({"helper"}),
    fallback=("subwords", "mean"),
    convex=False,
    evidence="the share of the second model's row that the sum explains (of its squared length)",
)
