"""Time our comparison of tokenizers beside tokenization-scorer and bare `tokenizers`, in one run, on the same text.

    python -m benchmarks.tokenizers --source DIR --text FILE [FILE ...] [--repeat 3] [--no-peer]

tokenization-scorer gets a virtual environment of its own (made once, in the cache folder). It reads text that is cut
already and has one of our metrics that it calls its own: Rényi efficiency. So two ratios are told: of that metric on
text that both sides hold cut, and of everything from raw text, where its side is bare `tokenizers` batch encoding,
writing tokens, and scoring them. Everything runs on one thread; seconds are CPU seconds, medians of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks import peers

for _name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def peer_side(job: dict) -> None:
    """Score cut text with tokenization-scorer (in its own environment), and write seconds and value."""
    import tokenization_scorer

    start = time.process_time()
    lines = Path(job["pieces"]).read_text(encoding="utf-8").rstrip("\n").split("\n")
    read = time.process_time() - start
    seconds = []
    for _ in range(job["repeat"]):
        start = time.process_time()
        value = tokenization_scorer.score(lines, metric="renyi", power=2.5)
        seconds.append(time.process_time() - start)
    Path(job["out"]).write_text(json.dumps({"seconds": seconds, "read": read, "value": float(value)}))


def median(repeat: int, function: Callable[[], object]) -> float:
    """CPU seconds of a function, the median of some calls."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def scored(ids: Any) -> float:
    """Count tokens and compute our Rényi efficiency."""
    import numpy as np

    from vocab.compare.renyi_efficiency import efficiency

    counts = np.bincount(ids)
    return efficiency(counts[counts > 0].astype(float))


def score_apart(python: Path, encoded: list, folder: Path, repeat: int) -> dict:
    """Let tokenization-scorer score what bare encoding gave; adds what writing the tokens (their ids) took."""
    start = time.process_time()
    text = "\n".join(" ".join(map(str, ids)) for ids in encoded)
    (folder / "pieces.txt").write_text(text, encoding="utf-8")
    written = time.process_time() - start
    job = {"pieces": str(folder / "pieces.txt"), "out": str(folder / "scored.json"), "repeat": repeat}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [python, "-m", "benchmarks.tokenizers", "--job", json.dumps(job)], check=True, cwd=peers.ROOT, **quiet
    )
    return json.loads((folder / "scored.json").read_text()) | {"written": written}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="a tokenizer: folder or hub id")
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="raw text, one sentence a line")
    parser.add_argument("--learn-lines", type=int, default=10_000, help="lines the other tokenizers are learnt from")
    parser.add_argument("--vocab-size", type=int, default=16_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    arguments = parser.parse_args()

    import numpy as np

    import vocab
    from vocab.compare import METRICS, measure, tabulate
    from vocab.compare.text import read_text
    from vocab.tokenizer.texts import Lines
    from vocab.view import Vocabulary

    lines = list(Lines(arguments.text))
    size = sum(len(line.encode()) + 1 for line in lines) / 1e6
    some = lines[:: max(1, len(lines) // arguments.learn_lines)]
    named = {"source": Vocabulary.of(arguments.source)}
    for algorithm in ("unigram", "bpe", "byte-bpe"):
        made = vocab.train_tokenizer(some, algorithm=algorithm, vocab_size=arguments.vocab_size)
        named[algorithm] = Vocabulary.of(made)
    print(
        f"cpu, 1 thread, CPU seconds, medians of {arguments.repeat}; {len(lines):,} lines, {size:.1f} MB; 4 tokenizers"
    )
    reading = median(arguments.repeat, lambda: read_text(arguments.text))
    whole = median(arguments.repeat, lambda: measure(named, arguments.text))
    measured = measure(named, arguments.text)
    metrics = median(arguments.repeat, lambda: tabulate(measured))
    print(
        f"ours: reading {reading:.2f}, cutting {whole - reading:.2f}, metrics with intervals {metrics:.2f}", flush=True
    )
    python = None if arguments.no_peer else peers.python_of("tokenization-scorer")
    bare, renyi, theirs_renyi, theirs_all = 0.0, 0.0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as name:
        for label, view in named.items():
            encode = view.backend.encode_batch_fast
            encoding = median(arguments.repeat, lambda: encode(lines, add_special_tokens=False))  # noqa: B023
            one = median(arguments.repeat, lambda: measure({"x": view}, arguments.text))  # noqa: B023
            bare += encoding
            line = (
                f"{label:10s} bare encoding {encoding:6.2f} ({size / encoding:5.2f} MB/s); read, cut and counted here "
            )
            print(f"{line}{one:6.2f} ({size / one:5.2f} MB/s, {100 * encoding / one:.0f} % of bare)", flush=True)
            if python is None:
                continue
            cut = [encoding.ids for encoding in encode(lines, add_special_tokens=False)]
            ids = np.fromiter(chain.from_iterable(cut), dtype=np.int64)
            own = median(arguments.repeat, lambda: scored(ids))  # noqa: B023
            renyi += own
            found = score_apart(python, cut, Path(name), arguments.repeat)
            seconds = statistics.median(found["seconds"])
            theirs_renyi += seconds
            theirs_all += encoding + found["written"] + found["read"] + seconds
            apart = abs(METRICS["renyi_efficiency"].measure(measured[label]).value - found["value"])
            print(
                f"{'':10s} Rényi: scorer {seconds:.2f} s, ours {own:.4f} s; the values differ by {apart:.1e}",
                flush=True,
            )
    ours, count = whole + metrics, tabulate(measured).shape[1]
    print(f"encoding, four tokenizers: bare {bare:.2f}, ours {whole:.2f}: {100 * bare / whole:.0f} % of its throughput")
    if python is None:
        return
    print(f"Rényi of text that is cut: scorer {theirs_renyi:.2f}, ours {renyi:.4f}: {theirs_renyi / renyi:.0f}x")
    print(
        f"from raw text: bare encoding, writing, reading, scorer's Rényi {theirs_all:.2f}; ours, {count} metrics with"
    )
    print(f"  intervals, {ours:.2f}: {theirs_all / ours:.1f}x")
    lacks = (count - 1) * theirs_renyi
    print(
        f"the {count - 1} metrics that it lacks would take it {lacks:.0f} more on cut text, each at the time of the one"
    )
    print(f"  it has (extrapolated); with them from raw text {(theirs_all + lacks) / ours:.0f}x")


if __name__ == "__main__":
    if "--job" in sys.argv:
        peer_side(json.loads(sys.argv[sys.argv.index("--job") + 1]))
    else:
        main()
