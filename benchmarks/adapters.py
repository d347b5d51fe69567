"""Train each tuning for a little while on real text, save it, load it again, and put sizes and scores into a table.

    python -m benchmarks.adapters --source DIR --data DIR [--steps 24] [--tunings lora ia3 ...]

SOURCE is a masked language model with its head (a head that is new would hide what a tuning learns; warm it up with
`pretrain.tuning=head`). DATA/raw/{train,heldout}.txt is text of the language, DATA/pos/{train,dev,test}.txt its tags.
The vocabulary is replaced first, by the default chain, once for all tunings. Those that may train embeddings and head
beside themselves do not: what is counted is the tuning alone. What comes out is loaded the way users load it: by plain
transformers where it was merged, with its adapter file where no plain model holds it; the same words are scored before
and after.

What is finished is noted in OUT/results.jsonl and not done again. Writes docs/adapters.json and docs/adapters.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
# Few parameters want large steps; nothing here is tuned.
RATES = {"full": 1e-4, "embeddings": 1e-4, "embeddings-first": 1e-4, "top-layers": 1e-4, "ia3": 1e-2}
USUAL_RATE = 1e-3
SEED, POS_SEEDS = 0, [0, 1, 2]
PEFT = ("tinylora", "ln_tuning", "hra", "fourierft", "lokr", "vera", "randlora", "oft", "boft", "loha")


def options_of(tuning: str, arguments: argparse.Namespace) -> Any:
    """Make the settings of the short training of one tuning."""
    from adapt.pretrain.options import Pretrain
    from adapt.tuning.tuning import TUNINGS, BesideOptions

    alone = {"embeddings": False, "head": False} if issubclass(TUNINGS[tuning].options, BesideOptions) else {}
    return Pretrain.model_validate({
        "tuning": tuning, "lr": RATES.get(tuning, USUAL_RATE), "steps": arguments.steps, "sequence_length": 64,
        "batch_tokens": arguments.batch_tokens, "tuning_options": {tuning.replace("-", "_"): alone},
    })  # fmt: skip


def start_of(arguments: argparse.Namespace) -> Path:
    """Replace the source's vocabulary, once."""
    import vocab

    folder: Path = arguments.out / "start"
    if not folder.is_dir():
        text = [arguments.data / "raw" / "train.txt"]
        words = vocab.train_tokenizer(text, like=arguments.source, algorithm="unigram", vocab_size=arguments.size)
        partial = arguments.out / ".start"
        vocab.transplant(arguments.source, words, texts=text, seed=SEED).save(partial)
        partial.rename(folder)
    return folder


def bits(model: Any, tokenizer: Path, arguments: argparse.Namespace) -> float:
    """Pseudo-bits per character of the held-out words, the same words for every model.

    In fp32: in bf16 the attention of training and that of a loaded model differ by their rounding, in the third digit.
    """
    from corpora.text import read_lines
    from vocab.score import bits_per_character, word_bits
    from vocab.tokenizer.load import load_tokenizer
    from vocab.windows import sample_words

    lines = list(read_lines(arguments.data / "raw" / "heldout.txt"))
    words = sample_words(lines, arguments.words, SEED)
    model.eval()
    found = word_bits(model, load_tokenizer(tokenizer), lines, words)
    return bits_per_character(found.bits, words, [status == "ok" for status in found.status])


def pos(model: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Accuracy of part-of-speech probes on a model's frozen states: mean over the seeds of the heads, and each."""
    from adapt.config import Evaluate
    from adapt.evaluate.job import Job
    from adapt.evaluate.task import TASKS

    task, out = TASKS["pos"], arguments.out / "pos"
    shutil.rmtree(out, ignore_errors=True)
    files = task.options(**{part: arguments.data / "pos" / f"{part}.txt" for part in ("train", "dev", "test")})
    shared = Evaluate(seeds=POS_SEEDS, max_train=arguments.sentences, max_test=arguments.sentences)
    task.run(Job("arm", "pos", model, model, files, shared, None, out, SEED))
    found = [json.loads((out / f"seed-{seed}" / "scores.json").read_text())["metrics"] for seed in POS_SEEDS]
    scores = [one["accuracy"] for one in found]
    return {"pos": 100 * sum(scores) / len(scores), "pos_seeds": [round(100 * score, 2) for score in scores]}


def measure(tuning: str, source: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, score, save, load and score again."""
    from adapt.pretrain.model import save_plain
    from adapt.pretrain.step import set_up, train_step
    from adapt.pretrain.tokens import tokenise
    from adapt.tuning.adapters import load_tuned
    from vocab.tokenizer.load import load_tokenizer

    saved = arguments.out / "model"
    shutil.rmtree(saved, ignore_errors=True)
    tokenizer = load_tokenizer(source)
    tokens = tokenise(arguments.data / "raw" / "train.txt", tokenizer, arguments.out / "tokens", max_lines=20_000)
    options = options_of(tuning, arguments)
    setup = set_up(source, source, tokens, tokenizer, options, arguments.steps, SEED)
    began = time.process_time()
    losses = [train_step(setup, step)["loss"] for step in range(arguments.steps)]
    seconds = time.process_time() - began
    trained = sum(p.numel() for p in setup.trained.values())
    whole = sum(p.numel() for p in setup.model.parameters())
    before = bits(setup.model, source, arguments)
    save_plain(setup.tuning.finish(setup.model), source, saved)
    beside = sorted(saved.glob("adapter-*.safetensors"))
    model = load_tuned(saved) if beside else _plain(saved)
    return {
        "tuning": tuning, "lr": options.lr, "trained_parameters": trained, "parameters": whole,
        "saved": "beside" if beside else "merged",
        "saved_bytes": sum(f.stat().st_size for f in beside or saved.glob("*.safetensors")),
        "cpu_seconds_a_step": round(seconds / arguments.steps, 3), "first_loss": losses[0], "last_loss": losses[-1],
        "bits_trained": before, "bits_loaded": bits(model, saved, arguments), **pos(saved, arguments),
    }  # fmt: skip


def peft_sizes(source: Path) -> dict[str, int]:
    """Count what some types of the tuning `peft` train in a model's body, with their own defaults."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    from adapt.tuning.peft_ import PeftOptions, prepare

    found = {}
    for kind in PEFT:
        model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(source, vocab_size=1000))  # the body counts
        prepare(model, PeftOptions(type=kind, embeddings=False, head=False))
        found[kind] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _plain(folder: Path) -> Any:
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(folder)


def write(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Write docs/adapters.json and docs/adapters.md."""
    from adapt.report.describe import versions
    from adapt.tuning.tuning import TUNINGS

    start, rest = rows[0], sorted(rows[1:], key=lambda row: row["trained_parameters"])
    made = {
        "command": f"python -m benchmarks.adapters --source DIR --data DIR --steps {arguments.steps} --size "
        f"{arguments.size} --batch-tokens {arguments.batch_tokens} --words {arguments.words} --sentences "
        f"{arguments.sentences}",
        "source": arguments.name, "data": arguments.data.name, "versions": versions(),
        "peft_trained_parameters": peft_sizes(arguments.source),
    }  # fmt: skip
    (DOCS / "adapters.json").write_text(json.dumps({"made": made, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    lines = [
        "# Tunings: what each trains, what it saves, and that it comes back", "",
        f"Written by `{made['command']}` ({', '.join(made['versions'][:4])}); figures: `docs/adapters.json`.", "",
        f"Source: {made['source']}; language: {made['data']}; the vocabulary replaced by {arguments.size:,} pieces "
        f"with the default chain, {start['parameters'] / 1e6:.0f} million parameters then. Each tuning trained for "
        f"{arguments.steps} steps of {arguments.batch_tokens} tokens with **one seed**, at a learning rate of its kind "
        "that was not tuned: enough to see that each trains, is saved and comes back as it was, **not enough to order "
        "them**. Embeddings and head stay as they are unless the tuning is about them (by default they are trained "
        "too).",
        "",
        f"Pseudo-bits: per character of {arguments.words} held-out words, lower is better; *trained* before saving, "
        f"*loaded* after loading what was saved, both in fp32. POS: probe accuracy, mean of {len(POS_SEEDS)} seeds of "
        f"the head, {arguments.sentences} sentences to train, {arguments.sentences} to test.", "",
        "| tuning | trained parameters | MB of them | saved | MB saved | pseudo-bits trained | loaded | POS, % |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
        f"| (before training) | 0 | | | {start['saved_bytes'] / 1e6:,.0f} | {start['bits_trained']:.4f} | | "
        f"{start['pos']:.1f} |",
    ]  # fmt: skip
    for row in rest:
        where = "beside the plain model" if row["saved"] == "beside" else "in the plain model"
        cells = [row["tuning"], f"{row['trained_parameters']:,}", f"{4 * row['trained_parameters'] / 1e6:,.2f}", where,
                 f"{row['saved_bytes'] / 1e6:,.1f}", f"{row['bits_trained']:.4f}", f"{row['bits_loaded']:.4f}",
                 f"{row['pos']:.1f}"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    worst = max(abs(row["bits_trained"] - row["bits_loaded"]) for row in rest)
    lines += [
        "",
        f"Largest difference between trained and loaded: {worst:.1e} pseudo-bits per character. LoRA, DoRA and IA3 are "
        "merged: their updates are products with the weights, and what is loaded is a plain model. Bottleneck and "
        "invertible adapters have a ReLU of their own between two layers: no plain model computes them, so they lie "
        "beside it in a file of their own, which `adapt.tuning.adapters.load_tuned` reads; without it transformers "
        "loads the plain model, and the run's card and `lexigraft export` say so.",
        "",
        "`peft` is any other type that the package has, its own options beside it: `pretrain: {tuning: peft, "
        "tuning_options: {peft: {type: loha, options: {r: 4}}}}`. Each is merged as LoRA is; types that cannot be are "
        "refused with the reason when the file is read, and a test trains and merges all others, on an encoder and a "
        "decoder. Counted, not trained: what some of them train in this body with their own defaults.",
        "",
        f"| type | {' | '.join(made['peft_trained_parameters'])} |",
        f"| --- |{' ---: |' * len(PEFT)}",
        f"| trained parameters | {' | '.join(f'{n:,}' for n in made['peft_trained_parameters'].values())} |",
        "",
        "| tuning | use it when | not when |",
        "| --- | --- | --- |",
        *(f"| {spec.name} | {spec.when} | {spec.when_not} |" for spec in TUNINGS),
        "",
    ]
    (DOCS / "adapters.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Measure what is not measured yet, then write the table."""
    from adapt.tuning.tuning import TUNINGS

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--name", default="multilingual-e5-small with a warmed-up head", help="what SOURCE is")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/adapters"))
    parser.add_argument("--tunings", nargs="+", default=TUNINGS.names)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--size", type=int, default=8000, help="pieces of the new vocabulary")
    parser.add_argument("--batch-tokens", type=int, default=256)
    parser.add_argument("--words", type=int, default=80)
    parser.add_argument("--sentences", type=int, default=150)
    arguments = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    start = start_of(arguments)
    for name in ("start", *arguments.tunings):
        if any(row["tuning"] == name for row in rows):
            continue
        if name == "start":
            model = _plain(start)
            row = {"tuning": name, "parameters": sum(p.numel() for p in model.parameters()), "trained_parameters": 0,
                   "saved_bytes": sum(f.stat().st_size for f in start.glob("model*.safetensors")),
                   "bits_trained": bits(model, start, arguments), **pos(start, arguments)}  # fmt: skip
        else:
            row = measure(name, start, arguments)
        rows.append(row)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    write(rows, arguments)


if __name__ == "__main__":
    main()
