"""The files that a training may read beside its own text and the held-out one, and how all of them become tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapt.pretrain.codeswitch import lexicon, switch
from adapt.pretrain.mixing import SOURCE, TEXT, TRIPLES, Mix
from adapt.pretrain.tokens import TokenFile, tokenise
from adapt.pretrain.triples import tokenise_triples
from corpora.text import read_lines
from lexigraft import InputError
from vocab.tokenizer.sampling import drawn

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


def tokenise_all(
    text: Path, beside: Beside, tokenizer: Any, options: Mix, seed: int, folder: Path, progress: Progress | None = None
) -> dict[str, TokenFile]:
    """Cut every corpus of a training into tokens, words switched first where that is asked for.

    Args:
        text: the language's own text.
        beside: the other texts.
        tokenizer: a fast tokenizer of transformers; the merges it leaves out are drawn here, once, but never in facts.
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
    cutting = drawn(tokenizer, seed)
    for number, (name, path) in enumerate(paths.items()):
        own = folder if name == TEXT else folder / f"corpus-{number}"
        if not altered.get(name, False):
            found[name] = tokenise(path, cutting, own, progress=progress)
            continue
        words = lexicon(beside.dictionary, to_source=name == TEXT)  # type: ignore[arg-type]
        own.mkdir(parents=True, exist_ok=True)
        replaced = 0
        part = own / f".switched-{os.getpid()}.txt"  # several processes may be at it
        with part.open("w", encoding="utf-8", newline="\n") as handle:
            for line, count in switch(read_lines(path), words, code, seed):
                handle.write(f"{line}\n")
                replaced += count
        os.replace(part, own / "switched.txt")
        found[name] = tokenise(own / "switched.txt", cutting, own, progress=progress)
        found[name].facts["switched"] = replaced
    if beside.triples:
        found[TRIPLES] = tokenise_triples(beside.triples, tokenizer, options.sentences, folder / "corpus-triples")
    return found
