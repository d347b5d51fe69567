"""The files that a training may read beside its own text and the held-out one, and how all of them become tokens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from adapt.pretrain.codeswitch import CodeSwitch, Lexicon, lexicon, switch
from adapt.pretrain.distributed import World
from adapt.pretrain.mixing import SOURCE, TEXT, TRIPLES, Mix
from adapt.pretrain.tokens import TokenFile, tokenise
from adapt.pretrain.triples import tokenise_triples
from corpora.text import read_lines
from lexigraft import InputError
from vocab.tokenizer.sampling import drawn, rate_of

Progress = Callable[[float, float, dict[str, Any]], None]


@dataclass(frozen=True)
class Beside:
    """Texts that only some settings need; None where there is none.

    Attributes:
        source: text of a language that the source model knows, to be replayed.
        source_heldout: held-out text of that language, on which forgetting is measured.
        dictionary: bilingual dictionary (source word, tab, target word) for code-switching.
        triples: facts (head, relation, tail), tab-separated.
        others: texts of further languages, by name.
    """

    source: Path | None = None
    source_heldout: Path | None = None
    dictionary: Path | None = None
    triples: Path | None = None
    others: Mapping[str, Path] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path]:
        """Those that are there, by what they are for."""
        named = {name: getattr(self, name) for name in ("source", "source_heldout", "dictionary", "triples")}
        named |= {f"other {name}": path for name, path in sorted(self.others.items())}
        return {name: path for name, path in named.items() if path is not None}


class Redrawn(TokenFile):
    """A text that is cut anew for each epoch: other merges are left out, other words are switched.

    BPE-dropout draws anew each time a text is read (Provilkov et al. 2020, section 3), and so does code-switching (Qin
    et al. 2020). The tokens of an epoch are made when it begins, and those of the one before go, but for the first,
    which say how large the text is. They depend on text, seed and epoch alone: what a killed training left is checked,
    and made again where it must be. All processes come to a new epoch at the same block.

    Args:
        first: the tokens of the first epoch, number 0.
        cut: makes those of another one in a folder.
    """

    def __init__(self, first: TokenFile, cut: Callable[[int, Path], TokenFile]) -> None:
        super().__init__(first.folder)
        self.facts = first.facts
        self._cut = cut
        self._now: tuple[int, TokenFile] = (0, self)

    def at(self, epoch: int) -> TokenFile:
        """Return the same lines as they are cut in an epoch; all processes call it."""
        before, tokens = self._now
        if epoch != before:
            tokens.release()
            own, world = self.folder / f"epoch-{epoch}", World.here()
            with world.leader_first():
                self._now = epoch, self._cut(epoch, own) if epoch else self
            if world.leads:
                for other in self.folder.glob("epoch-*"):
                    if other != own:
                        shutil.rmtree(other, ignore_errors=True)  # Windows keeps what a process has open
        return self._now[1]


def tokenise_all(
    text: Path, beside: Beside, tokenizer: Any, options: Mix, seed: int, folder: Path, progress: Progress | None = None
) -> dict[str, TokenFile]:
    """Cut every corpus of a training into tokens, words switched first where that is asked for.

    Args:
        text: the language's own text.
        beside: the other texts.
        tokenizer: a fast tokenizer of transformers; the merges it leaves out are drawn here, but never in facts.
        options: how the corpora are mixed.
        seed: of the words that are switched, and of the merges that are left out.
        folder: gets the token files, each other corpus in a folder of its own.
        progress: told bytes read.

    Returns:
        The corpora by name, the own text first; `facts["switched"]` of one says how many words were replaced.

    Raises:
        InputError: code-switching without a dictionary; a text or a list of facts that cannot be used.
    """
    code = options.code_switch
    if code.words and beside.dictionary is None:
        raise InputError("code-switching needs a bilingual dictionary", expected="transplant.dictionary")
    altered = {TEXT: code.to_source, SOURCE: code.from_source}
    paths = {TEXT: text, **({SOURCE: beside.source} if beside.source else {}), **dict(sorted(beside.others.items()))}
    found: dict[str, TokenFile] = {}
    for number, (name, path) in enumerate(paths.items()):
        own = folder if name == TEXT else folder / f"corpus-{number}"
        words = lexicon(beside.dictionary, to_source=name == TEXT) if beside.dictionary and altered.get(name) else None
        cut = partial(_cut, path, words, code, tokenizer, seed)
        found[name] = cut(0, own, progress)
        if words is not None or rate_of(tokenizer):
            found[name] = Redrawn(found[name], cut)
    if beside.triples:
        found[TRIPLES] = tokenise_triples(beside.triples, tokenizer, options.sentences, folder / "corpus-triples")
    return found


def _cut(
    text: Path, words: Lexicon | None, options: CodeSwitch, tokenizer: Any, seed: int, epoch: int, folder: Path,
    progress: Progress | None = None,
) -> TokenFile:  # fmt: skip
    """Cut a text into tokens for one epoch, words switched first where there is a lexicon."""
    seed += epoch << 64  # the first epoch's is the seed itself
    cutting = drawn(tokenizer, seed)
    if words is None:
        return tokenise(text, cutting, folder, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    replaced = 0
    part = folder / f".switched-{os.getpid()}.txt"  # several processes may be at it
    with part.open("w", encoding="utf-8", newline="\n") as handle:
        for line, count in switch(read_lines(text), words, options, seed):
            handle.write(f"{line}\n")
            replaced += count
    os.replace(part, folder / "switched.txt")
    found = tokenise(folder / "switched.txt", cutting, folder, progress=progress)
    found.facts["switched"] = replaced
    return found
