"""Add pieces of a new language to a tokenizer, which goes on cutting other text as before wherever no new one applies.

Every id stays what it was; new pieces come after them. BPE: new merges continue the old table, learnt on the text as
the old merges leave it (not "added tokens", which would cut through words). Unigram: new pieces get scores on the
source's scale. WordPiece: new pieces take part in the search for the longest.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.algorithm import ALGORITHMS, Task
from vocab.tokenizer.bpe import merged
from vocab.tokenizer.like import like
from vocab.tokenizer.load import load_tokenizer, wrap
from vocab.tokenizer.shell import pre_tokeniser_state
from vocab.tokenizer.texts import Lines

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from vocab.view import Vocabulary

_PRIVATE = (0xF0000, 0x10FFFD)


@dataclass(frozen=True)
class Extended:
    """A tokenizer with more pieces.

    Attributes:
        tokenizer: the new tokenizer; ids of the old one mean the same in it.
        added: the new pieces, in the order of their ids.
        facts: `added`, `unused` (new pieces that the text itself does not use), `tokens_before`, `tokens_after`,
            `unknown_before`, `unknown_after` (tokens) on the text; with `others`: `others_changed` (share of
            its lines that are cut differently).
    """

    tokenizer: PreTrainedTokenizerFast
    added: list[str]
    facts: dict[str, Any]


def extend(source: Any, texts: Any, pieces: int, *, others: Any = None, min_frequency: int = 2) -> Extended:
    """Learn pieces from a text, and add those that the tokenizer does not have.

    Args:
        source: what `load_tokenizer` takes.
        texts: the new language; files or lines that can be gone through twice.
        pieces: how many to add.
        others: text in the source's languages, to measure how much of it is cut differently.
        min_frequency: a piece occurs at least so often.

    Returns:
        The extended tokenizer and what came of it.

    Raises:
        InputError: no text, the text cannot give so many pieces, or a kind of tokenizer that cannot be extended.
    """
    from tokenizers import Tokenizer

    from vocab.view import Vocabulary

    if pieces < 1:
        raise InputError("nothing to add", found=f"pieces={pieces}", expected="1 or more")
    old = load_tokenizer(source)
    lines = list(Lines(texts))
    if not lines:
        raise InputError("there is no text to learn from", expected="text")
    raw = json.loads(old.backend_tokenizer.to_str())
    kind, model = raw["model"]["type"], raw["model"]
    counts = _parts(old.backend_tokenizer, Vocabulary.of(old).family, lines)
    task = Task(counts, ("<unk>",), "<unk>", pieces, min_frequency, 1.0, False, 16)
    first = max(old.backend_tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    if kind == "Unigram":
        added = _extend_unigram(raw, task, first)
    elif kind == "WordPiece":
        added = _learnt(task, "wordpiece", set(model["vocab"]))[0]
        model["vocab"] |= {piece: first + place for place, piece in enumerate(added)}
    elif kind == "BPE" and not model.get("continuing_subword_prefix") and not model.get("end_of_word_suffix"):
        added = _extend_bpe(raw, task, first)
    else:
        raise InputError("this kind of tokenizer cannot be extended", found=kind, expected="BPE, Unigram or WordPiece")
    raw["truncation"] = raw["padding"] = None
    source_like = like(old)
    roles = {f"{role}_token": text for role, text in source_like.specials.items()}
    new = wrap(Tokenizer.from_str(json.dumps(raw, ensure_ascii=False)), **source_like.settings, **roles)
    return Extended(new, added, _facts(old, new, lines, first, added, others))


def _parts(backend: Tokenizer, family: str, lines: Iterable[str]) -> dict[str, int]:
    """Count the parts of the text that pieces may lie in: words, with punctuation apart."""
    from tokenizers import Regex, pre_tokenizers

    normaliser, cutter = backend.normalizer, backend.pre_tokenizer
    if family == "metaspace":
        _, split = pre_tokeniser_state("metaspace")["pretokenizers"]
        pattern = Regex(split["pattern"]["Regex"])
        cutter = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Split(pattern, "isolated")])
    counts: Counter[str] = Counter()
    for line in lines:
        text = line if normaliser is None else normaliser.normalize_str(line)
        counts.update([text] if cutter is None else [part for part, _ in cutter.pre_tokenize_str(text)])
    return {part: count for part, count in counts.items() if part and not re.search(r"\s", part)}


def _learnt(task: Task, algorithm: str, known: set[str]) -> tuple[list[str], dict[str, Any]]:
    """Learn a vocabulary with enough pieces that are not known; the best of them, and the learnt model."""
    size, most = 2 * task.vocab_size + 2000, 0
    while True:
        try:
            model = ALGORITHMS[algorithm].learn(replace(task, vocab_size=size))
        except InputError as error:
            limit = re.search(r"at (most|least) (\d+)", str(error))
            if limit is None or most:
                raise
            size = most = int(limit[2])
            continue
        order = [piece for piece, _ in model["vocab"]] if algorithm == "unigram" else list(model["vocab"])
        # Letters first: a word with an unknown letter is lost, whatever other pieces there are.
        new = sorted((piece for piece in order[1:] if piece not in known), key=lambda piece: len(piece) > 1)
        if len(new) >= task.vocab_size:
            return new[: task.vocab_size], model
        if most:
            raise InputError(
                "the text cannot give so many new pieces",
                found=f"pieces={task.vocab_size}",
                expected=f"at most {len(new)}",
            )
        size *= 2


def _extend_unigram(raw: dict[str, Any], task: Task, first: int) -> list[str]:
    """Append pieces; their scores are shifted by what separates the two models on the pieces both have."""
    table: list[list[Any]] = raw["model"]["vocab"]
    beyond = {token["id"]: token["content"] for token in raw["added_tokens"]}
    while len(table) < first:
        if len(table) not in beyond:
            raise InputError("the ids have a gap", found=f"no token has the id {len(table)}")
        table.append([beyond[len(table)], 0.0])
    scores = {piece: score for piece, score in table}
    added, model = _learnt(task, "unigram", set(scores))
    learnt = {piece: score for piece, score in model["vocab"]}
    shared = [scores[piece] - learnt[piece] for piece in learnt if len(piece) > 1 and scores.get(piece, 0.0) < 0]
    shift = float(np.median(shared)) if shared else 0.0
    table += [[piece, learnt[piece] + shift] for piece in added]
    return added


def _extend_bpe(raw: dict[str, Any], task: Task, first: int) -> list[str]:
    """Learn merges of old tokens: each old token is written as one private letter, so that BPE can go on from there.

    Letters that the tokenizer does not know come first; they are pieces without a merge.
    """
    from tokenizers import Tokenizer

    model = raw["model"]
    letters = Counter[str]()
    for part, count in task.counts.items():
        for letter in set(part) - model["vocab"].keys():
            letters[letter] += count
    missing = sorted((x for x, n in letters.items() if n >= task.min_frequency), key=lambda x: (-letters[x], x))
    added = missing[: task.vocab_size] if model.get("unk_token") else []
    model["vocab"] |= {letter: first + place for place, letter in enumerate(added)}
    cut = Tokenizer.from_str(json.dumps(raw, ensure_ascii=False)).model.tokenize
    private: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for part, count in task.counts.items():
        written = ""
        for token in [token.value for token in cut(part)]:
            if token == model.get("unk_token"):
                written += " "
            else:
                written += private.setdefault(token, chr(_PRIVATE[0] + len(private)))
        for run in written.split():
            counts[run] += count
    if len(private) > _PRIVATE[1] - _PRIVATE[0]:
        raise InputError("the text uses too many different tokens", found=len(private), expected="at most 131,069")
    spelled = {letter: token for token, letter in private.items()}
    wanted = task.vocab_size - len(added)
    if wanted == 0:
        return added
    learnt = merged(replace(task, counts=dict(counts), specials=(), unk=None, vocab_size=len(private) + wanted))
    for pair in learnt["merges"]:
        whole = ["".join(spelled[letter] for letter in piece) for piece in pair]
        model["merges"].append(whole)
        if "".join(whole) not in model["vocab"]:
            model["vocab"]["".join(whole)] = first + len(added)
            added.append("".join(whole))
    return added


def _facts(
    old: PreTrainedTokenizerFast,
    new: PreTrainedTokenizerFast,
    lines: list[str],
    first: int,
    added: list[str],
    others: Any,
) -> dict[str, Any]:
    from vocab.view import Vocabulary

    was, now = Vocabulary.of(old), Vocabulary.of(new)
    before, after = was.encode(lines), now.encode(lines)
    used = np.unique(np.concatenate(after))
    facts: dict[str, Any] = {
        "added": len(added),
        "unused": len(added) - int((used >= first).sum()),
        "tokens_before": sum(map(len, before)),
        "tokens_after": sum(map(len, after)),
        **{
            f"unknown_{name}": _unknown(view, ids)
            for name, view, ids in (("before", was, before), ("after", now, after))
        },
    }
    if others is not None:
        text = list(Lines(others))
        pairs = zip(was.encode(text), now.encode(text), strict=True)
        facts["others_changed"] = sum(not np.array_equal(a, b) for a, b in pairs) / max(len(text), 1)
    return facts


def _unknown(view: Vocabulary, encoded: list[np.ndarray]) -> int:
    return sum(int((ids == view.roles.get("unk", -1)).sum()) for ids in encoded)
