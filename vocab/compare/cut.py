"""Cut a counted text: every different word once where that gives the same tokens, line by line where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.compare.text import Text
from vocab.tokenizer.convert import PATTERN
from vocab.tokenizer.roles import parts_of, state_of
from vocab.view import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BATCH = 10_000
_TOGETHER = 100
_LOCAL = frozenset(
    {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Nmt", "BertNormalizer", "Precompiled"}
)
_WHITE = frozenset({r"\s+", " {2,}", r"\s"})
# GPT-2's, cl100k's and Llama 3's patterns, and that of our own byte-level tokenizers: none looks back over a space.
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SPLITS = frozenset({r" ?[^ ]+", _GPT2, PATTERN})


class Pieces:
    """Strings and the tokens of each.

    Attributes:
        ids: int32 (tokens,), all strings after each other.
        starts: int64 (strings + 1,), where each begins in `ids`.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        self.ids, self.starts = ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    @classmethod
    def of(cls, view: Vocabulary, strings: Sequence[str]) -> Pieces:
        """Cut strings, each alone."""
        view.encode(())  # takes off what truncation the caller may have set since
        encode = view.backend.encode_batch_fast
        ids, lengths = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
        for start in range(0, len(strings), _BATCH):
            found = [e.ids for e in encode(list(strings[start : start + _BATCH]), add_special_tokens=False)]
            lengths.append(np.fromiter(map(len, found), dtype=np.int64, count=len(found)))
            ids.append(np.fromiter(chain.from_iterable(found), dtype=np.int32, count=int(lengths[-1].sum())))
        return cls(np.concatenate(ids), np.concatenate(lengths))

    @classmethod
    def joined(cls, view: Vocabulary, text: Text, mark: str) -> Pieces:
        """Cut the words of a text some at a time, which takes less than half as long as each alone.

        A plain word has at most one token that begins a word, its first; so where there are as many of them as words,
        each begins one. Where there are not (an unknown beginning), those words are cut alone.

        Args:
            view: a tokenizer that cuts words alike beside each other.
            text: the counted text.
            mark: what stands before a word.
        """
        plain = np.flatnonzero(~text.strange)
        groups = [plain[start : start + _TOGETHER] for start in range(0, len(plain), _TOGETHER)]
        lines = cls.of(view, [mark + " ".join([text.words[place] for place in group]) for group in groups])
        begins = view.word_start[lines.ids]
        found, lengths, alone = [], np.zeros(len(text.words), dtype=np.int64), [np.flatnonzero(text.strange)]
        for n, group in enumerate(groups):
            first, last = lines.starts[n], lines.starts[n + 1]
            edges = np.flatnonzero(begins[first:last])
            if len(edges) == len(group) and edges[0] == 0:
                lengths[group] = np.diff(edges, append=last - first)
                found.append((group, lines.ids[first:last]))
            else:
                alone.append(group)
        rest = np.concatenate(alone)
        single = cls.of(view, [mark + text.words[place] for place in rest])
        lengths[rest] = single.lengths
        found.append((rest, single.ids))
        # Written group by group; put into the order of the words.
        order = np.concatenate([group for group, _ in found])
        ids = np.concatenate([part for _, part in found])
        whole = cls(np.empty(len(ids), dtype=np.int32), lengths)
        size = lengths[order]
        shift = np.repeat(whole.starts[order] - (np.cumsum(size) - size), size)
        whole.ids[np.arange(len(ids)) + shift] = ids
        return whole

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each string, int64 (strings,)."""
        return np.diff(self.starts)

    def __getitem__(self, place: int) -> np.ndarray:
        return self.ids[self.starts[place] : self.starts[place + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def matrix(self, width: int) -> csr_matrix:
        """CSR (strings, width): how often each token occurs in each string."""
        from scipy.sparse import csr_matrix

        # Copies: adding up duplicates sorts and shortens the arrays in place.
        table = csr_matrix((np.ones(len(self.ids)), self.ids.copy(), self.starts.copy()), shape=(len(self), width))
        table.sum_duplicates()
        return table


def looks_at_words_alone(backend: Any) -> bool:
    """Whether a tokenizer's parts are known to cut a word as they cut it between single spaces.

    Args:
        backend: a `tokenizers.Tokenizer`.
    """
    if getattr(backend.model, "dropout", None):
        return False
    if not all(map(_is_local, parts_of(state_of(backend.normalizer)))):
        return False
    cutters = parts_of(state_of(backend.pre_tokenizer))
    return bool(cutters) and _cuts_at_spaces(cutters[0])


def _is_local(part: dict[str, Any]) -> bool:
    if part["type"] == "Replace":
        pattern = part["pattern"].get("Regex")
        if pattern is not None:
            return pattern in _WHITE and part["content"] == " "
        return not any(map(str.isspace, part["pattern"].get("String", " ") + part["content"]))
    return part["type"] in _LOCAL or (part["type"] == "Prepend" and part["prepend"] == " ")


def _cuts_at_spaces(part: dict[str, Any]) -> bool:
    kind = part["type"]
    if kind == "Split":
        return part["pattern"].get("Regex") in _SPLITS and part["behavior"] == "Isolated" and not part["invert"]
    return (
        kind in ("WhitespaceSplit", "Whitespace", "BertPreTokenizer")
        or (kind == "Metaspace" and part.get("split", True))
        or (kind == "ByteLevel" and part.get("use_regex", True))
    )


def before_words(view: Vocabulary, text: Text, sample: Pieces) -> str | None:
    """Say what to put before a word so that it is cut alone as in its line.

    What a tokenizer's parts promise is checked on the sampled lines.

    Args:
        view: the tokenizer.
        text: the counted text.
        sample: how the sampled lines are cut.

    Returns:
        "" or " " (byte-level tokenizers); None where lines must be cut whole.
    """
    if not looks_at_words_alone(view.backend) or _has_added(view, text):
        return None
    odd = set(text.odd)
    plain = [place for place, line in enumerate(text.sample) if line not in odd]
    if not plain:
        return None
    words = {word: None for place in plain for word in text.sample[place].split()}
    number = {word: place for place, word in enumerate(words)}
    bare = Pieces.of(view, list(words))
    for mark in ("", " "):
        marked = Pieces.of(view, [mark + word for word in words]) if mark else bare
        if all(
            np.array_equal(
                np.concatenate(
                    [(marked if rank else bare)[number[word]] for rank, word in enumerate(text.sample[place].split())]
                ),
                sample[place],
            )
            for place in plain
        ):
            return mark
    return None


def _has_added(view: Vocabulary, text: Text) -> bool:
    """Whether the text holds an added token: it may swallow spaces, and what follows it begins anew."""
    tokens = view.backend.get_added_tokens_decoder().values()
    joined = "\n".join(text.words)
    folded = joined.lower() if any(token.normalized for token in tokens) else ""
    return any(
        " " in token.content.strip()
        or token.content in joined
        or (token.normalized and token.content.lower() in folded)
        for token in tokens
        if token.content.strip()
    )


def count_tokens(view: Vocabulary, text: Text, words: Pieces, mark: str | None) -> csr_matrix:
    """Count how often each token occurs in each block.

    Args:
        view: the tokenizer.
        text: the counted text.
        words: how each of its words is cut behind a space.
        mark: what `before_words` says.

    Returns:
        CSR float64 (blocks, ids of the vocabulary).
    """
    from scipy.sparse import csr_matrix

    width = len(view)
    if mark is None:
        total = csr_matrix((text.blocks, width))
        for blocks, lines in text.again():
            cut = Pieces.of(view, lines)
            keys = np.repeat(blocks, cut.lengths)
            total = total + csr_matrix((np.ones(len(cut.ids)), (keys, cut.ids)), shape=total.shape)
        return total
    total = text.odd_counts @ Pieces.of(view, text.odd).matrix(width)
    if not mark:
        return (text.inside + text.first) @ words.matrix(width) + total
    begins = np.flatnonzero(np.asarray(text.first.sum(axis=0)).ravel())
    bare = Pieces.of(view, [text.words[place] for place in begins.tolist()])
    return text.inside @ words.matrix(width) + text.first[:, begins] @ bare.matrix(width) + total
