"""Blocks of whole lines, drawn by epoch from tokens on disk; memory stays flat: lines are arranged by the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from adapt.pretrain.tokens import Part, Symbols, TokenFile

WINDOW = 8192  # lines arranged at a time
OPEN_BLOCKS = 24  # blocks that are being filled at a time


@dataclass(frozen=True)
class Blocks:
    """Rows of tokens, padded to one length.

    Attributes:
        ids: (rows, length) int64.
        starts: (rows, length) bool, True at the first token of a word.
        documents: (rows, length) int16, 0 at padding; tokens of a row attend to those with the same number.
    """

    ids: np.ndarray
    starts: np.ndarray
    documents: np.ndarray

    @property
    def attention(self) -> np.ndarray:
        """(rows, length) bool, False at padding."""
        return self.documents > 0

    @classmethod
    def joined(cls, parts: Sequence[Blocks], pad: int) -> Blocks:
        """Put blocks under one another, padded to the longest."""
        length = max(part.ids.shape[1] for part in parts)

        def stack(name: str, filler: int) -> np.ndarray:
            each = [getattr(part, name) for part in parts]
            return np.concatenate([np.pad(a, ((0, 0), (0, length - a.shape[1])), constant_values=filler) for a in each])

        return cls(stack("ids", pad), stack("starts", 0), stack("documents", 0))


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put lines together so that few places stay empty: best fit among a few open blocks, in the order given.

    Args:
        lengths: tokens of each line, its separator included; none above capacity.
        capacity: tokens a block holds.

    Returns:
        For each block the indices of its lines.
    """
    full: list[list[int]] = []
    blocks: list[list[int]] = []
    room: list[int] = []
    for index, length in enumerate(lengths):
        best = -1
        for k, r in enumerate(room):
            if r >= length and (best < 0 or r < room[best]):
                best = k
        if best < 0:
            if len(blocks) == OPEN_BLOCKS:
                tightest = room.index(min(room))
                full.append(blocks.pop(tightest))
                room.pop(tightest)
            blocks.append([])
            room.append(capacity)
            best = len(blocks) - 1
        blocks[best].append(index)
        room[best] -= length
        if room[best] < 2:
            full.append(blocks.pop(best))
            room.pop(best)
    return full + blocks


Row = list[Part]


class Stream:
    """An endless, seeded series of blocks; where it stands is a few numbers, so that a run can go on from there.

    Each epoch deals the lines out into windows (window w of W takes lines w, w + W, ...), visits the windows in a drawn
    order, draws the order of lines in each, and arranges them: packed into full rows, or one line a row in batches of
    lines of like length. Lines longer than a row are cut into equal parts. When another length is asked for in the
    middle of a window, the lines that are left are arranged anew: every line still comes once an epoch.

    Args:
        tokens: the tokenised text; where it is drawn anew for each epoch, that of the first.
        symbols: special tokens.
        length: tokens of a row, where `take` does not say.
        seed: seed of the orders.
        packing: fill the rows with several lines; without, one line a row.
        documents: a packed row's lines attend to themselves only, each between special tokens of its own.
    """

    def __init__(
        self, tokens: TokenFile, symbols: Symbols, length: int, seed: int, *, packing: bool = True,
        documents: bool = False,
    ) -> None:  # fmt: skip
        self.tokens, self.symbols, self.length, self.seed = tokens, symbols, length, seed
        self.packing, self.apart = packing, documents or not packing
        self.windows = max(1, round((len(tokens.lines) - 1) / WINDOW))
        self.seek((0, 0))

    @property
    def cursor(self) -> tuple[int, ...]:
        """Where the next block comes from: epoch, window, and what was taken of it (see `seek`)."""
        return self.epoch, self.window, *(number for taken in self.taken for number in taken)

    def seek(self, cursor: Sequence[int]) -> None:
        """Go to where a cursor says that the next block comes from.

        Args:
            cursor: epoch, window, then for each arrangement of the window: length, tokens of a batch (0 when packed),
                how many rows (batches, when not packed) were taken.
        """
        self.epoch, self.window, *rest = cursor
        self.taken = [list(rest[k : k + 3]) for k in range(0, len(rest), 3)]
        self._left: list[list[Row]] | None = None

    def take(self, rows: int, length: int | None = None) -> Blocks:
        """Return the next blocks.

        Args:
            rows: how many; when not packed, as many lines of like length as fill no more places than so many rows.
            length: tokens of a row.
        """
        length = length or self.length
        found: list[Row] = []
        while len(found) < rows:
            left = self._arranged(length, 0 if self.packing else rows * length)
            if not left:
                self.window, self.taken, self._left = self.window + 1, [], None
                if self.window == self.windows:
                    self.window, self.epoch = 0, self.epoch + 1
                continue
            count = rows - len(found) if self.packing else 1
            self._left = left[count:]
            self.taken[-1][2] += len(left[:count])
            found += [row for batch in left[:count] for row in batch]
            if not self.packing:
                break
        return rows_of(found, length, self.symbols, apart=self.apart)

    def _arranged(self, length: int, budget: int) -> list[list[Row]]:
        """Arrange what is left of the window: batches, of one row when packed."""
        if self._left is None:
            order = np.random.default_rng([self.seed, 1, self.epoch]).permutation(self.windows)
            tokens = self.tokens.at(self.epoch)
            lines = np.arange(int(order[self.window]), len(tokens.lines) - 1, self.windows)
            self._left = [[tokens.read(lines)]]
            for number, (*key, count) in enumerate(self.taken):
                self._left = self._arrange(self._left, number, *key)[count:]
        if not self.taken or self.taken[-1][:2] != [length, budget]:
            self._left = self._arrange(self._left, len(self.taken), length, budget)
            self.taken.append([length, budget, 0])
        return self._left

    def _arrange(self, left: list[list[Row]], number: int, length: int, budget: int) -> list[list[Row]]:
        generator = np.random.default_rng([self.seed, 2, self.epoch, self.window, number])
        around = sum(token is not None for token in (self.symbols.begin, self.symbols.end))
        room = length - around
        parts: list[Part] = []
        for ids, starts in (part for batch in left for row in batch for part in row):
            pieces = -(-len(ids) // room)
            cuts = [len(ids) * k // pieces for k in range(pieces + 1)] if pieces else []
            parts += [(ids[first:last], starts[first:last]) for first, last in pairwise(cuts)]
        generator.shuffle(parts)
        sizes = [len(ids) for ids, _ in parts]
        if budget:
            batches = _batches(sizes, around, budget)
            generator.shuffle(batches)
            return [[[parts[i]] for i in batch] for batch in batches]
        once = int(self.symbols.begin is not None and not self.apart)  # one opens the row, not each of its lines
        packed = pack([size + around - once for size in sizes], length - once)
        generator.shuffle(packed)
        return [[[parts[i] for i in row]] for row in packed]


def rows_of(rows: Sequence[Row], length: int, symbols: Symbols, *, apart: bool) -> Blocks:
    """Put the special tokens around the parts of each row and pad to the longest row.

    Args:
        rows: the parts of each.
        length: tokens that a row may have.
        symbols: special tokens.
        apart: each part is a document of its own, with special tokens of its own.
    """
    ids = np.full((len(rows), length), symbols.pad, dtype=np.int64)
    starts = np.zeros(ids.shape, dtype=bool)
    documents = np.zeros(ids.shape, dtype=np.int16)
    longest = 0
    for r, row in enumerate(rows):
        at = 0
        for number, (own, words) in enumerate(row):
            first = at
            if symbols.begin is not None and (apart or not number):
                ids[r, at], at = symbols.begin, at + 1
            ids[r, at : at + len(own)] = own
            starts[r, at : at + len(own)] = words
            starts[r, at] = True
            at += len(own)
            if symbols.end is not None:
                ids[r, at], at = symbols.end, at + 1
            documents[r, first:at] = number + 1 if apart else 1
        longest = max(longest, at)
    return Blocks(ids[:, :longest], starts[:, :longest], documents[:, :longest])


def _batches(sizes: Sequence[int], around: int, budget: int) -> list[list[int]]:
    """Lines of like length together, so that no batch fills more than `budget` places, padding counted.

    Args:
        sizes: tokens of each line.
        around: special tokens that each gets.
        budget: places of a batch; a line that is longer makes one alone.
    """
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    batches = []
    while order:
        count = max(1, budget // (sizes[order[0]] + around))
        batches.append(order[:count])
        order = order[count:]
    return batches
