"""Cut text word by word: every different word once where that gives the tokens of whole lines.

Most tokenizers cut each word whatever stands beside it. What their parts promise is checked on lines of the text, and
what they do not promise is not relied upon.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, product
from string import ascii_letters, digits, punctuation
from typing import Any

import numpy as np

from vocab.tokenizer.bidirectional_wordpiece import by_name
from vocab.tokenizer.convert import PATTERN
from vocab.tokenizer.pieces import Pieces, batched
from vocab.tokenizer.roles import parts_of, state_of
from vocab.tokenizer.sentencepiece_model import BYTES_APART
from vocab.tokenizer.shell import ENDING, SIGN
from vocab.tokenizer.texts import Lines
from vocab.tokenizer.words import SIGNS, SPACE, Lexicon, Splitter
from vocab.view import Vocabulary, byte_alphabet

_TOGETHER = 100
_FEW = 20
CHARACTERS = 1 << 22  # read at a time
_LONGEST = 20_000  # characters of a line on which something is checked
_CHECKED = 500
_FORMS = frozenset({"NFC", "NFD", "NFKC", "NFKD", "Precompiled"})
_LOCAL = frozenset(
    {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Nmt", "BertNormalizer", "Precompiled"}
)
_WHITE = frozenset({r"\s+", " {2,}", r"\s"})
# GPT-2's, cl100k's and Llama 3's patterns, and that of our own byte-level tokenizers: none looks back over a space.
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SPLITS = frozenset({r" ?[^ ]+", _GPT2, PATTERN})


@dataclass(frozen=True)
class Cut:
    """The words of a text, as one tokenizer cuts them.

    Attributes:
        view: the tokenizer.
        lexicon: the words.
        words: how each is cut behind a space.
        mark: what stands before a word that is cut alone as in its line: "", or " " (then a word that begins a line is
            cut without it); None where lines must be cut whole.
    """

    view: Vocabulary
    lexicon: Lexicon
    words: Pieces
    mark: str | None

    @cached_property
    def spans(self) -> Pieces:
        """How the lexicon's spans are cut where they stand."""
        mark = self.mark or ""
        return Pieces.of(self.view, [span if begins else mark + span for span, begins in self.lexicon.spans])

    @cached_property
    def _items(self) -> Pieces:
        return self.words + self.spans

    def begin(self, places: np.ndarray) -> Pieces:
        """Cut words as at the beginning of a line; `places` are theirs in the lexicon."""
        if not self.mark:
            return self.words.take(places)
        return Pieces.of(self.view, [self.lexicon.words[place] for place in places.tolist()])

    def lines(self, ids: np.ndarray, counts: np.ndarray) -> Pieces:
        """Put lines together from their words and spans.

        Args:
            ids: what `Splitter.split` gives, or places of words in the lexicon; int64 (items,).
            counts: how many each line has, int64 (lines,).
        """
        items = self._items
        place = np.where(ids < 0, len(self.words) + ~ids, ids)
        if self.mark:
            first = (np.cumsum(counts) - counts)[counts > 0]
            first = first[ids[first] >= 0]
            begins, number = np.unique(ids[first], return_inverse=True)
            place[first] = len(items) + number
            items += self.begin(begins)
        return items.take(place, counts)


def cut_words(view: Vocabulary, lexicon: Lexicon, lines: Sequence[str]) -> Cut:
    """Cut every word once.

    Args:
        view: the tokenizer.
        lexicon: the words of a text.
        lines: some lines of it without spans (see `Splitter.split`), on which it is checked that words are cut alike
            alone.

    Returns:
        The words' tokens, and whether lines may be put together from them.
    """
    if lines and looks_at_words_alone(view.backend) and not _has_added(view, lexicon.words):
        few = _Checked(view, lines[:_FEW])
        for mark in ("", " "):
            if few.holds(Cut(view, few.lexicon, Pieces.of(view, [mark + word for word in few.lexicon.words]), mark)):
                cut = Cut(view, lexicon, _together(view, lexicon, mark), mark)
                if _Checked(view, lines, lexicon).holds(cut):
                    return cut
                break
    return Cut(view, lexicon, behind_space(view, lexicon.words), None)


def cut_lines(view: Vocabulary, lines: Lines, told: Callable[[int], None] | None = None) -> Pieces:
    """Cut the lines of a text, word by word where that gives the same tokens.

    Args:
        view: the tokenizer.
        lines: the text; gone through a second time where lines must be cut whole.
        told: called with the number of lines read.

    Returns:
        The tokens of each line.
    """
    splitter, batches = Splitter(), []
    checked, step, done = list[str](), 1, 0
    alone = looks_at_words_alone(view.backend)
    for batch in batched(lines, CHARACTERS):
        if alone:
            ids, counts = splitter.split(batch)
            batches.append((ids.astype(np.int32), counts))
            plain = without_spans(ids, counts)
            checked += filter(None, (head(batch[n]) for n in range(-done % step, len(batch), step) if plain[n]))
            while len(checked) > _CHECKED:
                checked, step = checked[::2], 2 * step
        done += len(batch)
        if told is not None:
            told(done)
    cut = cut_words(view, splitter.lexicon, checked)
    if cut.mark is None:
        return Pieces.of(view, lines)
    return Pieces.joined(cut.lines(*batch) for batch in batches)


def without_spans(ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mark the lines that consist of words only, at least one; arguments are what `Splitter.split` gives."""
    spans = np.bincount(np.repeat(np.arange(len(counts)), counts)[ids < 0], minlength=len(counts))
    return (counts > 0) & (spans == 0)


def head(line: str) -> str:
    """Return the beginning of a line that is too long to be looked at whole: words of it; "" where it has none."""
    return line if len(line) <= _LONGEST else line[:_LONGEST].rpartition(" ")[0]


def behind_space(view: Vocabulary, words: Sequence[str]) -> Pieces:
    """Cut words, each alone, as they are cut behind a space."""
    return Pieces.of(view, [f" {word}" for word in words] if view.family == "byte-level" else words)


class _Checked:
    """Lines that are cut whole, to hold others' cuts against."""

    def __init__(self, view: Vocabulary, lines: Sequence[str], lexicon: Lexicon | None = None) -> None:
        splitter = Splitter()
        self.ids, self.counts = splitter.split(lines)
        self.lexicon = splitter.lexicon
        if lexicon is not None:
            place = lexicon.place
            self.ids = np.array([place[word] for word in self.lexicon.words], dtype=np.int64)[self.ids]
            self.lexicon = lexicon
        self.whole = Pieces.of(view, lines)

    def holds(self, cut: Cut) -> bool:
        found = cut.lines(self.ids, self.counts)
        return np.array_equal(found.ids, self.whole.ids) and np.array_equal(found.starts, self.whole.starts)


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


def keeps_ascii(backend: Any) -> bool:
    """Whether a normaliser leaves words of ASCII letters, digits and signs as they are, but for a space before them.

    Args:
        backend: a `tokenizers.Tokenizer`.
    """
    parts = parts_of(state_of(backend.normalizer))
    forms = [part for part in parts if part["type"] in _FORMS]
    spaces = [part for part in parts if part["type"] in ("Strip", "Prepend") or _is_of_spaces(part)]
    if len(forms) + len(spaces) != len(parts):
        return False
    normalise = str if backend.normalizer is None else backend.normalizer.normalize_str
    return all(normalise(sign).strip() == sign for sign in ascii_letters + digits + punctuation)


def _is_local(part: dict[str, Any]) -> bool:
    if part["type"] == "Replace":
        found = part["pattern"].get("String", " ") + part["content"]  # of patterns, only those that find white space
        return _is_of_spaces(part) or not any(map(str.isspace, found))
    return part["type"] in _LOCAL or (part["type"] == "Prepend" and part["prepend"] == " ")


def _is_of_spaces(part: dict[str, Any]) -> bool:
    return part["type"] == "Replace" and part["pattern"].get("Regex") in _WHITE and bool(part["content"] == " ")


def _cuts_at_spaces(part: dict[str, Any]) -> bool:
    kind = part["type"]
    if kind == "Split":
        return _isolated(part) in _SPLITS
    return (
        kind in ("WhitespaceSplit", "Whitespace", "BertPreTokenizer")
        or (kind == "Metaspace" and part.get("split", True))
        or (kind == "ByteLevel" and part.get("use_regex", True))
    )


def _isolated(part: dict[str, Any]) -> str:
    """Return the pattern that a part of a pre-tokeniser cuts out; "" where it does something else."""
    isolates = part["type"] == "Split" and part["behavior"] == "Isolated" and not part["invert"]
    return part["pattern"].get("Regex", "") if isolates else ""


def _cuts_signs_off(part: dict[str, Any]) -> bool:
    """Whether a part of a pre-tokeniser is one of our own cuts at signs: it finds nothing but these."""
    pattern = _isolated(part)
    return part == BYTES_APART or bool(re.match(r"[▁ ]?\??\(\?:", pattern)) and pattern.endswith(rf"{SIGN})+")


def _has_added(view: Vocabulary, words: Sequence[str]) -> bool:
    """Whether words hold an added token: it may swallow spaces, and what follows it begins anew."""
    tokens = view.backend.get_added_tokens_decoder().values()
    joined = "\n".join(words)
    folded = joined.lower() if any(token.normalized for token in tokens) else ""
    return any(
        " " in token.content.strip()
        or token.content in joined
        or (token.normalized and token.content.lower() in folded)
        for token in tokens
        if token.content.strip()
    )


def _together(view: Vocabulary, lexicon: Lexicon, mark: str) -> Pieces:
    """Cut words with `mark` before each, many at a time, and without their last signs where that changes nothing.

    A plain word has at most one token that begins a word, its first; so where there are as many of them as words, each
    begins one. Where there are not (an unknown beginning), those words are cut alone.
    """
    cutters = parts_of(state_of(view.backend.pre_tokenizer))
    marked = [mark + word for word in lexicon.words] if mark else lexicon.words
    if view.family != "byte-level" and (view.family != "metaspace" or not _begins_once(cutters)):
        return Pieces.of(view, marked)
    stem, sign = _stems(view, lexicon, cutters)
    first = lexicon.order[((stem < 0) & ~lexicon.strange)[lexicon.order]]
    unsigned = _untouched(view, lexicon)[first]
    kept = _kept_as_written(view, lexicon)[first] if not mark else np.zeros(len(first), dtype=bool)
    place = np.full(len(lexicon), -1, dtype=np.int64)
    whole = Pieces.of(view, [marked[n] for n in np.flatnonzero(lexicon.strange)])
    place[lexicon.strange] = np.arange(len(whole))
    for signs, normal in product((False, True), repeat=2):
        some = first[(unsigned != signs) & (kept == normal)]
        backend = _without(view, cutters, unsigned=not signs, normal=normal)
        place[some] = len(whole) + np.arange(len(some))
        whole += _joined(view, backend, [marked[n] for n in some.tolist()], "" if mark else " ")
    # Then words that are another one and a sign.
    signed, behind = stem >= 0, np.unique(sign[sign >= 0])
    counts = 1 + signed
    items = np.repeat(np.where(signed, place[stem], place), counts)
    items[np.cumsum(counts)[signed] - 1] = len(whole) + np.searchsorted(behind, sign[signed])
    whole += Pieces(behind.astype(np.int32), np.ones(len(behind), dtype=np.int64))
    return whole.take(items, counts)


def _begins_once(cutters: list[dict[str, Any]]) -> bool:
    kinds = [part["type"] for part in cutters]
    return kinds.count("Metaspace") == 1 and set(kinds[: kinds.index("Metaspace")]) <= {"WhitespaceSplit"}


def _joined(view: Vocabulary, backend: Any, words: list[str], between: str) -> Pieces:
    """Cut plain words a hundred at a time, which takes less than half as long as each alone."""
    groups = [words[start : start + _TOGETHER] for start in range(0, len(words), _TOGETHER)]
    sizes = np.array(list(map(len, groups)), dtype=np.int64)
    lines = Pieces.of(view, list(map(between.join, groups)), backend)
    begins = view.word_start[lines.ids]
    many = np.diff(np.concatenate([[0], np.cumsum(begins)])[lines.starts])
    clear = (many == sizes) & np.append(begins, False)[lines.starts[:-1]]
    kept = np.repeat(clear, lines.lengths)
    edges = np.flatnonzero(begins[kept])
    ids = lines.ids[kept]
    whole = Pieces(ids, np.diff(edges, append=len(ids)))
    if clear.all():
        return whole
    grouped = np.repeat(clear, sizes)
    alone = np.flatnonzero(~grouped)
    place = np.empty(len(words), dtype=np.int64)
    place[grouped], place[alone] = np.arange(len(whole)), len(whole) + np.arange(len(alone))
    return (whole + Pieces.of(view, [words[n] for n in alone.tolist()], backend)).take(place)


def _without(view: Vocabulary, cutters: list[dict[str, Any]], *, unsigned: bool, normal: bool) -> Any:
    """Return a tokenizer over the same vocabulary that leaves out what would change nothing, which takes time.

    Args:
        view: the tokenizer.
        cutters: the parts of its pre-tokeniser.
        unsigned: there is no punctuation to be cut off.
        normal: what it is given is normal already: its normaliser may only put a space before words.
    """
    from tokenizers import Tokenizer, normalizers, pre_tokenizers

    kept = [part for part in cutters if not (unsigned and _cuts_signs_off(part))]
    if len(kept) == len(cutters) and not normal:
        return view.backend
    cutter = pre_tokenizers.Sequence([])
    cutter.__setstate__(json.dumps({"type": "Sequence", "pretokenizers": kept}).encode())
    faster = Tokenizer(view.backend.model)  # shared, not copied
    faster.pre_tokenizer = cutter
    if not normal:
        faster.normalizer = view.backend.normalizer
    elif any(part["type"] == "Prepend" for part in parts_of(state_of(view.backend.normalizer))):
        faster.normalizer = normalizers.Prepend(" ")
    return faster


def _kept_as_written(view: Vocabulary, lexicon: Lexicon) -> np.ndarray:
    """Mark words that the normaliser leaves as they are, but for a space before them; bool (words,)."""
    if not keeps_ascii(view.backend):
        return np.zeros(len(lexicon), dtype=bool)
    forms = {part["type"] for part in parts_of(state_of(view.backend.normalizer))} & _FORMS
    return lexicon.composed if forms <= {"NFC"} else lexicon.every(ascii_letters + digits)


def _untouched(view: Vocabulary, lexicon: Lexicon) -> np.ndarray:
    """Mark words in which our cut of punctuation finds nothing: letters, marks and numbers that stay such."""
    letters = lexicon.signs.worded & lexicon.signs.plain
    stay = (all(unicodedata.category(c)[0] in "LMN" for c in view.normalise(letter).strip()) for letter in letters)
    return lexicon.every(compress(letters, stay))


def _stems(view: Vocabulary, lexicon: Lexicon, cutters: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Find words that are cut as another word and a sign behind it.

    Where no piece has the sign behind the letter that it follows, every cut parts the two; so what stands before is
    cut as if the sign were not there. (A Unigram model has found the best way to the letter before it sees the sign.)

    Returns:
        Place of the other word, -1 where there is none, and the sign's id; both int64 (words,).
    """
    stem, sign = lexicon.stems.copy(), np.full(len(lexicon), -1, dtype=np.int64)
    if not _tells_signs_apart(view, cutters):
        stem[:] = -1
        return stem, sign
    places = np.flatnonzero(stem >= 0)
    normal = view.normalise(" ".join([lexicon.words[place] for place in places.tolist()])).replace(SPACE, " ").split()
    if len(normal) != len(places) or min(map(len, normal), default=2) < 2:
        stem[:] = -1
        return stem, sign
    given = {character: view.backend.token_to_id(character) for character in SIGNS}
    ids = {character: index for character, index in given.items() if index is not None}
    written = re.compile(rf"(.)(?=([{re.escape(SIGNS)}]))", re.DOTALL)
    joined = {letter + character for letter, character in written.findall("\n".join(view.tokens))}
    alphabet = {byte: letter for letter, byte in byte_alphabet().items()} if view.family == "byte-level" else None
    off = {}
    for pair in {word[-2:] for word in normal}:
        before = pair[0] if alphabet is None else alphabet[pair[0].encode()[-1]]
        off[pair] = -1 if before + pair[1] in joined else ids.get(pair[1], -1)
    sign[places] = [off[word[-2:]] for word in normal]
    stem[sign < 0] = -1
    return stem, sign


def _tells_signs_apart(view: Vocabulary, cutters: list[dict[str, Any]]) -> bool:
    """Whether model, normaliser and pre-tokeniser treat the last sign of a word and what stands before it apart."""
    model, normalisers = view.backend.model, parts_of(state_of(view.backend.normalizer))
    if type(model).__name__ not in ("BPE", "Unigram"):
        return False
    if any(getattr(model, name, None) for name in ("ignore_merges", "continuing_subword_prefix", "end_of_word_suffix")):
        return False
    if any(part["type"] == "Replace" and set(part["pattern"].get("String", "")) & set(SIGNS) for part in normalisers):
        return False
    # Words that are cut by name are known without their last sign where that is cut off before.
    off = [SIGN in _isolated(part) and _cuts_signs_off(part) and ENDING not in _isolated(part) for part in cutters]
    return all(
        part["type"] in ("Metaspace", "WhitespaceSplit", "ByteLevel", "Digits")
        or _cuts_signs_off(part)
        or _cuts_at_spaces(part)
        or (by_name(part) and any(off[:place]))
        for place, part in enumerate(cutters)
    )
