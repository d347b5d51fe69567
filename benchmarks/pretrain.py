"""Our training beside transformers' Trainer: in one run, in turns, on the same text, model, precision, held-out text.

    python -m benchmarks.pretrain --source DIR --text FILE [--heldout FILE] [--rounds 3] [--steps 5] [--threads 2]
                                  [--batch-tokens 2048] [--sequence-length 128] [--precision bf16] [--size 16000]
                                  [--seconds 180] [--only kept replaced bits ways]

SOURCE is a masked model with a head, TEXT is of the language it is adapted to. Four parts, the last where asked for:

kept      characters a second, peak memory, and the share of the machine's matrix throughput that our steps reach (the
          step's products timed alone, same shapes, same process), vocabulary kept.
replaced  the same with a new vocabulary (Unigram, `--size` pieces, our default transplant), the same model on both
          sides; what replacing itself gains is printed apart.
bits      seconds of training until held-out pseudo-bits per character reach a level: the one that stock reaches in
          `--seconds` on the old vocabulary, and the one that it reaches on the new one with FOCUS rows by deepfocus.
          Scoring is not counted; learning tokenizer and rows is, where said. Both sides: the same learning rate, warmed
          up over 20 steps, then constant; ours with its default masks, stock with its own. Needs HELDOUT.
ways      our side alone, vocabulary kept: as it is, with gradient checkpointing, with torch.compile; processor seconds
          a step, peak memory, and the seconds of the two warm-up steps, in which compile makes its kernels (all of
          them counted where TORCHINDUCTOR_COMPILE_THREADS=1).

Stock is what people run, at its best: `Trainer` with `DataCollatorForLanguageModeling`, text joined and cut into blocks
of one length (as its run_mlm example does), AdamW fused, no evaluation, no saving, dropout off as on our side, loss
scaling mended (`model_accepts_loss_kwargs = False`), and of the micro-batches `--stock-micro` the one that is fastest.
In `kept` and `replaced` both sides mask 15 % of the tokens. Every side runs in a process of its own. Loading,
tokenising and two warm-up steps are not counted. `--clock processor` counts processor seconds, for machines that others
use.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import peers

WARM = 2
WARMUP = 20  # steps in which the rate rises, part `bits`
POINTS = 12  # of a curve
ENDLESS = 1_000_000
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {}, "gradient_checkpointing": {"gradient_checkpointing": True}, "compile": {"compile": True},
}  # fmt: skip
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class Meter:
    """Times the steps of one side, and notes held-out bits in between where a job asks for a curve."""

    def __init__(self, job: dict[str, Any], model: Any, tokenizer: Any) -> None:
        self.job, self.model, self.tokenizer = job, model, tokenizer
        self.times: list[tuple[float, float]] = []
        self.points: list[tuple[float, float]] = []
        self.note()

    @property
    def spent(self) -> float:
        """Seconds of all steps, by the job's clock."""
        return sum(t[self.job["clock"] == "processor"] for t in self.times)

    def begin(self) -> None:
        """Start the clock: before the first step, then by itself, so that drawing and masking a step's text count."""
        self.start = (CLOCKS["wall"](), CLOCKS["processor"]())

    def end(self) -> bool:
        """End a step; True when it was the last."""
        now = (CLOCKS["wall"](), CLOCKS["processor"]())
        self.times.append((now[0] - self.start[0], now[1] - self.start[1]))
        seconds = self.job.get("seconds")
        if seconds and self.spent >= len(self.points) * seconds / POINTS:
            self.note()
        self.begin()
        return self.spent >= seconds if seconds else len(self.times) == WARM + self.job["steps"]

    def note(self) -> None:
        """Score the held-out text."""
        if self.job.get("seconds"):
            from benchmarks.forecast import bits

            found = bits(self.model, self.tokenizer, Path(self.job["heldout"]), self.job["words"])
            self.points.append((self.spent, float(found)))
            self.model.train()

    def summary(self, tokens: float, characters_per_token: float, loss: float) -> dict[str, Any]:
        """Medians of the steps that count, peak memory, and the curve."""
        wall, cpu = (statistics.median(t[k] for t in self.times[WARM:] or self.times) for k in (0, 1))
        return {
            "seconds": wall, "cpu_seconds": cpu, "tokens_per_second": tokens / wall,
            "characters_per_second": tokens * characters_per_token / wall,
            "characters_per_cpu_second": tokens * characters_per_token / cpu,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "loss": loss, "points": self.points,
            "warm_up": sum(t[1] for t in self.times[:WARM]) + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime,
        }  # fmt: skip


def ours(job: dict[str, Any]) -> dict[str, Any]:
    """Run our loop."""
    from adapt.pretrain.options import Pretrain
    from adapt.pretrain.step import set_up, train_step
    from adapt.pretrain.throughput import Throughput
    from adapt.pretrain.tokens import tokenise
    from vocab.tokenizer.load import load_tokenizer

    masks = {} if job.get("seconds") else {"rate": 0.15, "unit": "token"}
    options = Pretrain(
        objective="mlm", lr=job["lr"], warmup=WARMUP / ENDLESS if job.get("seconds") else 0.0, schedule="constant",
        batch_tokens=job["batch_tokens"], sequence_length=job["length"], precision=job["precision"],
        **job["options"], objective_options={"mlm": {**masks, "head_bias": "keep"}},
    )  # fmt: skip
    source = Path(job["source"])
    tokenizer = load_tokenizer(source)
    with tempfile.TemporaryDirectory() as folder:
        tokens = tokenise(Path(job["text"]), tokenizer, Path(folder), max_lines=job["lines"])
        setup = set_up(source, source, tokens, tokenizer, options, ENDLESS, 0)
        meter, log = Meter(job, setup.model, tokenizer), []
        meter.begin()
        while True:
            log.append(train_step(setup, len(log)))
            if meter.end():
                break
        each = tokens.facts["characters"] / tokens.facts["tokens"]
        inside, predicted = (statistics.mean(facts[k] for facts in log[WARM:] or log) for k in ("tokens", "predicted"))
        found = meter.summary(inside, each, log[-1]["loss"])
        machine = Throughput.measure(setup, round(inside), round(predicted))
    return {**found, "throughput_share": machine.share(round(inside), round(predicted), found["seconds"])}


def stock(job: dict[str, Any]) -> dict[str, Any]:
    """Run transformers' Trainer."""
    import torch
    from transformers import (
        AutoModelForMaskedLM,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from vocab.tokenizer.load import load_tokenizer

    tokenizer = load_tokenizer(Path(job["source"]))
    with Path(job["text"]).open(encoding="utf-8") as handle:
        lines = [line.strip() for line, _ in zip(handle, range(job["lines"] or ENDLESS), strict=False) if line.strip()]
    joined = [token for ids in tokenizer(lines)["input_ids"] for token in ids]
    length = job["length"]
    blocks = [{"input_ids": joined[k : k + length]} for k in range(0, len(joined) - length + 1, length)]
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_pretrained(job["source"], dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    meter = Meter(job, model, tokenizer)
    losses = [0.0]

    class Clock(TrainerCallback):
        def on_train_begin(self, *args: Any, **more: Any) -> None:
            meter.begin()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_training_stop = meter.end()

        def on_log(self, arguments: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            losses.append((logs or {}).get("loss", losses[-1]))

    rows = max(1, job["batch_tokens"] // length)
    micro = min(rows, max(1, (job["micro"] or job["batch_tokens"]) // length))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=micro, gradient_accumulation_steps=rows // micro, use_cpu=True,
            max_steps=ENDLESS, learning_rate=job["lr"], lr_scheduler_type="constant_with_warmup",
            warmup_steps=WARMUP if job.get("seconds") else 0, weight_decay=0.01, optim="adamw_torch_fused",
            bf16=job["precision"] == "bf16", save_strategy="no", logging_steps=1, report_to=[], disable_tqdm=True,
            dataloader_num_workers=0, seed=0,
        )  # fmt: skip
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        trainer = Trainer(model, arguments, train_dataset=blocks, data_collator=collator, callbacks=[Clock()])
        trainer.model_accepts_loss_kwargs = False
        trainer.train()
    characters = sum(map(len, lines)) / max(1, len(joined) - 2 * len(lines))
    share = 1 - 2 * len(lines) / len(joined)  # of a block that is text: begin and end of each line are not
    return meter.summary(rows * length, characters * share, losses[-1])


def run(side: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pretrain", "--side", side, "--job", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "TOKENIZERS_PARALLELISM": "false",
                   "PYTHONPATH": str(peers.ROOT)}  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def speed(given: argparse.Namespace, title: str, job: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Time both sides in turns, print and return the medians of each."""
    rate = "characters_per_second" if given.clock == "wall" else "characters_per_cpu_second"
    tried = {micro: run("stock", {**job, "micro": micro}) for micro in given.stock_micro}
    best = max(tried, key=lambda micro: tried[micro][rate])
    found: dict[str, list[dict[str, Any]]] = {"stock": [tried[best]], "ours": [run("ours", job)]}
    for _ in range(given.rounds - 1):
        for side, rows in found.items():
            rows.append(run(side, {**job, "micro": best}))
    middle = {
        side: {key: statistics.median(row[key] for row in rows) for key in rows[0] if key != "points"}
        for side, rows in found.items()
    }
    print(f"\n{title}: {given.precision}, {given.batch_tokens} tokens a step in blocks of {given.sequence_length}, "
          f"{given.threads} threads, {given.rounds} rounds of {given.steps} steps")  # fmt: skip
    for micro, row in tried.items():
        print(f"  stock, micro-batches of {micro} tokens: {rate} {row[rate]:,.0f}, peak_gb {row['peak_gb']:.2f}")
    for side, row in middle.items():
        print(f"  {side:6s}" + "".join(f"  {key} {value:,.2f}" for key, value in row.items()))
    for key in ("characters_per_second", "characters_per_cpu_second", "peak_gb"):
        ratios = [a[key] / b[key] for a, b in zip(found["ours"], found["stock"], strict=True)]
        print(f"  ours / stock, {key}: {middle['ours'][key] / middle['stock'][key]:.2f} "
              f"(rounds {', '.join(f'{r:.2f}' for r in ratios)})")  # fmt: skip
    print(f"  share of the matrix throughput: {100 * middle['ours']['throughput_share']:.0f} %", flush=True)
    return middle


def ways(given: argparse.Namespace, job: dict[str, Any]) -> None:
    """Print what the ways to compute a step cost, round by round."""
    print(f"\nways to compute: {given.precision}, {given.batch_tokens} tokens a step, {given.threads} threads")
    for _ in range(given.rounds):
        for name, options in WAYS.items():
            row = run("ours", {**job, "options": options})
            print(f"  {name:24s} {row['cpu_seconds']:6.2f} processor s a step  {row['peak_gb']:5.2f} GB  "
                  f"{row['warm_up']:6.1f} s of warm-up  loss {row['loss']:.4f}", flush=True)  # fmt: skip


def adapted(given: argparse.Namespace, folder: Path) -> tuple[Path, float]:
    """Learn a vocabulary and transplant it; returns the model's folder and the seconds."""
    import vocab

    start = time.perf_counter()
    target = vocab.train_tokenizer(given.text, like=given.source, algorithm="unigram", vocab_size=given.size)
    target.save_pretrained(folder / "tokenizer")
    graft = vocab.transplant(given.source, folder / "tokenizer", texts=[given.text], score=False)
    graft.save(folder / "ours")
    return folder / "ours", time.perf_counter() - start


def with_focus(given: argparse.Namespace, folder: Path) -> tuple[Path, float] | None:
    """Give the source the rows that deepfocus makes; None where it is not to be had."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForMaskedLM

    from benchmarks.transplant import deepfocus

    python = peers.python_of("deepfocus")
    if python is None:
        return None
    model = AutoModelForMaskedLM.from_pretrained(given.source, dtype=torch.float32)
    save_file({"input": model.get_input_embeddings().weight.detach().clone()}, folder / "matrix")
    target = folder / "tokenizer"
    facts = deepfocus(python, given.source, target, given.text, folder, given.threads, "wall")
    rows = load_file(folder / "rows")["rows"]
    model.resize_token_embeddings(len(rows), mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(rows)
        model.get_output_embeddings().bias.zero_()  # the old vocabulary's order is not the new one's
    model.save_pretrained(folder / "focus")
    for file in target.iterdir():
        (folder / "focus" / file.name).write_bytes(file.read_bytes())
    return folder / "focus", facts["seconds"]["all"]


def reached(points: list[tuple[float, float]], level: float) -> float | None:
    """Seconds until a curve falls to a level, between its points by a straight line; None when it does not."""
    for (t0, b0), (t1, b1) in zip(points, points[1:], strict=False):
        if b0 <= level:
            return t0
        if b1 <= level:
            return t0 + (t1 - t0) * (b0 - level) / (b0 - b1)
    return None


def curves(given: argparse.Namespace, job: dict[str, Any], folder: Path, model: Path, prepared: float) -> None:
    """Train all sides for the same seconds and print when ours reached what the others ended at."""
    job = {**job, "seconds": given.seconds, "heldout": str(given.heldout), "words": given.words, "lines": None,
           "lr": given.lr}  # fmt: skip
    sides: Iterator[tuple[str, str, tuple[Path, float] | None]] = iter([
        ("ours", "ours", (model, prepared)),
        ("stock, old vocabulary", "stock", (given.source, 0.0)),
        ("stock, FOCUS", "stock", with_focus(given, folder)),
    ])  # fmt: skip
    print(f"\nheld-out pseudo-bits per character after seconds of training ({given.clock}), lr {given.lr:g}")
    own: list[tuple[float, float]] = []
    for name, side, start in sides:
        if start is None:
            continue
        points = run(side, {**job, "source": str(start[0]), "micro": given.stock_micro[0]})["points"]
        own = own or points
        print(f"  {name:22s}" + " ".join(f"{t:.0f}:{b:.3f}" for t, b in points), flush=True)
        if side == "ours":
            continue
        level = min(b for _, b in points)
        theirs, when = reached(points, level) or 0.0, reached(own, level)
        if when is None:
            print(f"    ours did not reach {level:.3f} in {given.seconds:.0f} s (it ended at {own[-1][1]:.3f})")
        else:
            ratio = f"{theirs / when:.1f} times" if when > 0 else "before training"
            whole = (theirs + start[1]) / (when + prepared)
            print(f"    {level:.3f} reached after {theirs:.0f} s, by ours after {when:.0f} s: {ratio}; with tokenizer "
                  f"and rows {whole:.1f} times ({start[1]:.0f} s theirs, {prepared:.0f} s ours)")  # fmt: skip


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="model folder, with its tokenizer")
    parser.add_argument("--text", type=Path, help="UTF-8 text")
    parser.add_argument("--heldout", type=Path, help="UTF-8 text to score on, for the part `bits`")
    parser.add_argument("--only", nargs="+", default=["kept", "replaced", "bits"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--stock-micro", type=int, nargs="+", default=[2048, 512], help="tokens a micro-batch")
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--compile", action="store_true", help="our side with torch.compile")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--lines", type=int, default=4000, help="of the text, where speed alone is measured")
    parser.add_argument("--size", type=int, default=16_000)
    parser.add_argument("--seconds", type=float, default=180.0, help="of training a side, part `bits`")
    parser.add_argument("--lr", type=float, default=3e-4, help="part `bits`")
    parser.add_argument("--words", type=int, default=200, help="held-out words scored at each point")
    parser.add_argument("--side", choices=["ours", "stock"], help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps({"ours": ours, "stock": stock}[given.side](json.loads(given.job))))
        return
    job = {
        "source": str(given.source), "text": str(given.text), "steps": given.steps, "clock": given.clock,
        "batch_tokens": given.batch_tokens, "length": given.sequence_length, "precision": given.precision,
        "threads": given.threads, "lines": given.lines, "lr": 1e-4, "micro": None,
        "options": {"compile": given.compile},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        if "ways" in given.only:
            ways(given, job)
        kept = speed(given, "vocabulary kept", job) if "kept" in given.only else None
        if {"replaced", "bits"} & set(given.only):
            model, prepared = adapted(given, Path(name))
        if "replaced" in given.only:
            new = speed(given, f"vocabulary replaced, {given.size:,} pieces", {**job, "source": str(model)})
            for side in kept or ():
                gain = new[side]["characters_per_second"] / kept[side]["characters_per_second"]  # type: ignore[index]
                print(f"  replaced / kept, {side}, characters_per_second: {gain:.2f}")
        if "bits" in given.only and given.heldout is not None:
            curves(given, job, Path(name), model, prepared)


if __name__ == "__main__":
    main()
