"""One canonical view of any tokenizer: what each id spells, whether it begins a word, and what part it plays.

WordPiece (`##x`), byte-level BPE (`Ġx` in GPT-2's byte alphabet) and Metaspace tokenizers (`▁x`; SentencePiece) write
the same piece in three ways. Everything else in `vocab` looks at the one form given here.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import unicodedata
import weakref
from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.roles import ROLES, guess_roles, state_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_HEX = "0123456789ABCDEFabcdef"
_BYTE_TOKENS = [f"<0x{high}{low}>" for high in _HEX for low in _HEX]
_CACHE: weakref.WeakKeyDictionary[Any, tuple[int, Vocabulary]] = weakref.WeakKeyDictionary()
_FILES: dict[tuple[Any, ...], Vocabulary] = {}


class Kind(IntEnum):
    """What an id is."""

    PIECE = 0
    """Ordinary text."""
    BYTE = 1
    """One byte that is no character of its own: `<0xNN>`, or a lone byte of a byte-level tokenizer."""
    SPECIAL = 2
    """A token that no text contains: `[CLS]`, `<pad>`."""
    GAP = 3
    """No token has this id."""


def byte_alphabet() -> dict[str, int]:
    """Return the alphabet in which byte-level tokenizers write bytes: character -> byte (Radford et al. 2019, code).

    Printable Latin-1 characters stand for themselves; the other 68 bytes are moved up to U+0100 and following, in
    order, which makes the space `Ġ`.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(b): b for b in plain} | {chr(0x100 + n): b for n, b in enumerate(others)}


class Vocabulary:
    """What every id of a tokenizer spells, in one form for all families. Make one with `Vocabulary.of`.

    Attributes:
        backend: the tokenizer, without truncation or padding.
        name: where it came from.
        family: `wordpiece`, `byte-level`, `metaspace` or `plain`.
        tokens: raw text by id, "" for gaps.
        forms: canonical form by id: `▁x` where a word begins, `x` inside one, `<0xNN>` for bytes, specials as they
            are; a space inside a piece is written `▁`; the mark of a word's end (`x</w>`) stays.
        kind: uint8 (n,) of `Kind`.
        roles: role (cls, sep, bos, eos, pad, unk, mask) -> id; one token may play several.
        ids: canonical form -> id, the first of equals; specials and gaps are not in it. Punctuation of a WordPiece
            tokenizer, which stands alone wherever it occurs, is found with and without the word mark.
    """

    def __init__(self, backend: Tokenizer, name: str, roles: dict[str, str]) -> None:
        self.backend, self.name = _unbounded(backend), name
        added = backend.get_added_tokens_decoder()
        self.tokens, gaps = _tokens_by_id(backend, name)
        self.roles = {role: index for role, text in roles.items() if (index := backend.token_to_id(text)) is not None}
        self.family, self._prefix = _family(backend)
        special = {index for index, token in added.items() if token.special} | set(self.roles.values())
        self._own = {index: _spell_added(self.tokens[index]) for index in added if index not in special}
        self.kind, self.forms = _kinds_and_forms(backend, self.family, self._prefix, self.tokens)
        for index, (_, _, form) in self._own.items():
            self.kind[index], self.forms[index] = Kind.PIECE, form
        for index in special:
            self.kind[index], self.forms[index] = Kind.SPECIAL, self.tokens[index]
        for index in gaps:
            self.kind[index], self.forms[index] = Kind.GAP, ""
        self.ids: dict[str, int] = {}
        others = {*special, *gaps}
        if len(set(self.forms)) == len(self.forms):
            self.ids = dict(zip(self.forms, range(len(self.forms)), strict=True))
            for index in others:
                del self.ids[self.forms[index]]
        else:
            for index, form in enumerate(self.forms):
                if index not in others:
                    self.ids.setdefault(form, index)
        if self.family == "wordpiece":
            for form, index in list(self.ids.items()):
                if len(form) == 2 and form[0] == SPACE and unicodedata.category(form[1])[0] in "PS":
                    self.ids.setdefault(form[1], index)
        self._added_pieces = {token.content: i for i, token in added.items() if i not in special}

    @cached_property
    def word_start(self) -> np.ndarray:
        """Bool (n,): the token begins a word."""
        start = np.array([form[:1] == SPACE for form in self.forms], bool)
        start[self.kind >= Kind.SPECIAL] = False
        return start

    @cached_property
    def text(self) -> list[bytes]:
        """Bytes that each token spells, without the word mark; b"" for gaps."""
        spell = _speller(self.family, self._prefix)
        found = []
        for index, (token, kind) in enumerate(zip(self.tokens, self.kind.tolist(), strict=True)):
            if kind == Kind.SPECIAL:
                found.append(token.encode("utf-8", "replace"))
            else:
                found.append(self._own[index][1] if index in self._own else spell(token)[1])
        return found

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({self.name!r}, {self.family}, {len(self)} ids)"

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """View a tokenizer.

        Args:
            tokenizer: a fast tokenizer of transformers, a `tokenizers.Tokenizer`, a folder, a `tokenizer.json`, a
                SentencePiece `.model`, a hub id, or a `Vocabulary`, which is returned as it is.

        Returns:
            The view; the same one for the same object (or unchanged file) asked for again.

        Raises:
            InputError: nothing is there, it is no fast tokenizer, or two tokens share an id.
        """
        if isinstance(tokenizer, Vocabulary):
            return tokenizer
        from tokenizers import Tokenizer

        if isinstance(tokenizer, Tokenizer):
            return cls(tokenizer, "tokenizer", guess_roles(tokenizer))
        if isinstance(tokenizer, str | Path):
            return cls._of_place(tokenizer)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise InputError(
                "a tokenizer in Python code of its own cannot be viewed",
                found=type(tokenizer).__name__,
                expected="a fast tokenizer, a folder, a tokenizer.json, a SentencePiece .model or a hub id",
            )
        known = _CACHE.get(tokenizer)
        if known is None or known[0] != len(tokenizer):
            roles = {role: text for role in ROLES if (text := getattr(tokenizer, f"{role}_token", None)) is not None}
            guessed = guess_roles(backend) if not roles else {}
            name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
            known = (len(tokenizer), cls(backend, name, {r: str(t) for r, t in (roles or guessed).items()}))
            _CACHE[tokenizer] = known
        return known[1]

    @classmethod
    def _of_place(cls, place: str | Path) -> Vocabulary:
        from vocab.tokenizer.load import load_tokenizer

        path = Path(place)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        key = (str(path), *((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file()))
        if len(key) == 1 or key not in _FILES:
            view = cls.of(load_tokenizer(place))
            view.name = str(place)
            _FILES[key] = view
        return _FILES[key]

    def without_tokenizer(self) -> Vocabulary:
        """Return a copy that says all that is known of the tokens and cuts no text: a tokenizer takes much memory."""
        made = copy.copy(self)
        del made.backend
        return made

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the tokens, their kinds and roles, in the order of their ids."""
        lengths = np.array([len(token) for token in self.tokens], np.int32)
        digest = hashlib.sha256(lengths.tobytes())
        digest.update("".join(self.tokens).encode("utf-8", "surrogatepass"))
        digest.update(self.kind.tobytes())
        digest.update(repr(sorted(self.roles.items())).encode())
        return digest.hexdigest()

    def normalise(self, text: str) -> str:
        """Return the text as the tokenizer's normaliser leaves it."""
        return text if self.backend.normalizer is None else str(self.backend.normalizer.normalize_str(text))

    @cached_property
    def lowercases(self) -> bool:
        """Whether the normaliser makes capitals small (tried on a sample)."""
        out = self.normalise("ABC")
        return "abc" in out and "ABC" not in out

    @cached_property
    def strips_accents(self) -> bool:
        """Whether the normaliser drops accents and dots (tried on a sample)."""
        out = unicodedata.normalize("NFD", self.normalise("éàọ"))
        return "e" in out and not any(unicodedata.combining(c) for c in out)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encode texts without special tokens, whole, whatever truncation the tokenizer was set to.

        Args:
            texts: the texts.

        Returns:
            One int32 array of ids a text.
        """
        self.backend = _unbounded(self.backend)
        batch = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in batch]

    def encodings(self, texts: Sequence[str]) -> list[Any]:
        """Encode texts as `encode` does; what `tokenizers` gives for each, with offsets into the text."""
        self.backend = _unbounded(self.backend)
        return list(self.backend.encode_batch(list(texts), add_special_tokens=False))

    def pieces_of(self, text: str, word_start: bool) -> list[int]:
        """Say how this tokenizer cuts a surface, at the start of a word or inside one.

        Args:
            text: the surface, without a word mark; normalised here.
            word_start: cut it as the beginning of a word (with the leading space), or as what follows.

        Returns:
            Ids; [] for what the normaliser drops. The unknown token stands only for characters that this vocabulary
            has neither at the start of a word nor inside one.
        """
        if text in self._added_pieces:
            return [self._added_pieces[text]]
        spaced = word_start and not text.startswith(" ")
        normal = self.normalise(f" {text}" if spaced else text)
        pre = self.backend.pre_tokenizer
        words = [word for word, _ in pre.pre_tokenize_str(normal)] if pre is not None else [normal]
        if not any(words):
            return []
        model = self.backend.model
        mark = {"byte-level": "Ġ", "metaspace": SPACE}.get(self.family)
        if mark is not None:
            bare = words[0].lstrip(mark)
            spaces = len(words[0]) - len(bare) if text.startswith(" ") else 0
            words[0] = mark * max(spaces, int(word_start)) + bare
        ids: list[int] = []
        for place, word in enumerate(words):
            inside = not word_start and place == 0 and self.family == "wordpiece"
            found = self._continue(word) if inside else None
            ids += found or [token.id for token in model.tokenize(word)] if word else []
        return ids

    def _continue(self, word: str) -> list[int] | None:
        """Cut greedily with continuing pieces, longest first (WordPiece); None where that is not possible."""
        ids: list[int] = []
        start = 0
        model = self.backend.model
        while start < len(word):
            for end in range(len(word), start, -1):
                index = model.token_to_id(self._prefix + word[start:end])
                if index is not None:
                    ids.append(index)
                    start = end
                    break
            else:
                return None
        return ids


def _unbounded(backend: Tokenizer) -> Tokenizer:
    """Return the tokenizer without truncation and padding; where it had them, another: it belongs to the caller."""
    if backend.truncation is None and backend.padding is None:
        return backend
    made = type(backend)(backend.model)  # shared: 250,000 pieces take 300 MB
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        setattr(made, part, getattr(backend, part))
    added = backend.get_added_tokens_decoder()
    made.add_tokens([added[index] for index in sorted(added)])
    made.encode_special_tokens = backend.encode_special_tokens
    return made


def _tokens_by_id(backend: Tokenizer, name: str) -> tuple[list[str], list[int]]:
    """Tokens in the order of their ids, and the ids that no token has."""
    size = backend.get_vocab_size(with_added_tokens=True)
    # So many different tokens under so many ids: none is missing, none stands twice. Much the faster way to ask.
    found = list(map(backend.id_to_token, range(size)))
    if None not in found and len(set(found)) == size and "" not in found:
        return [token for token in found if token], []
    vocabulary = backend.get_vocab(with_added_tokens=True)
    tokens = [""] * (max(vocabulary.values(), default=-1) + 1)
    for token, index in vocabulary.items():
        tokens[index] = token
    if len(set(vocabulary.values())) < len(vocabulary):
        token, index = min((t, i) for t, i in vocabulary.items() if tokens[i] != t)
        raise InputError(
            f"two tokens of {name} share the id {index}",
            found=" and ".join(sorted((repr(token), repr(tokens[index])))),
            expected="one",
        )
    gaps = []
    for index in [index for index, token in enumerate(tokens) if not token]:
        # A piece that stands twice in a Unigram table is listed once by get_vocab.
        tokens[index] = backend.id_to_token(index) or ""
        if not tokens[index] and vocabulary.get("") != index:
            gaps.append(index)
    return tokens, gaps


def _family(backend: Tokenizer) -> tuple[str, str]:
    """Return the family, and the mark of continuing pieces (or of a word's end)."""
    kind = type(backend.model).__name__
    if kind == "WordPiece":
        return "wordpiece", str(backend.model.continuing_subword_prefix)
    if kind == "WordLevel":
        return "wordpiece", "##"
    parts = [state_of(part) for part in (backend.normalizer, backend.pre_tokenizer, backend.decoder)]
    settings = json.dumps(parts, ensure_ascii=False)
    suffix = str(getattr(backend.model, "end_of_word_suffix", None) or "")
    if '"ByteLevel"' in settings:
        return "byte-level", suffix
    if SPACE in settings or backend.token_to_id(SPACE) is not None:
        return "metaspace", ""
    prefix = getattr(backend.model, "continuing_subword_prefix", None)
    if prefix:
        return "wordpiece", str(prefix)
    return "plain", suffix


def _spell_added(token: str) -> tuple[Kind, bytes, str]:
    """Read an added token that is ordinary text: it is written as it is, whatever the family."""
    bare = token[1:] if token[:1] in (" ", SPACE) else token
    start = bare != token
    return Kind.PIECE, bare.encode("utf-8", "replace"), SPACE * start + bare.replace(" ", SPACE)


def _kinds_and_forms(backend: Tokenizer, family: str, prefix: str, tokens: list[str]) -> tuple[np.ndarray, list[str]]:
    """Kind (array) and canonical form of each token; specials, gaps and added tokens are seen to elsewhere."""
    if family == "metaspace":  # the form is the token: no need to look at each of 250,000
        kind, forms = np.full(len(tokens), Kind.PIECE, np.uint8), list(tokens)
        for token in _BYTE_TOKENS:
            index = backend.token_to_id(token)
            if index is not None:
                kind[index], forms[index] = Kind.BYTE, f"<0x{token[3:5].upper()}>"
        return kind, forms
    spelt = list(map(_speller(family, prefix), tokens))
    return np.array([s[0] for s in spelt], np.uint8), [s[2] for s in spelt]


def _speller(family: str, prefix: str) -> Any:
    """Return the function token -> (kind, bytes, form) of a family."""
    alphabet = byte_alphabet()

    def wordpiece(token: str) -> tuple[Kind, bytes, str]:
        start = not (token.startswith(prefix) and len(token) > len(prefix))
        bare = token if start else token.removeprefix(prefix)
        return Kind.PIECE, bare.encode("utf-8", "replace"), SPACE * start + bare

    def byte_level(token: str) -> tuple[Kind, bytes, str]:
        if any(character not in alphabet for character in token):
            return _spell_added(token)
        end = prefix if token.endswith(prefix) else ""
        raw = bytes(alphabet[character] for character in token.removesuffix(end))
        start = raw[:1] == b" "
        bare = raw[1:] if start else raw
        try:
            return Kind.PIECE, bare, SPACE * start + bare.decode("utf-8").replace(" ", SPACE) + end
        except UnicodeDecodeError:
            kind = Kind.BYTE if len(raw) == 1 and not end else Kind.PIECE
            return kind, bare, SPACE * start + "".join(f"<0x{byte:02X}>" for byte in bare) + end

    def metaspace(token: str) -> tuple[Kind, bytes, str]:
        byte = _BYTE.fullmatch(token)
        if byte:
            return Kind.BYTE, bytes([int(byte[1], 16)]), f"<0x{byte[1].upper()}>"
        bare = token.removeprefix(SPACE)
        return Kind.PIECE, bare.replace(SPACE, " ").encode("utf-8", "replace"), token

    def plain(token: str) -> tuple[Kind, bytes, str]:
        return Kind.PIECE, token.removesuffix(prefix).encode("utf-8", "replace"), token

    return {"wordpiece": wordpiece, "byte-level": byte_level, "metaspace": metaspace, "plain": plain}[family]
