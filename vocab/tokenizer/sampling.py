"""BPE-dropout: words are cut in many ways in training, in one way in evaluation (Provilkov et al. 2020).

The rate is saved in `tokenizer_config.json`. What `tokenizer.json` says stays without dropout, so that whoever loads
the tokenizer evaluates with it; training asks for `drawn`. What `tokenizers` itself leaves out cannot be seeded, so the
merges that are left out are drawn here, from the seed and the text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice, pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.tokenizer.roles import parts_of, state_of
from vocab.view import byte_alphabet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DROPOUT = "bpe_dropout"  # in tokenizer_config.json
_KEPT = 100_000  # words whose merges are remembered
_MARKS = ("▁", "Ġ")


def remember(tokenizer: PreTrainedTokenizerFast, rate: float) -> None:
    """Give a tokenizer the share of merges that training leaves out; it survives save and load.

    Raises:
        InputError: its pieces are not made by merges.
    """
    kind = type(tokenizer.backend_tokenizer.model).__name__
    if kind != "BPE":
        raise InputError("there are no merges to leave out", found=kind, expected="an algorithm that merges, as bpe")
    tokenizer.init_kwargs[DROPOUT] = rate


def rate_of(tokenizer: PreTrainedTokenizerFast) -> float:
    """Return the share of merges that training leaves out; 0 where none was asked for."""
    return float(tokenizer.init_kwargs.get(DROPOUT, 0.0))


def drawn(tokenizer: Any, seed: int) -> Any:
    """Return what cuts a text for training as a tokenizer does, but for the merges it leaves out.

    Args:
        tokenizer: a fast tokenizer of transformers.
        seed: the same seed gives the same lines the same tokens.

    Returns:
        The tokenizer itself where it has no dropout; else an object with a `backend_tokenizer` that encodes batches.
    """
    rate = rate_of(tokenizer)
    return Drawn(Dropping(tokenizer.backend_tokenizer, rate, seed)) if rate else tokenizer


@dataclass(frozen=True)
class Drawn:
    """Stands in for a tokenizer."""

    backend_tokenizer: Dropping


@dataclass(frozen=True)
class Drawing:
    """One line as it was cut.

    Attributes:
        ids: its tokens.
        offsets: first and last character + 1 of each. Where a normaliser changed how many characters there are, those
            of the token that stood there without dropout.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


class Dropping:
    """A BPE tokenizer that leaves merges out at random.

    Of the merges that are possible at a time each is left out with probability `rate`, and the first of the rest is
    made, until none is left (Provilkov et al. 2020, algorithm 1). Until the first one is left out that is the usual
    way, so how far it is followed is drawn first. (`tokenizers` looks again at what it left out whenever it meets a
    merge that has become impossible, and so leaves out slightly less.)

    Args:
        backend: a `tokenizers.Tokenizer` whose model is BPE.
        rate: share of the merges that are left out, 0 to 1.
        seed: of what is drawn; so is the text, so that a text does not depend on what was cut before it.
    """

    def __init__(self, backend: Any, rate: float, seed: int) -> None:
        self._backend, self._rate, self._seed = backend, rate, seed
        model = json.loads(backend.to_str())["model"]
        self._ranks = {tuple(pair): rank for rank, pair in reversed(list(enumerate(model["merges"])))}
        self._ids: dict[str, int] = model["vocab"]
        self._made = {self._ids[left + right]: left + right for left, right in model["merges"]}
        level = any(part["type"] == "ByteLevel" for part in parts_of(state_of(backend.pre_tokenizer)))
        # What of a character's bytes is not its first takes no place in the text.
        self._no_place = {letter for letter, byte in byte_alphabet().items() if level and 0x80 <= byte < 0xC0}
        self._path = lru_cache(_KEPT)(self._follow)

    def to_str(self) -> str:
        """Say all that the tokens depend on."""
        return json.dumps([self._backend.to_str(), self._rate, self._seed])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def encode_batch(self, lines: Sequence[str], add_special_tokens: bool = False) -> list[Drawing]:
        """Cut lines; special tokens are not added."""
        random = Random(f"{self._seed} {hashlib.sha256(chr(0).join(lines).encode('utf-8', 'replace')).hexdigest()}")
        return [self._draw(one, random) for one in self._backend.encode_batch(list(lines), add_special_tokens=False)]

    def _draw(self, encoding: Any, random: Random) -> Drawing:
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        known, spans, words = encoding.ids, encoding.offsets, encoding.word_ids
        for _, run in groupby(range(len(known)), key=words.__getitem__):
            part = list(run)
            path = self._path(tuple(known[part[0] : part[-1] + 1]))
            step, last = 0, len(path.steps) - 1
            while step < last and random.random() >= self._rate:
                step += 1
            if step == last:
                ids += [known[n] for n in part]
                offsets += [spans[n] for n in part]
                continue
            bounds = self._merge(path.symbols, path.steps[step], random)
            places = self._places(path, [spans[n] for n in part])
            for start, end in pairwise(bounds):
                ids.append(path.ids[start] if end == start + 1 else self._ids["".join(path.symbols[start:end])])
                offsets.append((places[start][0], places[end - 1][1]))
        return Drawing(ids, offsets)

    def _places(self, path: _Path, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Say where in the text each symbol stands."""
        found: list[tuple[int, int]] = []
        symbols = iter(path.symbols)
        for (start, end), size in zip(spans, path.sizes, strict=True):
            letters = list(islice(symbols, size))
            width = [letter not in self._no_place for letter in letters]
            if sum(width) == end - start + 1 and letters[0] in _MARKS:
                width[0] = False  # a space that the tokenizer put there
            if sum(width) != end - start:
                found += [(start, end)] * size
                continue
            for has in width:
                found.append((start if has else max(spans[0][0], start - 1), start + has))
                start += has
        return found

    def _merge(self, symbols: Sequence[str], bounds: Sequence[int], random: Random) -> list[int]:
        """Go on from where the first merge is left out; symbols and bounds between pieces in, bounds out."""
        cuts, left_out = list(bounds), 1
        while True:
            chosen = None
            for _, place in self._possible(symbols, cuts)[left_out:]:
                if random.random() >= self._rate:
                    chosen = place
                    break
            if chosen is None:
                return cuts
            del cuts[chosen]
            left_out = 0

    def _possible(self, symbols: Sequence[str], cuts: Sequence[int]) -> list[tuple[int, int]]:
        """List the merges that can be made, the first learnt first: rank, and which bound it takes away."""
        ranks = map(self._ranks.get, pairwise(["".join(symbols[start:end]) for start, end in pairwise(cuts)]))
        return sorted((rank, place) for place, rank in enumerate(ranks, 1) if rank is not None)

    def _follow(self, tokens: tuple[int, ...]) -> _Path:
        """Take the tokens of a word apart, and put them together again merge by merge."""
        symbols: list[str] = []
        ids: list[int] = []
        sizes = []
        for token in tokens:
            made = token in self._made
            letters = list(self._made[token]) if made else [self._backend.id_to_token(token)]
            symbols += letters
            ids += [self._ids[letter] for letter in letters] if made else [token]
            sizes.append(len(letters))
        steps = [list(range(len(symbols) + 1))]
        while possible := self._possible(symbols, steps[-1]):
            place = possible[0][1]
            steps.append(steps[-1][:place] + steps[-1][place + 1 :])
        return _Path(symbols, ids, sizes, steps)


@dataclass(frozen=True)
class _Path:
    """How the merges of a word are made one after the other when none is left out.

    Attributes:
        symbols: what the word begins as: characters, bytes, or tokens that no merge makes.
        ids: the token of each.
        sizes: how many of them each token of the word holds.
        steps: bounds between pieces, before the first merge and after each.
    """

    symbols: list[str]
    ids: list[int]
    sizes: list[int]
    steps: list[list[int]]
