"""Count what held-out text loses on its way through tokenizers: every algorithm, each language.

    python -m benchmarks.round_trip hau=TRAIN.txt,HELDOUT.txt yor=... [--lines 10000] [--vocab-size 4000]

A language's tokenizers learn from lines spread evenly over its first file. Each line of the second is encoded and
decoded, and held against itself in the tokenizer's normal form with single spaces. Lost are the characters that do not
come back, by count; a line that comes back otherwise (letters in another order, white space) counts as changed.
Prints the Markdown table of docs/tokenizers.md: characters lost, and lines changed where there are any.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any


def lost(tokenizer: Any, lines: list[str]) -> tuple[int, int]:
    """Count the characters that do not come back, and the lines that do not come back as they were."""
    from vocab.view import Vocabulary

    characters = changed = 0
    for line, ids in zip(lines, Vocabulary.of(tokenizer).encode(lines), strict=True):
        back = tokenizer.decode(ids, skip_special_tokens=True)  # else the letters of <unk> would count as kept
        if back != line:
            changed += 1
            characters += (Counter("".join(line.split())) - Counter("".join(back.split()))).total()
    return characters, changed


def heldout(file: str) -> list[str]:
    """Read text as tokenizers see it: NFC, single spaces."""
    from vocab.tokenizer.texts import Lines

    return [re.sub(r"\s+", " ", unicodedata.normalize("NFC", line)).strip() for line in Lines(file)]


def cell(characters: int, changed: int) -> str:
    """Write what was lost."""
    return f"{characters:,}" + (f" ({changed:,} lines)" if changed else "")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="+", metavar="NAME=TRAIN,HELDOUT")
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--vocab-size", type=int, default=4_000)
    parser.add_argument("--out", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    import vocab
    from vocab.tokenizer.algorithm import ALGORITHMS
    from vocab.tokenizer.texts import Lines

    kinds = [(spec.name, fallback) for spec in ALGORITHMS for fallback in {False, spec.family == "metaspace"}]
    kinds.sort()
    found: dict[tuple[str, bool], list[str]] = {kind: [] for kind in kinds}
    heads = []
    for entry in arguments.languages:
        name, files = entry.split("=", 1)
        train, held = files.split(",")
        lines = list(Lines(train))
        lines = lines[:: -(-len(lines) // arguments.lines)]
        wanted = heldout(held)
        heads.append(f"{name}, {sum(len(''.join(line.split())) for line in wanted):,} characters")
        for algorithm, fallback in kinds:
            made = vocab.train_tokenizer(
                lines, algorithm=algorithm, vocab_size=arguments.vocab_size, byte_fallback=fallback
            )
            found[algorithm, fallback].append(cell(*lost(made, wanted)))
            print(name, algorithm, fallback, found[algorithm, fallback][-1], flush=True)
    table = f"| algorithm | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}\n"
    for (algorithm, fallback), cells in found.items():
        table += f"| {algorithm}{', bytes' if fallback else ''} | {' | '.join(cells)} |\n"
    print(table)
    if arguments.out is not None:
        arguments.out.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
