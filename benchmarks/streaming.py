"""Memory and time that a text of any size needs on its way to the model: tokenised once, then drawn in blocks.

    python -m benchmarks.streaming --text FILE --tokenizer DIR [--megabytes 100 1000] [--blocks 40000]

Each size is a file made of the given text over and over, the words of every line in another order each time, so that
lines repeat neither as text nor as tokens. A process of its own tokenises it, counts the tokens (as a new head's bias
does) and draws blocks of 128 tokens, 8 at a time; printed is its largest resident memory after each of these, less what
it held before the text was opened. Flat memory means: the same whatever the size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from adapt.pretrain.measure import peak_memory

ROWS, LENGTH = 8, 128


def write_text(source: Path, target: Path, size: int) -> None:
    """Write so many bytes of text.

    Args:
        source: the text that is varied, one line a sentence.
        target: the file to write.
        size: bytes, reached to within a line.
    """
    lines = [line.split() for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    generator, written = np.random.default_rng(0), 0
    with target.open("w", encoding="utf-8") as out:
        while written < size:
            for words in lines:
                generator.shuffle(words)
                written += len((" ".join(words)).encode()) + 1
                out.write(" ".join(words) + "\n")
                if written >= size:
                    break


def child(text: Path, tokenizer: Path, folder: Path, blocks: int) -> dict[str, float]:
    """Tokenise, count and draw; memory in MB above the start, seconds of each."""
    from adapt.pretrain.data import Stream
    from adapt.pretrain.tokens import Symbols, tokenise
    from vocab.tokenizer.load import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    symbols, found = Symbols.of(loaded), {"start": peak_memory() / 1e6}
    clock = time.monotonic()

    def note(name: str) -> None:
        nonlocal clock
        now = time.monotonic()
        found[name], found[f"{name}_seconds"] = peak_memory() / 1e6 - found["start"], now - clock
        clock = now

    tokens = tokenise(text, loaded, folder)
    note("tokenised")
    tokens.counts(symbols.size)
    note("counted")
    stream = Stream(tokens, symbols, LENGTH, 0)
    for _ in range(blocks // ROWS):
        stream.take(ROWS)
    note("drawn")
    return found | {"tokens": tokens.facts["tokens"], "windows": stream.windows, "seen": stream.window}


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--blocks", type=int, default=40_000)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(given.text, given.tokenizer, given.child, given.blocks)))
        return
    print("MB text | M tokens | MB held before | MB more: tokenised, counted, drawn | s | windows drawn from")
    for size in given.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "text.txt"
            write_text(given.text, text, size * 1_000_000)
            command = [sys.executable, "-m", "benchmarks.streaming", "--text", str(text), "--tokenizer",
                       str(given.tokenizer), "--blocks", str(given.blocks), "--child", f"{folder}/tokens"]  # fmt: skip
            got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        steps = ("tokenised", "counted", "drawn")
        print(f"{size:7} | {got['tokens'] / 1e6:8.1f} | {got['start']:14.0f} | "
              f"{', '.join(f'{got[step]:.0f}' for step in steps):34} | "
              f"{', '.join(format(got[f'{step}_seconds'], '.0f') for step in steps)} | "
              f"{got['seen'] + 1} of {got['windows']}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
