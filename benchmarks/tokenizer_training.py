"""What learning a tokenizer costs: time beside the same trainer called bare, and memory on a text of 1 GB.

    python -m benchmarks.tokenizer_training times --text TRAIN.txt [--runs 3] [--out FOLDER]
    python -m benchmarks.tokenizer_training memory --text A.txt --text B.txt [--gigabytes 1] [--out FOLDER]

`times`: Unigram pieces beside sentencepiece and BPE pieces beside tokenizers, as many as the text gives (16,000 and
32,000 at most), in turns, on one thread each and in seconds of the processor; the middle of the runs counts. Either
side reads the text from its file, learns, and writes the tokenizer to a folder; nothing is imported meanwhile, and no
source tokenizer loaded. What ours does besides is counted too: what looks wrong with the text, which letters change,
special tokens and their template. The bare sentencepiece does not normalise (ours: NFC); the bare tokenizers normalises
and cuts as ours does.

`memory`: the texts are repeated, each time with another tenth of the lines in an invented spelling, so that new words
keep coming; every algorithm learns in a process of its own, whose resident memory is read twice a second, written
beside the seconds that it took of the processor to `memory-ALGORITHM.csv`, and drawn in `memory.png`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
ONE_THREAD = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
UNIGRAM, BPE, MEMORY = 16_000, 32_000, 32_000
ALGORITHMS = ("bpe", "wordpiece", "unigram")


def bare_unigram(text: Path, size: int, out: Path) -> None:
    """Call sentencepiece as its manual does, with our settings."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(out / "bare"), model_type="unigram", vocab_size=size, num_threads=1,
        character_coverage=0.9999, normalization_rule_name="identity", minloglevel=2,
    )  # fmt: skip


def bare_bpe(text: Path, size: int, out: Path) -> None:
    """Call tokenizers as its manual does, with our normaliser and pre-tokeniser."""
    from tokenizers import Tokenizer, models, trainers

    from vocab.tokenizer.shell import normaliser_state, pre_tokeniser_state

    state = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": []}
    parts = {
        "normalizer": normaliser_state([{"type": "NFC"}], "metaspace"),
        "pre_tokenizer": pre_tokeniser_state("metaspace"),
    }
    model = json.loads(Tokenizer(models.BPE()).to_str())["model"]
    empty = {"post_processor": None, "decoder": None, "model": model}
    tokenizer = Tokenizer.from_str(json.dumps(state | parts | empty))
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, max_token_length=16, show_progress=False)
    tokenizer.train([str(text)], trainer)
    tokenizer.save(str(out / "tokenizer.json"))


def seconds(work: Callable[[], object]) -> float:
    """Time one call, in seconds of the processor: all of it runs on one thread."""
    start = time.process_time()
    work()
    return time.process_time() - start


def times(text: Path, runs: int) -> dict[str, dict[str, float]]:
    """Time ours and the bare trainers in turns; whatever is imported is imported by the first, which is not timed."""
    import vocab
    from vocab.tokenizer.algorithm import TooManyPieces

    def ours(algorithm: str, size: int, out: Path) -> None:
        vocab.train_tokenizer(text, algorithm=algorithm, vocab_size=size).save_pretrained(out)

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for algorithm, size, bare in (("unigram", UNIGRAM, bare_unigram), ("bpe", BPE, bare_bpe)):
            try:
                ours(algorithm, size, out)
            except TooManyPieces as error:
                size = error.most
                ours(algorithm, size, out)
            pairs = [
                (seconds(partial(ours, algorithm, size, out)), seconds(partial(bare, text, size, out)))
                for _ in range(runs)
            ]
            mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratios = sorted(a / b for a, b in pairs)
            row = {"ours_s": mine, "bare_s": theirs, "ratio": mine / theirs, "low": ratios[0], "high": ratios[-1]}
            found[f"{algorithm} {size:,}"] = row
    return found


def invented(texts: list[Path], size: int) -> Iterator[bytes]:
    """Repeat the texts up to a size in bytes, a tenth of the lines spelt anew each time."""
    from vocab.tokenizer.texts import Lines

    letters = "abcdefghijklmnopqrstuvwxyz"
    written = turn = 0
    while written < size:
        draw = random.Random(turn)
        table = str.maketrans(letters, "".join(draw.sample(letters, len(letters))))
        for line in Lines(texts):
            new = turn > 0 and zlib.crc32(line.encode()) % 10 == turn % 10
            raw = f"{line.translate(table) if new else line}\n".encode()
            written += len(raw)
            yield raw
            if written >= size:
                return
        turn += 1


def learn(text: Path, algorithm: str) -> None:
    """Learn in this process, and print what came of it as JSON."""
    import vocab

    start = time.process_time()
    steps = {}

    def told(_done: float, _total: float, facts: dict[str, object]) -> None:
        steps[str(facts["stage"])] = round(time.process_time() - start, 1)

    made = vocab.train_tokenizer(text, algorithm=algorithm, vocab_size=MEMORY, progress=told)
    facts = {name: made.facts[name] for name in ("lines", "words", "characters", "notices")}
    print(json.dumps({"cpu_seconds_at_the_end_of": steps, "pieces": len(made), **facts}))


def watched(text: Path, algorithm: str, out: Path) -> dict[str, object]:
    """Learn in a process of its own and write its memory by the second."""
    import psutil

    command = [
        sys.executable,
        "-m",
        "benchmarks.tokenizer_training",
        "learn",
        "--text",
        str(text),
        "--algorithm",
        algorithm,
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD, cwd=ROOT)
    process = psutil.Process(child.pid)
    curve = []
    while child.poll() is None:
        try:
            size, used = process.memory_info().rss / 2**20, process.cpu_times()
            curve += [(used.user + used.system, size)] if size else []  # none is left while it ends
        except psutil.NoSuchProcess:
            break
        time.sleep(0.5)
    said = child.communicate()[0]
    if child.returncode:
        raise SystemExit(f"{algorithm} failed with exit code {child.returncode}")
    rows = "".join(f"{at:.1f},{size:.0f}\n" for at, size in curve)
    (out / f"memory-{algorithm}.csv").write_text("seconds,resident_mib\n" + rows, encoding="utf-8")
    used_s = round(curve[-1][0], 1)
    return {"peak_mib": round(max(size for _, size in curve)), "cpu_seconds": used_s, **json.loads(said)}


def draw(out: Path) -> None:
    """Draw the memory of every algorithm over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    for algorithm in ALGORITHMS:
        rows = (out / f"memory-{algorithm}.csv").read_text(encoding="utf-8").split()[1:]
        points = [tuple(map(float, row.split(","))) for row in rows]
        axes.plot([at / 60 for at, _ in points], [size / 1024 for _, size in points], label=algorithm)
    axes.axhline(2, color="grey", linestyle=":", label="limit")
    axes.set(xlabel="minutes of the processor", ylabel="resident memory, GiB", ylim=(0, 2.5))
    axes.legend(frameon=False, ncols=4, loc="upper center")
    figure.savefig(out / "memory.png", dpi=150)


def memory(texts: list[Path], gigabytes: float, out: Path) -> dict[str, dict[str, object]]:
    """Write the large text, and watch every algorithm learn from it."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.txt"
        with large.open("wb") as stream:
            stream.writelines(invented(texts, int(gigabytes * 1e9)))
        found = {}
        for algorithm in ALGORITHMS:
            found[algorithm] = watched(large, algorithm, out)
            print(algorithm, json.dumps(found[algorithm], ensure_ascii=False), flush=True)
        draw(out)
        return found


def main() -> None:
    """Read the command line, measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("times", "memory", "learn"))
    parser.add_argument("--text", type=Path, action="append", required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--algorithm", default="bpe")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)
    if arguments.what == "learn":
        learn(arguments.text[0], arguments.algorithm)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, object]] | dict[str, dict[str, float]]
    if arguments.what == "times":
        found = times(arguments.text[0], arguments.runs)
        for name, row in found.items():
            print(f"{name}: {row['ours_s']:.2f} s, bare {row['bare_s']:.2f} s, {row['ratio']:.2f}x "
                  f"({row['low']:.2f} to {row['high']:.2f})")  # fmt: skip
    else:
        found = memory(arguments.text, arguments.gigabytes, arguments.out)
    (arguments.out / f"tokenizer-{arguments.what}.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
