"""Rows of a second model whose tokenizer has the target's tokens: the space in which CLP and OMP compare tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.matrix import take
from vocab.tokenizer.load import load_tokenizer
from vocab.transplant.copy_ import overlap
from vocab.transplant.method import Problem
from vocab.view import Vocabulary


def helper_rows(problem: Problem) -> np.ndarray:
    """Take the second model's input rows for the target's tokens.

    Args:
        problem: its extra["helper"] is a folder or hub id of a model, a model, or an array (target, k). A folder's
            tokenizer says which row is whose; a model's rows and an array's are in the order of the target's ids.

    Returns:
        float32 (target, k); 0 for tokens that the second model does not have.

    Raises:
        InputError: rows of another number, NaN in them, or no token in common.
    """
    from vocab.transplant.apply import matrices_of
    from vocab.transplant.skeleton import Carrier

    given: Any = problem.extra["helper"]
    target = problem.target
    if isinstance(given, str | Path):
        theirs = Vocabulary.of(load_tokenizer(given))
        matrix = matrices_of(Carrier.load(given).model, theirs)["input"]
        result = np.zeros((len(target), int(matrix.shape[1])), np.float32)
        mine, other = overlap(theirs, target)
        if not len(mine):
            raise InputError(
                "the second model has none of the target's tokens", file=given, found=f"{len(theirs)} others"
            )
        result[mine] = take(matrix, other)
    else:
        matrix = given.get_input_embeddings().weight.detach() if hasattr(given, "get_input_embeddings") else given
        result = take(matrix, slice(None)) if getattr(matrix, "ndim", 0) == 2 else np.zeros((0, 0), np.float32)
        # A model's matrix may be padded; an array is one row a token.
        if len(result) < len(target) or (matrix is given and len(result) != len(target)):
            raise InputError(
                "the second model's rows are not the target's tokens", found=f"shape {np.shape(matrix)}",
                expected=f"{len(target)} rows, in the order of the target's ids",
            )  # fmt: skip
        result = result[: len(target)]
    if not np.isfinite(result).all():
        raise InputError("the second model's rows hold NaN or inf", expected="finite numbers")
    return result
