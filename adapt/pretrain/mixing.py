"""Several corpora in one stream: small languages lifted, known text replayed, facts among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from adapt.pretrain.codeswitch import CodeSwitch
from adapt.pretrain.data import Blocks, Stream
from adapt.pretrain.tokens import TokenFile
from adapt.pretrain.triples import Sentences, Tailed
from vocab.options import Options

TEXT, SOURCE, TRIPLES = "text", "source", "triples"  # corpora with a part of their own; all others are languages


class Mix(Options):
    """What the blocks of a step are taken from; each block is of one corpus."""

    alpha: float = Field(0.3, ge=0, le=1)
    """With `corpus.others`: a language with n characters of text is drawn as n^alpha (Conneau & Lample 2019, section
    3.1; 0.3 as in XLM-R); 1: as they are, 0: all alike."""
    replay: float = Field(0.1, ge=0, lt=1)
    """Share of the blocks that come from `corpus.source_text`, where that is given, against forgetting (Ibrahim et al.
    2024; 0.05 to 0.3 is usual)."""
    triples: float = Field(0.1, gt=0, le=1)
    """Share of the other blocks that come from `corpus.triples`, where that is given."""
    sentences: Sentences = Field(default_factory=Sentences)
    """How facts become sentences."""
    code_switch: CodeSwitch = Field(default_factory=CodeSwitch)
    """Words replaced by their translations."""


def shares(sizes: Mapping[str, int], options: Mix) -> dict[str, float]:
    """Say what share of the blocks each corpus gets.

    Args:
        sizes: characters of each corpus.
        options: alpha, triples and replay.

    Returns:
        By name; the sum is 1.
    """
    replay = options.replay if SOURCE in sizes else 0.0
    facts = (1 - replay) * options.triples if TRIPLES in sizes else 0.0
    lifted = {name: size**options.alpha for name, size in sizes.items() if name not in (SOURCE, TRIPLES)}
    languages = (1 - replay - facts) / sum(lifted.values())
    found = {name: languages * part for name, part in lifted.items()}
    return found | {name: share for name, share in ((TRIPLES, facts), (SOURCE, replay)) if name in sizes}


class MixedStream:
    """An endless, seeded series of blocks from several corpora; goes on from a cursor as `Stream` does.

    Which corpus a block comes from is drawn from (seed, number of the block) and depends on nothing else. Where lines
    are not packed, the unit that is drawn is the batch of `take`.

    Args:
        streams: one for each corpus, `text` first.
        options: how they are mixed.
        seed: of what is drawn.
    """

    def __init__(self, streams: dict[str, Stream], options: Mix, seed: int) -> None:
        self.streams, self.seed = streams, seed
        self._sizes = {name: stream.tokens.facts["characters"] for name, stream in streams.items()}
        self._options = options
        self.block = 0
        self.seen = dict.fromkeys(streams, 0)  # tokens of each corpus, padding not counted
        self.replay = options.replay

    @property
    def replay(self) -> float:
        """Share of the blocks that are replayed; may be set while training, and is part of the cursor."""
        return self._replay

    @replay.setter
    def replay(self, share: float) -> None:
        self._replay = share if SOURCE in self.streams else 0.0
        found = shares(self._sizes, self._options.model_copy(update={"replay": self._replay}))
        self._names, self._borders = list(found), np.cumsum(list(found.values()))

    @property
    def tokens(self) -> TokenFile:
        """The language's own text."""
        return self.streams[TEXT].tokens

    @property
    def cursor(self) -> tuple[Any, ...]:
        """Number of the next block, share of replay, tokens seen and cursor of each corpus."""
        return self.block, self.replay, self.seen, [list(stream.cursor) for stream in self.streams.values()]

    def seek(self, cursor: Sequence[Any]) -> None:
        """Go to where a cursor says that the next block comes from."""
        self.block, self.replay, seen, places = cursor
        self.seen = dict(seen)
        for stream, place in zip(self.streams.values(), places, strict=True):
            stream.seek(place)

    def take(self, rows: int, length: int | None = None) -> Blocks:
        """Return the next blocks, those of one corpus beside each other; arguments as for `Stream.take`."""
        packing = self.streams[TEXT].packing
        draws = [self._draw(self.block + k) for k in range(rows if packing else 1)]
        self.block += len(draws)
        parts = []
        for name, stream in self.streams.items():
            if count := draws.count(name):
                part = stream.take(count if packing else rows, length)
                self.seen[name] += int(part.attention.sum())
                parts.append(part)
        blocks = Blocks.joined(parts, self.streams[TEXT].symbols.pad)
        return Tailed.of(blocks) if TRIPLES in self.streams else blocks

    def _draw(self, block: int) -> str:
        point = np.random.default_rng([self.seed, 5, block]).random() * self._borders[-1]
        return self._names[int(np.searchsorted(self._borders, point, side="right"))]


def mixed(
    opened: Callable[[TokenFile], Stream], corpora: Mapping[str, TokenFile], options: Mix, seed: int
) -> Stream | MixedStream:
    """Make the stream of a training.

    Args:
        opened: makes the stream of one corpus.
        corpora: the tokenised texts by name, `text` among them.
        options: how they are mixed.
        seed: of what is drawn.
    """
    if list(corpora) == [TEXT]:
        return opened(corpora[TEXT])
    return MixedStream({name: opened(tokens) for name, tokens in corpora.items()}, options, seed)


def seen(stream: Stream | MixedStream, tokens: int) -> dict[str, dict[str, float]]:
    """Count what was seen of each corpus.

    Args:
        stream: what was trained on.
        tokens: seen in all, special tokens counted, padding not.

    Returns:
        By name: tokens, characters (by the corpus's own characters a token), epochs; and, where words of it were
        switched, how many in the first epoch.
    """
    streams = stream.streams if isinstance(stream, MixedStream) else {TEXT: stream}
    counts = stream.seen if isinstance(stream, MixedStream) else {TEXT: tokens}
    found = {}
    for name, count in counts.items():
        facts, symbols = streams[name].tokens.facts, streams[name].symbols
        # Special tokens spell nothing: each line ends in one; those that open a whole row are too few to matter.
        around = (symbols.end is not None) + (symbols.begin is not None and streams[name].apart)
        epochs = count / (facts["tokens"] + facts["lines"] * around)
        found[name] = {"tokens": count, "characters": round(epochs * facts["characters"]), "epochs": epochs}
        if "switched" in facts:
            found[name]["switched"] = facts["switched"]
    return found
