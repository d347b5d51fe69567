"""What a look over a model works with: the model's rows, seen in one pass, and findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.matrix import parts, take
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from vocab.mixture import Mixture

SHOWN = 10


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or deserves a look.

    Attributes:
        name: what it is called.
        message: what is wrong, and what comes of it.
        advice: what to do.
        count: how many rows or settings it concerns.
        examples: some of them.
    """

    name: str
    message: str
    advice: str
    count: int = 1
    examples: list[str] = field(default_factory=list)


@dataclass
class Matrix:
    """A matrix over the vocabulary, and what one pass over it tells of each row.

    Attributes:
        matrix: (rows, dim), in any float dtype.
    """

    matrix: Any

    @cached_property
    def _pass(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, dim = map(int, self.matrix.shape)
        norm, whole, key = np.zeros(rows), np.ones(rows, bool), np.zeros(rows, np.uint64)
        odd = np.random.default_rng(0).integers(1, 2**63, dim, dtype=np.uint64) | np.uint64(1)
        for part in parts(self.matrix, rows):
            block = np.ascontiguousarray(take(self.matrix, part), np.float32)
            norm[part] = np.linalg.norm(block, axis=1)
            whole[part] = np.isfinite(norm[part])
            # Sums in integers are exact: equal rows have equal keys wherever they stand.
            key[part] = block.view(np.uint32).astype(np.uint64) @ odd
        return norm, whole, key

    @property
    def norm(self) -> np.ndarray:
        """L2 norm of each row."""
        return self._pass[0]

    @property
    def whole(self) -> np.ndarray:
        """Whether a row is finite."""
        return self._pass[1]

    @property
    def key(self) -> np.ndarray:
        """A number for each row, the same for equal rows."""
        return self._pass[2]


@dataclass
class Seen:
    """What is looked at.

    Attributes:
        model: the model, or its skeleton.
        view: its vocabulary.
        matrices: `input`, and `output` where that is a matrix of its own.
        mixture: how the rows were made, where a transplant made them and says so.
    """

    model: PreTrainedModel
    view: Vocabulary
    matrices: dict[str, Matrix]
    mixture: Mixture | None

    def tokens(self, matrix: Matrix) -> np.ndarray:
        """Ids of ordinary tokens whose row is finite and not all zeros."""
        ids = np.flatnonzero(self.view.kind <= Kind.BYTE)
        ids = ids[ids < len(matrix.norm)]
        return ids[matrix.whole[ids] & (matrix.norm[ids] > 0)]

    def show(self, ids: Any) -> list[str]:
        """Write some ids with what they spell."""
        return [f"{self.view.forms[i]} ({i})" if i < len(self.view) else f"row {i}" for i in list(ids)[:SHOWN]]
