"""The old vocabulary as if it had never had some of its tokens: what a forecast hides and then asks for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from vocab.vectors.evidence import Evidence


def without(vocabulary: Vocabulary, tokens: np.ndarray) -> Vocabulary:
    """View a vocabulary without some tokens; all others keep their ids.

    The tokenizer itself no longer knows them: it cuts their text as it cuts any word that it has no token for. They
    are renamed to what no text holds, so that scores and ids of the others stay; BPE also loses the merges that make
    them or are made of them.

    Args:
        vocabulary: the whole vocabulary.
        tokens: ids of pieces that are no added tokens.

    Returns:
        A view in which these ids are gaps.
    """
    from tokenizers import Tokenizer

    state: dict[str, Any] = json.loads(vocabulary.backend.to_str())
    model = state["model"]
    new_name = {vocabulary.tokens[i]: f"\0{i}" for i in tokens.tolist()}
    if isinstance(model["vocab"], dict):
        model["vocab"] = {new_name.get(token, token): index for token, index in model["vocab"].items()}
    else:
        for i in tokens.tolist():
            model["vocab"][i][0] = new_name[vocabulary.tokens[i]]
    if "merges" in model:
        pairs = (m.split(" ") if isinstance(m, str) else m for m in model["merges"])
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [[a, b] for a, b in pairs if not {a, b, a + b.removeprefix(prefix)} & new_name.keys()]
        model["ignore_merges"] = False  # or a whole word that is a token would be cut as one without its merges
    roles = {role: vocabulary.tokens[index] for role, index in vocabulary.roles.items()}
    view = Vocabulary(Tokenizer.from_str(json.dumps(state)), f"{vocabulary.name} without {len(tokens)} tokens", roles)
    gone = set(tokens.tolist())
    view.kind[tokens], view.word_start[tokens] = Kind.GAP, False
    for i in gone:
        view.tokens[i] = view.forms[i] = ""
        view.text[i] = b""
    view.ids = {form: i for form, i in view.ids.items() if i not in gone}
    return view


def blank(evidence: Evidence | None, tokens: np.ndarray) -> Evidence | None:
    """Take away what is known of some tokens."""
    from dataclasses import replace

    from vocab.matrix import only

    if evidence is None:
        return None
    dense, sparse = evidence.dense, evidence.sparse
    if dense is not None:
        dense = dense.copy()
        dense[tokens] = 0
    if sparse is not None:
        keep = np.ones(sparse.shape[0], bool)
        keep[tokens] = False
        sparse = only(sparse, keep)
    return replace(evidence, dense=dense, sparse=sparse)
