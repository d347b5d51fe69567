"""Memory that a text of any size needs on its way to the model: cleaned, tokenised, trained on, drawn from.

    python -m benchmarks.streaming --text FILE --model DIR [--megabytes 100 1000] [--steps 20] [--blocks 40000]

Each size is a file made of the given text over and over: every time the words of a line come in another order, and the
letters of one of them too, so that neither lines nor tokens only repeat. What the corpus stage does with it, cutting
its output into tokens, some training steps of the model, and drawing blocks of 128 tokens all over it each have a
process of their own, as one thread. Printed is its resident memory before it opens the text, after each quarter of its
time, and the largest seen. Flat memory means: the same whatever the size, and at the end as after a quarter.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

STAGES = "corpus", "tokens", "training", "drawing"
ROWS, LENGTH = 8, 128
EVERY = 0.2  # seconds between looks at the memory
THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
Work = Callable[[], dict[str, Any]]


def write_text(source: Path, target: Path, size: int) -> None:
    """Write so many bytes of text.

    Args:
        source: the text that is varied, one line a sentence.
        target: the file to write.
        size: bytes, reached to within a line.
    """
    lines = [line.split() for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    draw, written = random.Random(0), 0
    with target.open("w", encoding="utf-8") as out:
        while written < size:
            for words in lines:
                draw.shuffle(words)
                one = "".join(draw.sample(words[0], len(words[0])))
                line = " ".join([one, *words[1:]]) + "\n"
                out.write(line)
                written += len(line.encode())
                if written >= size:
                    break


def cleaning(folder: Path) -> Work:
    """Return what the corpus stage does with `folder/text.txt`."""
    from corpora.clean import prepare

    def corpus() -> dict[str, Any]:
        facts = prepare([folder / "text.txt"], folder)
        return {"lines": facts["read"], "removed": facts["removed"], "heldout": facts["heldout"]["lines"]}

    return corpus


def learning(folder: Path, model: Path, steps: int, blocks: int) -> dict[str, Work]:
    """Return what is done with its output, by the name of the stage."""
    from adapt.pretrain.data import Stream
    from adapt.pretrain.engine import pretrain
    from adapt.pretrain.options import Pretrain
    from adapt.pretrain.tokens import Symbols, TokenFile, tokenise
    from vocab.tokenizer.load import load_tokenizer

    clean, tokens, tokenizer = folder / "train.txt", folder / "trained" / "tokens", load_tokenizer(model)
    options = Pretrain(steps=steps, batch_tokens=ROWS * LENGTH, sequence_length=LENGTH)

    def cutting() -> dict[str, Any]:
        return {"tokens": tokenise(clean, tokenizer, tokens).facts["tokens"]}

    def training() -> dict[str, Any]:
        facts = pretrain(model, model, clean, folder / "heldout.txt", options, steps, 0, folder / "trained")
        return {"steps": facts["steps"], "loss": facts["loss"]}

    def drawing() -> dict[str, Any]:
        stream = Stream(TokenFile(tokens), Symbols.of(tokenizer), LENGTH, 0)
        for _ in range(blocks // ROWS):
            stream.take(ROWS)
        return {"windows": stream.windows, "seen": stream.window + 1}

    return {"tokens": cutting, "training": training, "drawing": drawing}


def child(stage: str, folder: Path, model: Path, steps: int, blocks: int) -> dict[str, Any]:
    """Do one thing in this process, and say when it began, with how many resident bytes, and the processor seconds."""
    work = cleaning(folder) if stage == STAGES[0] else learning(folder, model, steps, blocks)[stage]
    began = {"began": time.time(), "before": psutil.Process().memory_info().rss}
    used = time.process_time()
    return {**work(), **began, "seconds": time.process_time() - used}


def watched(command: list[str]) -> tuple[dict[str, Any], list[int]]:
    """Run a child and look at its memory.

    Returns:
        What it said, and its resident bytes, a look every `EVERY` seconds from when it began.
    """
    looks: list[tuple[float, int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **THREAD}) as process:
        there = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error):  # it may end between two looks
                looks.append((time.time(), there.memory_info().rss))
            time.sleep(EVERY)
        assert process.stdout is not None
        said = process.stdout.read()
    if process.returncode:
        raise SystemExit(process.returncode)
    found = json.loads(said.splitlines()[-1])
    return found, [found["before"], *(bytes_ for when, bytes_ in looks if when >= found["began"] and bytes_)]


def main() -> None:
    """Print one line a size and stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=40_000)
    parser.add_argument("--child", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        stage, folder = given.child
        print(json.dumps(child(stage, Path(folder), given.model, given.steps, given.blocks)))
        return
    print("MB text | stage | MB before | after each quarter | largest | CPU s | what")
    for size in given.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            write_text(given.text, Path(folder) / "text.txt", size * 1_000_000)
            for stage in STAGES:
                found, looks = watched([sys.executable, "-m", "benchmarks.streaming", *sys.argv[1:],
                                        "--child", stage, folder])  # fmt: skip
                quarters = [looks[(len(looks) - 1) * k // 4] for k in (1, 2, 3, 4)]
                seconds, before, _ = (found.pop(key) for key in ("seconds", "before", "began"))
                print(f"{size:7} | {stage:8} | {before / 1e6:9.0f} | {' '.join(f'{q / 1e6:5.0f}' for q in quarters)} "
                      f"| {max(looks) / 1e6:7.0f} | {seconds:5.0f} | {json.dumps(found)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
