"""Special tokens keep their meaning: they are mapped by role, never by accident of spelling or id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vocab.mixture import SPECIAL, Mixture
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# A token of several roles (`<s>` is bos and cls; GPT-2's is bos, eos and unk) takes the row of the first that the
# source has: rows that were trained in running text come before those of padding, which never were.
_ORDER = ("mask", "cls", "sep", "bos", "eos", "unk", "pad")
_ALIKE = {"cls": "bos", "bos": "cls", "sep": "eos", "eos": "sep"}


def map_specials(source: Vocabulary, target: Vocabulary) -> dict[int, int]:
    """Say which source token each special token of the target stands for.

    The same text in a shared role comes first, then the same role, then a role of the same use (`[CLS]` and `<s>`),
    then, for specials without a role, the same text.

    Args:
        source: the old vocabulary.
        target: the new one.

    Returns:
        Target id -> source id; specials without a counterpart are not in it.
    """
    roles_of: dict[int, set[str]] = {}
    for role, token in target.roles.items():
        roles_of.setdefault(token, set()).add(role)
    source_roles: dict[int, set[str]] = {}
    for role, token in source.roles.items():
        source_roles.setdefault(token, set()).add(role)
    texts = {source.tokens[i]: i for i in np.flatnonzero(source.kind == Kind.SPECIAL)[::-1].tolist()}
    result: dict[int, int] = {}
    for token in np.flatnonzero(target.kind == Kind.SPECIAL).tolist():
        roles = roles_of.get(token, set())
        same = texts.get(target.tokens[token])
        if same is not None and (roles & source_roles.get(same, set()) or not (roles or source_roles.get(same))):
            result[token] = same
            continue
        candidates = [source.roles.get(role) for role in _ORDER if role in roles]
        candidates += [source.roles.get(_ALIKE[role]) for role in _ORDER if role in roles and role in _ALIKE]
        found = next((c for c in candidates if c is not None), None)
        if found is not None:
            result[token] = found
    return result


def one_to_one(rows: np.ndarray, columns: np.ndarray, width: int) -> csr_matrix:
    """CSR (rows, width) with a single 1 in each row."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(rows), np.float32)
    return csr_matrix((ones, columns, np.arange(len(rows) + 1)), shape=(len(rows), width))


def specials(source: Vocabulary, target: Vocabulary) -> Mixture:
    """Return the mixture that copies special tokens by role, and gaps where both vocabularies have them."""
    mapped = map_specials(source, target)
    if source.fingerprint == target.fingerprint:
        mapped |= {int(i): int(i) for i in np.flatnonzero(target.kind >= Kind.SPECIAL)}
    rows = np.array(sorted(mapped), np.int64)
    columns = np.array([mapped[i] for i in rows.tolist()], np.int64)
    return Mixture.build(
        source,
        target,
        SPECIAL,
        rows,
        one_to_one(rows, columns, len(source)),
        copied=True,
        evidence=np.ones(len(rows)),
    )
