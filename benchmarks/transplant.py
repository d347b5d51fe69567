"""Time our transplant beside deepfocus (the FOCUS authors' package), in one run, on the same text and tokenizers.

    python -m benchmarks.transplant --source DIR --text FILE [--sizes 8000 16000 30000 50000] [--algorithm bpe]
                                      [--no-peer] [--clock cpu] [--skip wechsel ofa synthetic] [--device cuda]
                                      [--heldout FILE --parallel FILE FILE [--seeds 0 1 2]]

deepfocus and wechsel get virtual environments of their own (see peers.py). Both sides get the same number of threads,
and what runs for a second or less is run three times on both sides and its median taken; what is done once a process
(compiling, importing) is not counted on either side. Prints seconds, ratios, rows left random, memory, and how near
the rows are when both are given the same vectors. Then WECHSEL, OFA and very large made-up vocabularies
(transplant_methods.py). Where pip cannot install a peer, our side is timed alone and that is said. With held-out and
parallel text, and a source that has a head, what the rows are worth before training comes beside it
(transplant_quality.py). Our similarities and factorisations are made on `--device`, as `vocab.transplant` takes it; the
first line says what that came to. The peers compute on the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks import transplant_methods as methods
from benchmarks import transplant_quality as quality
from benchmarks.transplant_memory import apart, reset_peak, status
from vocab.device import Place, computing_on, here, told

REPEATS = 3
CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    # Children's too; what to look at on a machine that others use. (os.times() tells hundredths of a second only.)
    "cpu": lambda: time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
}


def peak() -> float:
    """Peak memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def processor() -> str:
    """Name this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def warm(place: Place | None) -> None:
    """Have a device do once what its libraries do at their first call, which is not counted."""
    import torch

    if place is not None:
        square = place.put(np.eye(64, dtype=np.float32))
        torch.linalg.eigh((square @ square).double())
        wait()


def wait() -> None:
    """Wait until a GPU has done what it was told to."""
    import torch

    place = here()
    if place is not None and place.device.type == "cuda":
        torch.cuda.synchronize(place.device)


def peer_side(job: dict) -> None:
    """Run deepfocus (in its own environment) and write seconds, vectors and rows."""
    import deepfocus.focus as focus
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    torch.set_num_threads(job["threads"])
    clock = CLOCKS[job["clock"]]
    seconds: dict[str, float] = {}
    kept: dict[str, object] = {}

    def timed(name: str):  # noqa: ANN202
        original = getattr(focus, name)

        def call(*args: object, **keywords: object) -> object:
            took = []
            for _ in range(REPEATS if name == "focus_additional_token_initialization" else 1):
                start = clock()
                kept[name] = original(*args, **keywords)
                took.append(clock() - start)
            seconds[name] = statistics.median(took)
            again = sum(took) - seconds[name]
            seconds["again"] = seconds.get("again", 0.0) + again
            return kept[name]

        setattr(focus, name, call)

    for name in ("load_target_token_embedding", "get_overlapping_tokens", "focus_additional_token_initialization"):
        timed(name)
    old, new = (AutoTokenizer.from_pretrained(job[side]) for side in ("source", "target"))
    matrix = load_file(job["matrix"])["input"]
    # Its mixing is compiled by numba at the first call; that is not counted.
    focus.fastdist.cosine_matrix_to_matrix(np.ones((2, 2), "float32"), np.ones((2, 2), "float32"))
    start = clock()
    rows = focus.FOCUS(
        target_tokenizer=new,
        source_tokenizer=old,
        source_embeddings=matrix,
        target_training_data_path=job["text"],
        processes=job["threads"],
        seed=job["seed"],
        verbosity="silent",
    )
    seconds["all"] = clock() - start - seconds.pop("again", 0.0)
    model = kept["load_target_token_embedding"]
    tokens = new.convert_ids_to_tokens(list(range(len(new))))
    vectors = np.zeros((len(new), model.get_dimension()), np.float32)
    for index, token in enumerate(tokens):
        if not focus.is_very_rare_token(token, model):
            vectors[index] = model[token]
    save_file({"rows": rows.contiguous(), "vectors": torch.from_numpy(vectors)}, job["out"])
    Path(job["facts"]).write_text(json.dumps({"seconds": seconds, "peak": peak()}))


def deepfocus(
    python: Path, source: Path, target: Path, text: Path, folder: Path, threads: int, clock: str, seed: int = 42
) -> dict:
    """Have deepfocus make the rows of a new vocabulary, `folder/rows`, from the old ones in `folder/matrix`.

    Args:
        python: of deepfocus's environment.
        source: folder of the old tokenizer.
        target: folder of the new tokenizer.
        text: that it trains vectors on.
        folder: holds `matrix`; gets the rows and what deepfocus caches.
        threads: of its processes.
        clock: `wall` or `cpu`.
        seed: of its random rows; 42 is its own.

    Returns:
        seconds by step, peak (GB).
    """
    job = {
        "source": str(source), "target": str(target), "text": str(text.resolve()), "matrix": str(folder / "matrix"),
        "out": str(folder / "rows"), "facts": str(folder / "facts.json"), "threads": threads, "clock": clock,
        "seed": seed,
    }  # fmt: skip
    environment = {
        **os.environ, "XDG_CACHE_HOME": str(folder / f"cache-{target.name}"), "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / f"datasets-{target.name}"), "TQDM_DISABLE": "1",
    }  # fmt: skip
    subprocess.run(
        [python, "-m", "benchmarks.transplant", "--job", json.dumps(job), "--source", ".", "--text", "."],
        env=environment, cwd=peers.ROOT, check=True,
    )  # fmt: skip
    return json.loads((folder / "facts.json").read_text())


def ours(source: Path, target: Path, text: Path, clock: Callable[[], float]) -> dict[str, float]:
    """Time our steps, each from what the step before left."""
    import torch

    import vocab
    from vocab.transplant import chain
    from vocab.transplant.copy_ import overlap
    from vocab.transplant.load import load_model
    from vocab.transplant.method import METHODS, Problem

    seconds: dict[str, float] = {}

    def timed(name: str, function):  # noqa: ANN001, ANN202
        start = clock()
        result = function()
        seconds[name] = clock() - start
        return result

    from vocab.tokenizer.load import load_tokenizer
    from vocab.view import Vocabulary

    tokenizers = [load_tokenizer(source), load_tokenizer(target)]
    old, new = timed("canonical forms", lambda: [Vocabulary.of(t) for t in tokenizers])
    model = load_model(source)
    matrix = model.get_input_embeddings().weight.detach()
    METHODS["focus"]  # imports done
    torch.zeros(1)
    timed("overlap", lambda: overlap(old, new))
    timed("fasttext", lambda: vocab.token_vectors(new, text, "fasttext", cache=False))
    evidence = timed("counts+characters", lambda: vocab.token_vectors(new, text, cache=False))
    before = reset_peak()
    problem = Problem(old, new, {"input": matrix}, evidence)
    links = chain.parse(None)
    options = chain.options_of(links, {}, default=True)
    mixture = timed("rows, default chain", lambda: chain.run(problem, links, options))
    made = timed("apply", lambda: mixture.apply(matrix))
    if before is not None:
        seconds["extra megabytes"] = (status("VmHWM") - before - made.nbytes) / 1e6
    seconds["random"] = mixture.methods().get("random", 0) / len(new)
    return seconds


def same_vectors(source: Path, target: Path, peer: Path, clock: Callable[[], float]) -> dict[str, float]:
    """Mix with the peer's vectors: seconds, and cosines to the peer's rows."""
    from safetensors.numpy import load_file

    from vocab.transplant.load import load_model
    from vocab.transplant.method import METHODS, Problem
    from vocab.view import Vocabulary

    theirs = load_file(peer)
    matrix = load_model(source).get_input_embeddings().weight.detach()  # a tensor, as the peer gets it
    old, new = Vocabulary.of(source), Vocabulary.of(target)
    focus = METHODS["focus"]
    took = []
    for _ in range(REPEATS + 1):  # the first is for what is done once a process
        start = clock()
        mixture = focus.rows(Problem(old, new, {}, theirs["vectors"]), focus.options())
        mixture.apply(matrix, only=np.flatnonzero(mixture.filled & ~mixture.copied))
        took.append(clock() - start)
    seconds = statistics.median(took[1:])
    mixed = mixture.apply(matrix).numpy()
    known = theirs["vectors"].any(axis=1)
    both = mixture.filled & (known | mixture.copied)
    dot = np.sum(mixed * theirs["rows"], axis=1)
    cosine = dot / np.maximum(np.linalg.norm(mixed, axis=1) * np.linalg.norm(theirs["rows"], axis=1), 1e-12)
    # The bare product: similarities of every mixed token to every anchor, and nothing else.
    anchors, rows = np.flatnonzero(mixture.copied & known), np.flatnonzero(mixture.filled & ~mixture.copied)
    took, on = [], here()
    for _ in range(REPEATS):
        start = clock()
        for i in range(0, len(rows), 1024):
            part, table = theirs["vectors"][rows[i : i + 1024]], theirs["vectors"][anchors].T
            part @ table if on is None else on.put(part) @ on.put(table)
        wait()
        took.append(clock() - start)
    bare = statistics.median(took)
    return {
        "seconds": seconds,
        "bare": bare,
        "mixed": len(rows),
        "near": float(np.mean(cosine[both] >= 0.9999)),
        "lowest": float(cosine[both].min()),
        "theirs_random": float(np.mean(~known & ~mixture.copied)),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder of the source model")
    parser.add_argument("--text", type=Path, required=True, help="text in the language, .txt")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8000, 16000, 30000, 50000])
    parser.add_argument("--algorithm", default="bpe")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="cpu: by torch")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--skip", nargs="*", default=[], choices=("focus", "wechsel", "ofa", "synthetic"))
    parser.add_argument("--synthetic", type=int, nargs="+", default=[250_000, 500_000, 1_000_000])
    parser.add_argument("--heldout", type=Path, help="held-out text: asks what the rows are worth before training")
    parser.add_argument("--parallel", type=Path, nargs=2, help="the same, two files: the source's language, the text's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of what is drawn there")
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if (arguments.heldout is None) != (arguments.parallel is None):
        parser.error("--heldout and --parallel go together")
    with computing_on(arguments.device) as place:
        if place is not None and place.device.type == "cuda" and arguments.clock == "cpu":
            parser.error("the processor's seconds say nothing of a GPU: --clock wall, or --device cpu")
        warm(place)
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Measure what is asked for."""
    import torch
    from safetensors.torch import save_file

    import vocab
    from vocab.transplant.load import load_model

    torch.set_num_threads(arguments.threads)
    python = None if arguments.no_peer else peers.python_of("deepfocus")
    clock = CLOCKS[arguments.clock]
    megabytes = arguments.text.stat().st_size / 1e6
    print(f"device: {told()}; processor: {processor()}, {arguments.threads} thread(s); {arguments.clock} seconds; "
          f"text {megabytes:.1f} MB")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weight = load_model(arguments.source).get_input_embeddings().weight.detach()
        save_file({"input": weight}, folder / "matrix")
        for size in arguments.sizes:
            target = folder / f"tokenizer-{size}"
            vocab.train_tokenizer(
                arguments.text, like=arguments.source, algorithm=arguments.algorithm, vocab_size=size, min_frequency=1
            ).save_pretrained(target)
            if "wechsel" not in arguments.skip and size == arguments.sizes[0]:
                methods.wechsel(arguments.source, target, weight.numpy(), folder, clock, arguments.clock)
            if "focus" in arguments.skip:
                continue
            print(f"\n{size:,} tokens ({arguments.algorithm})", flush=True)
            own = ours(arguments.source, target, arguments.text, clock)
            print(f"  {apart(arguments.source, target, arguments.text)}")
            if python is None:
                for step in own:
                    print(f"  {step:24s} {own[step]:8.2f}")
                worth(arguments, target, None)
                continue
            facts = deepfocus(python, arguments.source, target, arguments.text, folder, arguments.threads,
                              arguments.clock)  # fmt: skip
            mixed = same_vectors(arguments.source, target, folder / "rows", clock)
            report(own, facts, mixed)

            def peer(seed: int, target: Path = target) -> Path:
                deepfocus(python, arguments.source, target, arguments.text, folder, arguments.threads,
                          arguments.clock, seed)  # fmt: skip
                return folder / "rows"

            worth(arguments, target, peer)
        if "ofa" not in arguments.skip:
            methods.ofa(weight.numpy(), clock)
    if "synthetic" not in arguments.skip:
        methods.scaling(arguments.synthetic, 250_000, 50_000, arguments.threads, arguments.clock, arguments.device)


def worth(arguments: argparse.Namespace, target: Path, peer: quality.Rows | None) -> None:
    """Ask what the rows are worth, where there is text to ask with."""
    if arguments.heldout is not None:
        found = quality.measure(
            arguments.source, target, arguments.text, arguments.heldout, arguments.parallel, peer, arguments.seeds,
            arguments.words, arguments.pairs,
        )  # fmt: skip
        quality.report(found, arguments.seeds)


def report(own: dict[str, float], facts: dict, mixed: dict[str, float]) -> None:
    """Print one size's table."""
    theirs = facts["seconds"]
    forms = own["canonical forms"] + own["overlap"]
    whole = own["counts+characters"] + forms + own["rows, default chain"] + own["apply"]
    lines = [
        ("vectors: fastText", theirs["load_target_token_embedding"], own["fasttext"]),
        ("vectors: counts+characters", theirs["load_target_token_embedding"], own["counts+characters"]),
        ("canonical forms, overlap", theirs["get_overlapping_tokens"], forms),
        ("FOCUS proper, same vectors", theirs["focus_additional_token_initialization"], mixed["seconds"]),
        ("all (loading left out)", theirs["all"], whole),
    ]
    print(f"  {'seconds':28s} {'deepfocus':>10s} {'ours':>8s} {'ratio':>7s}")
    for name, peer, mine in lines:
        print(f"  {name:28s} {peer:10.2f} {mine:8.2f} {peer / mine:6.1f}x")
    times = mixed["seconds"] / max(mixed["bare"], 1e-9)
    print(f"  bare matrix product {mixed['bare']:.2f} s; FOCUS proper, rows applied, is {times:.1f} times that")
    print(f"  rows random: deepfocus {100 * mixed['theirs_random']:.1f} %, ours {100 * own['random']:.1f} %")
    print(f"  same vectors: {100 * mixed['near']:.2f} % of rows at cosine >= 0.9999, lowest {mixed['lowest']:.4f}")
    print(f"  peak memory: deepfocus {facts['peak']:.1f} GB, this process {peak():.1f} GB")
    if "extra megabytes" in own:
        print(f"  rows and applying, beyond the two matrices: {own['extra megabytes']:.0f} MB", flush=True)


if __name__ == "__main__":
    if "--job" in sys.argv:
        peer_side(json.loads(sys.argv[sys.argv.index("--job") + 1]))
    else:
        main()
