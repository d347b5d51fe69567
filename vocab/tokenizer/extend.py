"""Add pieces of a new language to a tokenizer, which goes on cutting other text as before wherever no new one applies.

Every id stays what it was; new pieces come after them. BPE: new merges continue the old table, learnt on the text as
the old merges leave it (not "added tokens", which would cut through words). Unigram: new pieces get scores on the
source's scale. WordPiece: new pieces take part in the search for the longest.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.algorithm import ALGORITHMS, Task, TooFewPieces, TooManyPieces
from vocab.tokenizer.bidirectional_wordpiece import by_name, without
from vocab.tokenizer.bpe import continued
from vocab.tokenizer.cut import cut_lines
from vocab.tokenizer.like import remade
from vocab.tokenizer.load import load_tokenizer
from vocab.tokenizer.options import BuildOptions
from vocab.tokenizer.pieces import Pieces
from vocab.tokenizer.roles import parts_of
from vocab.tokenizer.sentencepiece_model import SPACE
from vocab.tokenizer.shell import pre_tokeniser_state
from vocab.tokenizer.texts import Lines
from vocab.tokenizer.train import spelled
from vocab.tokenizer.unigram import with_given

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast


_ALGORITHM = {"Unigram": "unigram", "WordPiece": "wordpiece", "BPE": "bpe"}


@dataclass(frozen=True)
class Extended:
    """A tokenizer with more pieces.

    Attributes:
        tokenizer: the new tokenizer; ids of the old one mean the same in it.
        added: the new pieces, in the order of their ids.
        facts: `added`, `unused` (new pieces that the text itself does not use), `tokens_before`, `tokens_after`,
            `unknown_before`, `unknown_after` (tokens) on the text; with `others`: `others_lines`, `others_tokens`,
            `others_lines_changed` (lines that are cut differently), `others_lines_changed_without_new` (those of them
            without a new piece: a new merge may reach an old one) and `others_tokens_changed` (old tokens that such
            lines no longer have).
    """

    tokenizer: PreTrainedTokenizerFast
    added: list[str]
    facts: dict[str, Any]


def extend(
    source: Any,
    texts: Any,
    pieces: int,
    *,
    others: Any = None,
    min_frequency: int = 2,
    words: Sequence[str] = (),
    morphemes: Sequence[str] = (),
) -> Extended:
    """Learn pieces from a text, and add those that the tokenizer does not have.

    Args:
        source: what `load_tokenizer` takes.
        texts: the new language; files or lines that can be gone through twice.
        pieces: how many to add.
        others: text in the source's languages, to measure how much of it is cut differently.
        min_frequency: a piece occurs at least so often.
        words: words that must be pieces; those that are not count among the pieces to add, and come first.
        morphemes: parts of words that must be pieces; one that ends in a hyphen (`ba-`) begins words.

    Returns:
        The extended tokenizer and what came of it.

    Raises:
        InputError: no text, the text cannot give so many pieces, there is no room for the words and morphemes, or a
            kind of tokenizer that cannot be extended.
    """
    from vocab.view import Vocabulary

    if pieces < 1:
        raise InputError("nothing to add", found=f"pieces={pieces}", expected="1 or more")
    old = load_tokenizer(source)
    lines = Lines(texts)
    raw = json.loads(old.backend_tokenizer.to_str())
    kind, model = raw["model"]["type"], raw["model"]
    family = Vocabulary.of(old).family
    if kind not in _ALGORITHM or model.get("continuing_subword_prefix", "##") not in ("##", None, ""):
        raise InputError("this kind of tokenizer cannot be extended", found=kind, expected="BPE, Unigram or WordPiece")
    if kind == "BPE" and (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")):
        raise InputError(
            "this kind of tokenizer cannot be extended",
            found="BPE that marks the ends or insides of words",
            expected="BPE that marks their beginnings, Unigram or WordPiece",
        )
    known = {piece for piece, _ in model["vocab"]} if kind == "Unigram" else set(model["vocab"])
    wished = _wished(old.backend_tokenizer, raw, _ALGORITHM[kind], family, words, morphemes)
    given = tuple(piece for piece in wished if piece not in known)
    if len(given) > pieces:
        raise InputError("there is no room for all words and morphemes", found=f"pieces={pieces}", expected=len(given))
    counts = _parts(old.backend_tokenizer, family, lines)
    if not counts:
        raise InputError("there is no text to learn from", expected="text")
    task = Task(counts, ("<unk>",), "<unk>", pieces, min_frequency, 1.0, False, 16, given)
    first = max(old.backend_tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    if kind != "Unigram":  # tokens after the model's own would move behind the new pieces
        model["vocab"] |= {token["content"]: token["id"] for token in raw["added_tokens"]}
    added = {"Unigram": _extend_unigram, "WordPiece": _extend_wordpiece, "BPE": _extend_bpe}[kind](raw, task, first)
    if missing := [piece for piece in given if piece not in set(added)]:
        raise InputError("not all words and morphemes could be made pieces", found=", ".join(missing[:5]))
    raw["truncation"] = raw["padding"] = None
    new = remade(old, raw)
    return Extended(new, added, _facts(old, new, lines, first, added, others))


def _wished(
    backend: Tokenizer,
    raw: dict[str, Any],
    algorithm: str,
    family: str,
    words: Sequence[str],
    morphemes: Sequence[str],
) -> tuple[str, ...]:
    """Spell words and morphemes as the vocabulary does; a pre-tokeniser that cuts words by name lets go of these."""
    from tokenizers import Tokenizer

    if not words and not morphemes:
        return ()
    cutters = [part for part in parts_of(raw["pre_tokenizer"]) if by_name(part)]
    others = [part for part in parts_of(raw["pre_tokenizer"]) if not by_name(part)]
    if cutters:
        backend = Tokenizer.from_str(json.dumps(raw | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": others}}))
    settings = BuildOptions(words=list(words), morphemes=list(morphemes))
    chosen = ALGORITHMS["byte-bpe" if family == "byte-level" else algorithm]
    found = spelled(settings, backend, {"byte-level": "Ġ", "metaspace": "▁"}.get(family, ""), chosen)
    if cutters:
        kept = [without(part, found) for part in cutters]
        raw["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*others, *kept]}
    return found


def _parts(backend: Tokenizer, family: str, lines: Iterable[str]) -> dict[str, int]:
    """Count the parts of the text that pieces may lie in: words, with punctuation apart."""
    from tokenizers import Regex, pre_tokenizers

    normaliser, cutter = backend.normalizer, backend.pre_tokenizer
    if family == "metaspace":
        _, split = pre_tokeniser_state("metaspace")["pretokenizers"]
        signs = pre_tokenizers.Split(Regex(split["pattern"]["Regex"]), "isolated")
        words = pre_tokenizers.Split(SPACE, "merged_with_next")
        cutter = pre_tokenizers.Sequence([cutter or pre_tokenizers.Metaspace(), words, signs])
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
            model = ALGORITHMS[algorithm].learn(replace(task, vocab_size=size, given=()))
        except (TooManyPieces, TooFewPieces) as error:
            if most:
                raise
            size = most = error.most if isinstance(error, TooManyPieces) else error.least
            continue
        order = [piece for piece, _ in model["vocab"]] if algorithm == "unigram" else list(model["vocab"])
        # Letters first: a word with an unknown letter is lost, whatever other pieces there are.
        learnt = sorted((piece for piece in order[1:] if piece not in known), key=lambda piece: len(piece) > 1)
        new = list(dict.fromkeys([*task.given, *learnt]))
        if len(new) >= task.vocab_size:
            return new[: task.vocab_size], model
        if most:
            raise _too_many(task, len(new))
        size *= 2


def _too_many(task: Task, most: int) -> InputError:
    return InputError(
        "the text cannot give so many new pieces", found=f"pieces={task.vocab_size}", expected=f"at most {most}"
    )


def _extend_wordpiece(raw: dict[str, Any], task: Task, first: int) -> list[str]:
    """Append pieces; the search for the longest finds them."""
    added = _learnt(task, "wordpiece", set(raw["model"]["vocab"]))[0]
    raw["model"]["vocab"] |= {piece: first + place for place, piece in enumerate(added)}
    return added


def _extend_unigram(raw: dict[str, Any], task: Task, first: int) -> list[str]:
    """Append pieces; their scores are shifted by what separates the two models on the pieces both have.

    Pieces that were asked for get what makes them win where they stand.
    """
    table: list[list[Any]] = raw["model"]["vocab"]
    beyond = {token["id"]: token["content"] for token in raw["added_tokens"]}
    while len(table) < first:
        if len(table) not in beyond:
            raise InputError("the ids have a gap", found=f"no token has the id {len(table)}")
        table.append([beyond[len(table)], 0.0])
    scores = {piece: score for piece, score in table}
    added, model = _learnt(task, "unigram", set(scores))
    if not any(scores.values()):  # all cuts score alike, and the search takes the longest pieces from the right
        table += [[piece, 0.0] for piece in added]
        return added
    learnt = {piece: score for piece, score in model["vocab"]}
    shared = [scores[piece] - learnt[piece] for piece in learnt if len(piece) > 1 and scores.get(piece, 0.0) < 0]
    shift = float(np.median(shared)) if shared else 0.0
    floor = min(scores.values())
    new = {piece: learnt[piece] + shift if piece in learnt else floor for piece in added}
    won = dict(with_given([*scores.items(), *new.items()], task.given)) if task.given else new
    table += [[piece, won[piece]] for piece in added]
    return added


def _extend_bpe(raw: dict[str, Any], task: Task, first: int) -> list[str]:
    """Continue the table of merges; letters that the tokenizer does not know come first, and need no merge."""
    model = raw["model"]
    letters = Counter[str]()
    for part, count in [*task.counts.items(), *((piece, task.min_frequency) for piece in task.given)]:
        for letter in set(part) - model["vocab"].keys():
            letters[letter] += count
    missing = sorted((x for x, n in letters.items() if n >= task.min_frequency), key=lambda x: (-letters[x], x))
    added = missing[: task.vocab_size] if model.get("unk_token") else []
    model["vocab"] |= {letter: first + place for place, letter in enumerate(added)}
    longest = max([16, *(len(piece) + 1 for piece in task.given)])
    steps = [task]
    if task.given:  # each alone on its letters, so that it becomes whole; then the text goes on from there
        steps = [replace(task, counts=dict.fromkeys(task.given, 1), min_frequency=1, given=()), task]
    for step in steps:
        wanted = task.vocab_size - len(added)
        try:
            longer = continued(model, step, wanted, longest=longest) if wanted else model
        except TooManyPieces as error:
            most = error.most - len(model["vocab"])
            if step is task:
                raise _too_many(task, len(added) + most) from None
            longer = continued(model, step, most, longest=longest) if most else model
        new = [piece for piece in longer["vocab"] if piece not in model["vocab"]]
        model["vocab"] |= {piece: first + len(added) + place for place, piece in enumerate(new)}
        model["merges"] = longer["merges"]
        added += new
    return added


def _facts(
    old: PreTrainedTokenizerFast,
    new: PreTrainedTokenizerFast,
    lines: Lines,
    first: int,
    added: list[str],
    others: Any,
) -> dict[str, Any]:
    from vocab.view import Vocabulary

    was, now = Vocabulary.of(old), Vocabulary.of(new)
    before, after = (cut_lines(view, lines) for view in (was, now))
    used = np.unique(after.ids)
    facts: dict[str, Any] = {
        "added": len(added),
        "unused": len(added) - int((used >= first).sum()),
        "tokens_before": len(before.ids),
        "tokens_after": len(after.ids),
        "unknown_before": int((before.ids == was.roles.get("unk", -1)).sum()),
        "unknown_after": int((after.ids == now.roles.get("unk", -1)).sum()),
    }
    if others is not None:
        facts |= _changed(cut_lines(was, Lines(others)), cut_lines(now, Lines(others)), first)
    return facts


def _changed(before: Pieces, after: Pieces, first: int) -> dict[str, int]:
    """Count what changes in text of other languages."""
    strange = tokens = 0
    changed = before.unlike(after).tolist()
    for line in changed:
        strange += not (after[line] >= first).any()
        tokens += (Counter(before[line].tolist()) - Counter(after[line].tolist())).total()
    return {
        "others_lines": len(before),
        "others_tokens": len(before.ids),
        "others_lines_changed": len(changed),
        "others_lines_changed_without_new": strange,
        "others_tokens_changed": tokens,
    }
