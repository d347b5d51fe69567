"""Time WECHSEL, OFA and very large vocabularies: what the benchmark of transplants measures beside FOCUS.

Vectors are drawn at random here and said to be: these parts are about time, and the same vectors go to both sides.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers

DIM = 100
Clock = Callable[[], float]


def drawn(rows: int, seed: int, dim: int = DIM) -> np.ndarray:
    """Draw vectors of length 1, a twentieth of them 0: tokens without a vector."""
    draw = np.random.default_rng(seed)
    found = draw.standard_normal((rows, dim), np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[draw.random(rows) < 0.05] = 0
    return found


def wechsel_peer(job: dict[str, Any]) -> None:
    """Run wechsel's own mixing (in its own environment): seconds and rows."""
    import wechsel
    from safetensors.numpy import load_file, save_file
    from transformers import AutoTokenizer

    given = load_file(job["given"])
    old, new = (AutoTokenizer.from_pretrained(job[side]) for side in ("source", "target"))
    clock = time.process_time if job["clock"] == "cpu" else time.perf_counter
    start = clock()
    rows = wechsel.create_target_embeddings(
        given["source"], given["target"], old, new, given["matrix"].copy(), verbose=False
    )
    seconds = clock() - start
    save_file({"rows": np.ascontiguousarray(rows[0] if isinstance(rows, tuple) else rows)}, job["out"])
    Path(job["facts"]).write_text(json.dumps({"seconds": seconds}))


def wechsel(source: Path, target: Path, matrix: np.ndarray, folder: Path, clock: Clock, name: str) -> None:
    """Compare the mixing alone, given the same vectors."""
    from safetensors.numpy import load_file, save_file

    from vocab.transplant.method import METHODS, Problem
    from vocab.view import Kind, Vocabulary

    old, new = Vocabulary.of(source), Vocabulary.of(target)
    vectors = {"source": drawn(len(old), 0), "target": drawn(len(new), 1)}
    # Specials are no neighbours here and are there: without vectors they are for neither.
    vectors["source"][old.kind == Kind.SPECIAL] = 0
    method = METHODS["wechsel"]

    def ours() -> np.ndarray:
        problem = Problem(old, new, {}, vectors["target"], vectors["source"])
        return np.asarray(method.rows(problem, method.options()).apply(matrix))

    start = clock()
    rows = ours()
    mine = clock() - start
    print(f"\nWECHSEL after vectors (drawn at random), {len(new):,} x {len(old):,} tokens")
    print(f"  the same answer twice: {np.array_equal(rows, ours())}")
    python = peers.python_of("wechsel")
    if python is None:
        print(f"  ours {mine:.2f} s")
        return
    save_file({**vectors, "matrix": matrix}, folder / "given")
    job = {
        "source": str(source), "target": str(target), "given": str(folder / "given"),
        "out": str(folder / "rows"), "facts": str(folder / "facts.json"), "clock": name,
    }  # fmt: skip
    subprocess.run([python, "-m", "benchmarks.transplant_methods", json.dumps(job)], check=True, cwd=peers.ROOT)
    theirs = json.loads((folder / "facts.json").read_text())["seconds"]
    other = load_file(folder / "rows")["rows"]
    known = vectors["target"].any(axis=1) & (new.kind <= Kind.BYTE)
    dot = np.sum(rows * other, axis=1)
    cosine = dot / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(other, axis=1), 1e-12)
    print(f"  wechsel {theirs:.2f} s, ours {mine:.2f} s: {theirs / mine:.1f}x")
    print(f"  rows at cosine >= 0.9999: {100 * np.mean(cosine[known] >= 0.9999):.2f} %")


def ofa(matrix: np.ndarray, clock: Clock, rank: int = 100, asked: int = 512) -> None:
    """Compare OFA's factorisation with numpy's SVD, and its neighbour search with a full sort of every row."""
    from vocab.matrix import top_directions
    from vocab.transplant import nearest

    times = []
    for _ in range(3):
        start = clock()
        found = top_directions(matrix, len(matrix), rank)
        times.append(clock() - start)
    gram = statistics.median(times)
    start = clock()
    right = np.linalg.svd(matrix, full_matrices=False)[2]
    svd = clock() - start
    off = float(np.abs(np.abs(np.sum(found * right[:rank].T, axis=0)) - 1).max())
    print(f"\nOFA: factorisation of {matrix.shape[0]:,} x {matrix.shape[1]}, d' = {rank}")
    print(
        f"  numpy's SVD {svd:.2f} s, Gram matrix {gram:.2f} s: {svd / gram:.1f}x; directions off by at most {off:.1e}"
    )
    known, new = np.ascontiguousarray(drawn(len(matrix), 2).T), drawn(asked, 3)
    product = sort = 0.0
    sorted_ = []
    for first in range(0, asked, 64):
        rows = new[first : first + 64]
        start = clock()
        scores = rows @ known
        product += clock() - start
        start = clock()
        whole = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        sort += clock() - start
        sorted_.append(whole)
    start = clock()
    index, _ = nearest.nearest(new, known, 10)
    quick = clock() - start
    seen = new.any(axis=1)
    same = np.array_equal(np.concatenate(sorted_)[seen], index[seen])
    print(f"OFA: ten nearest of {known.shape[1]:,} for {asked} tokens (vectors drawn at random; same answer: {same})")
    print(f"  products and a full sort {product + sort:.2f} s, ours {quick:.2f} s: {(product + sort) / quick:.1f}x")
    beyond = max(quick - product, 1e-3)
    print(f"  what comes on top of the products: {sort:.2f} s, ours {beyond:.2f} s: {sort / beyond:.0f}x")


def synthetic(target: int, source: int, shared: int, clock: Clock) -> None:
    """Mix a made-up vocabulary of a million tokens; to be called in a process of its own, for its memory."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from vocab.transplant.method import METHODS, Problem
    from vocab.view import Vocabulary

    def vocabulary(names: range) -> Vocabulary:
        backend = Tokenizer(models.Unigram([("<unk>", 0.0), *((f"▁w{n}", -1.0) for n in names)], 0, False))
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        return Vocabulary.of(backend)

    start = clock()
    old, new = vocabulary(range(source - 1)), vocabulary(range(source - shared, source - shared + target - 1))
    vectors = drawn(len(new), 4, 64)
    made = clock() - start
    focus = METHODS["focus"]
    start = clock()
    mixture = focus.rows(Problem(old, new, {}, vectors), focus.options())
    seconds = clock() - start
    matrix = np.random.default_rng(5).standard_normal((len(old), 64), np.float32)
    start = clock()
    mixture.apply(matrix)
    applied = clock() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"  {len(new):>9,} x {len(old):,}, {shared:,} shared: views {made:.0f} s, FOCUS {seconds:.0f} s, "
        f"applied {applied:.0f} s, peak {peak:.1f} GB",
        flush=True,
    )


def scaling(sizes: list[int], source: int, shared: int, threads: int, clock: str, device: str) -> None:
    """Run `synthetic` at several sizes on a device, each in a process of its own; `clock` is `cpu` or `wall`."""
    function = "process_time" if clock == "cpu" else "perf_counter"
    print("\nSynthetic vocabularies (names and vectors made up), FOCUS on 64 dimensions")
    for size in sizes:
        code = (
            f"import time, torch; torch.set_num_threads({threads});"
            f"import benchmarks.transplant_methods as t; from vocab.device import computing_on\n"
            f"with computing_on({device!r}): t.synthetic({size}, {source}, {shared}, time.{function})"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=peers.ROOT)


if __name__ == "__main__":
    wechsel_peer(json.loads(sys.argv[1]))
