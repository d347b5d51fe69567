"""Time our training loop beside transformers' Trainer, in one run, alternated, on the same text, model and precision.

    python -m benchmarks.pretrain --source DIR --text FILE [--steps 6] [--rounds 2] [--batch-tokens 2048]
                                  [--sequence-length 128] [--precision bf16 fp32] [--threads 2]

Stock is what people run, at its best: `Trainer` with `DataCollatorForLanguageModeling`, text joined and cut into blocks
of one length (as its run_mlm example does), AdamW fused, no evaluation, no saving, dropout off as on our side, loss
scaling mended (`model_accepts_loss_kwargs = False`). Both sides mask 15 % of the tokens, start from the same weights,
take the same number of blocks a step, and run in processes of their own, one after the other in turns. Model loading,
tokenising and two warm-up steps are not counted. Prints characters and tokens a second (wall clock and processor time:
look at the latter on a machine that others use), peak memory, the ratio, and each side's last loss.
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
from pathlib import Path
from typing import Any

WARM = 2


def processor() -> float:
    """Processor seconds of this process."""
    return sum(os.times()[:2])


def summary(times: list[tuple[float, float]], tokens: list[int], per_token: float, loss: float) -> dict[str, float]:
    """Medians of the steps that count, and peak memory."""
    wall = statistics.median(t[0] for t in times[WARM:])
    cpu = statistics.median(t[1] for t in times[WARM:])
    count = statistics.mean(tokens[WARM:])
    return {
        "seconds": wall, "cpu_seconds": cpu, "tokens_per_second": count / wall,
        "characters_per_second": count * per_token / wall, "characters_per_cpu_second": count * per_token / cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "loss": loss,
    }  # fmt: skip


def ours(job: dict[str, Any]) -> dict[str, float]:
    """Run our loop."""
    from adapt.pretrain.data import tokenise
    from adapt.pretrain.options import Pretrain
    from adapt.pretrain.step import set_up, train_step
    from vocab.tokenizer.load import load_tokenizer

    options = Pretrain(
        objective="mlm", lr=job["lr"], warmup=0.0, schedule="constant", batch_tokens=job["batch_tokens"],
        micro_batch_tokens=job["micro"], sequence_length=job["length"], precision=job["precision"],
        objective_options={"mlm": {"rate": 0.15, "unit": "token", "head_bias": "keep"}},
    )  # fmt: skip
    source = Path(job["source"])
    tokenizer = load_tokenizer(source)
    with tempfile.TemporaryDirectory() as folder:
        tokens = tokenise(Path(job["text"]), tokenizer, Path(folder), max_lines=job["lines"])
        setup = set_up(source, source, tokens, tokenizer, options, WARM + job["steps"], 0)
        times, counts, loss = [], [], 0.0
        for step in range(WARM + job["steps"]):
            wall, cpu = time.perf_counter(), processor()
            facts = train_step(setup, step)
            times.append((time.perf_counter() - wall, processor() - cpu))
            counts.append(facts["tokens"])
            loss = facts["loss"]
        return summary(times, counts, tokens.facts["characters"] / tokens.facts["tokens"], loss)


def stock(job: dict[str, Any]) -> dict[str, float]:
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
        lines = [line.strip() for line, _ in zip(handle, range(job["lines"]), strict=False) if line.strip()]
    joined = [token for ids in tokenizer(lines)["input_ids"] for token in ids]
    length = job["length"]
    blocks = [{"input_ids": joined[k : k + length]} for k in range(0, len(joined) - length + 1, length)]
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_pretrained(job["source"], dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    times: list[tuple[float, float]] = []
    losses: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **more: Any) -> None:
            self.begin = (time.perf_counter(), processor())

        def on_step_end(self, *args: Any, **more: Any) -> None:
            times.append((time.perf_counter() - self.begin[0], processor() - self.begin[1]))

        def on_log(self, arguments: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            losses.append((logs or {}).get("loss", losses[-1] if losses else 0.0))

    rows = max(1, job["batch_tokens"] // length)
    micro = rows if job["micro"] is None else max(1, job["micro"] // length)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=micro, gradient_accumulation_steps=rows // micro, use_cpu=True,
            max_steps=WARM + job["steps"], learning_rate=job["lr"], lr_scheduler_type="constant", weight_decay=0.01,
            optim="adamw_torch_fused", bf16=job["precision"] == "bf16", save_strategy="no", logging_steps=1,
            report_to=[], disable_tqdm=True, dataloader_num_workers=0, seed=0,
        )  # fmt: skip
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        trainer = Trainer(model, arguments, train_dataset=blocks, data_collator=collator, callbacks=[Clock()])
        trainer.model_accepts_loss_kwargs = False
        trainer.train()
    characters = sum(map(len, lines)) / max(1, len(joined) - 2 * len(lines))
    share = 1 - 2 * len(lines) / len(joined)  # of a block that is text: begin and end of each line are not
    return summary(times, [rows * length] * len(times), characters * share, losses[-1])


def run(side: str, job: dict[str, Any]) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pretrain", "--side", side, "--job", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "TOKENIZERS_PARALLELISM": "false",
                   "PYTHONPATH": str(Path(__file__).parents[1])}  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="model folder, with its tokenizer")
    parser.add_argument("--text", help="UTF-8 text")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--micro", type=int, default=None, help="tokens a micro-batch; the whole step when not given")
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--precision", nargs="+", default=["bf16"], choices=["bf16", "fp32"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--lines", type=int, default=4000)
    parser.add_argument("--side", choices=["ours", "stock"], help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        job = json.loads(given.job)
        print(json.dumps({"ours": ours, "stock": stock}[given.side](job)))
        return
    for precision in given.precision:
        job = {
            "source": given.source, "text": given.text, "steps": given.steps, "batch_tokens": given.batch_tokens,
            "micro": given.micro, "length": given.sequence_length, "precision": precision, "threads": given.threads,
            "lines": given.lines, "lr": 1e-4,
        }  # fmt: skip
        found: dict[str, list[dict[str, float]]] = {"stock": [], "ours": []}
        for _ in range(given.rounds):
            for side in found:
                found[side].append(run(side, job))
        print(f"\n{precision}, {given.batch_tokens} tokens a step in blocks of {given.sequence_length}, "
              f"{given.threads} threads, {given.rounds} rounds of {given.steps} steps")  # fmt: skip
        middle = {s: {k: statistics.median(r[k] for r in rows) for k in rows[0]} for s, rows in found.items()}
        for side, row in middle.items():
            print(f"  {side:6s}" + "".join(f"  {key} {value:,.2f}" for key, value in row.items()))
        for key in ("characters_per_second", "characters_per_cpu_second", "peak_gb"):
            print(f"  ours / stock, {key}: {middle['ours'][key] / middle['stock'][key]:.2f}")


if __name__ == "__main__":
    main()
