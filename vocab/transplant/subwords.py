"""Average the old rows of the pieces that the old tokenizer cuts a new token into (FVT).

Paper: Gee et al. (2022), Fast Vocabulary Transfer; Koto et al. (2021), IndoBERTweet. A shared token is its own only
piece, so the overlap is copied. Needs: nothing. Use it when there is no text in the language, and as what FOCUS falls
back on; it is weak where the old tokenizer cuts words into single letters or bytes.
"""

from __future__ import annotations

import numpy as np

from vocab.matrix import stack
from vocab.mixture import Mixture
from vocab.options import Options
from vocab.transplant.copy_ import copy_overlap
from vocab.transplant.method import Method, Problem
from vocab.view import Kind, Vocabulary


class SubwordsOptions(Options):
    """Options of subwords."""

    restore_norm: bool = False
    """Bring the averages, which are shorter than what they average, to the copied rows' median norm."""


def old_pieces(source: Vocabulary, target: Vocabulary, token: int) -> list[int]:
    """Cut a new token into old pieces.

    Args:
        source: the old vocabulary.
        target: the new one.
        token: id of the new token.

    Returns:
        Old ids, the unknown token and specials left out; the token's bytes where it is not text of its own.
    """
    raw = target.text[token]
    try:
        text = raw.decode("utf-8") if target.kind[token] == Kind.PIECE else ""
    except UnicodeDecodeError:
        text = ""
    if text:
        found = _cut(source, text, bool(target.word_start[token]))
    elif target.word_start[token] and not raw:
        found = [source.ids[target.forms[token]]] if target.forms[token] in source.ids else []
    else:
        found = [source.ids[form] for byte in raw if (form := f"<0x{byte:02X}>") in source.ids]
    return [piece for piece in found if source.kind[piece] <= Kind.BYTE]


def _cut(source: Vocabulary, text: str, word_start: bool) -> list[int]:
    """Cut a surface, around the letters that the old tokenizer does not know.

    To WordPiece a word with one unknown letter is unknown as a whole; the letters beside it still say something.
    """
    found = source.pieces_of(text, word_start)
    if len(text) == 1 or all(source.kind[piece] <= Kind.BYTE for piece in found):
        return found
    pieces: list[int] = []
    run = ""
    for place, letter in enumerate(text):
        if any(source.kind[piece] <= Kind.BYTE for piece in source.pieces_of(letter, False)):
            run += letter
            if place < len(text) - 1:
                continue
            place += 1
        if run:
            pieces += source.pieces_of(run, word_start and place == len(run))
        run = ""
    return pieces


def rows(problem: Problem, options: SubwordsOptions) -> Mixture:
    """Copy the overlap and average old pieces for the rest."""
    source, target = problem.source, problem.target
    copied = copy_overlap(problem)
    pieces = {t: found for t in problem.todo().tolist() if not copied.filled[t]
              if (found := old_pieces(source, target, t))}  # fmt: skip
    weights = stack(list(pieces.values()), len(source))
    made = Mixture.build(
        source, target, "subwords", np.array(list(pieces), np.int64), weights,
        rescale=options.restore_norm, evidence=np.array([1 / len(found) for found in pieces.values()]),
    )  # fmt: skip
    return copied.then(made)


SPEC = Method(
    name="subwords",
    summary="The mean of the old rows of a new token's old pieces.",
    formula="`E_t[t] = mean(E_s[p])` over the old pieces `p` of `t`'s surface",
    paper="Gee et al. 2022 (FVT); Koto et al. 2021 (IndoBERTweet), section 3.2",
    when="Without text in the language, for same-script languages, and after focus in a chain.",
    when_not="Where the old tokenizer falls apart into letters, bytes or the unknown token.",
    options=SubwordsOptions,
    rows=rows,
    fallback=("mean",),
    evidence="1 / number of old pieces",
)
