"""Ask whether anything known before training orders transplant methods as training does.

    python -m benchmarks.forecast --source DIR --data DIR [--languages hau yor kin swa] [--steps 300] [--seeds 0]
        [--methods copy mean ...] [--bias frequency] [--train-only]

For every language and method: transplant the source model to a tokenizer of the language, train it with the same
batches and masks, and note the held-out loss and pseudo-bits per character by word. Beside that stands what could be
known before: `vocab.transplant.forecast` on hidden overlapping tokens, pseudo-bits without training, the loss of a
shrunken model (its first layers, on the same rows) after a fraction of the steps, that of `method="auto"` after its
still shorter training, and the loss of the model itself after an eighth of the steps. Printed are the figures and, for
each predictor, Spearman's correlation with the order after training, within each language.

The source gets its head warmed up first (body and vocabulary fixed): a head that is random hides what the rows are
worth. What is finished is noted in `results.jsonl` and not done again. DATA/<language>/raw/{train,heldout}.txt.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

METHODS: dict[str, dict[str, Any]] = {
    "copy": {"method": "copy"},
    "mean": {"method": "copy -> mean"},
    "subwords": {"method": "subwords"},
    "focus": {"method": "focus"},
    "default": {},
    "mixed": {"bias": "mixed"},  # the default chain, its output bias mixed as the rows are
    "kriging": {"method": "kriging -> subwords -> mean"},
}
HEAD_LINES = 4000  # lines of each language that the head is warmed up on


def start_of(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    """Return what `vocab.transplant` is to be given for a start."""
    return METHODS[name] if arguments.bias is None else METHODS[name] | {"bias": arguments.bias}


def chains() -> dict[str, str | None]:
    """Each start's method, as `vocab.transplant` takes it."""
    return {name: given.get("method") for name, given in METHODS.items()}


def options(arguments: argparse.Namespace, **more: Any) -> Any:
    """Return the default settings of pretraining, in small steps."""
    from adapt.config import Pretrain

    return Pretrain.model_validate(
        {
            "lr": arguments.lr,
            "batch_tokens": arguments.batch_tokens,
            "sequence_length": 64,
            "checkpoint_seconds": 1e9,
            **more,
        }
    )


def warm_head(arguments: argparse.Namespace) -> Path:
    """Give the source model a language-modelling head, trained alone on all languages' text."""
    from adapt.pretrain.engine import pretrain

    folder = arguments.out / "source"
    text = arguments.out / "all.txt"
    if not text.is_file():
        lines = []
        for language in arguments.languages:
            with (arguments.data / language / "raw" / "train.txt").open(encoding="utf-8") as file:
                lines += [line for line, _ in zip(file, range(HEAD_LINES), strict=False)]
        text.write_text("".join(lines), encoding="utf-8")
    facts = pretrain(
        arguments.source, arguments.source, text, None, options(arguments, tuning="head", lr=1e-3),
        arguments.head_steps, 0, folder,
    )  # fmt: skip
    print(f"head warmed up: {facts['loss']:.2f} nats a predicted token, {facts['seconds']:.0f} s", flush=True)
    return folder / "model"


def tokenizer_of(arguments: argparse.Namespace, language: str, text: Path) -> Path:
    """Learn a Unigram tokenizer for the language, once."""
    import vocab

    folder = arguments.out / language / "tokenizer"
    if not folder.is_dir():
        made = vocab.train_tokenizer([text], like=arguments.source, algorithm="unigram", vocab_size=arguments.size)
        made.save_pretrained(folder)
    return folder


def bits(model: Any, tokenizer: Any, heldout: Path, words: int) -> float:
    """Pseudo-bits per character of a seeded sample of held-out words."""
    from vocab.score import word_bits
    from vocab.windows import sample_words

    lines = heldout.read_text(encoding="utf-8").splitlines()
    chosen = sample_words(lines, words, 0)
    found = word_bits(model.eval(), tokenizer, lines, chosen)
    scored = [(b, len(w.text)) for b, w, s in zip(found.bits, chosen, found.status, strict=True) if s != "too_long"]
    return sum(b for b, _ in scored) / sum(n for _, n in scored)


def study(arguments: argparse.Namespace, source: Path, language: str, name: str, seed: int) -> dict[str, Any]:
    """Transplant, score, train, score."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    import vocab
    from adapt.pretrain.engine import pretrain

    raw = arguments.data / language / "raw"
    target = tokenizer_of(arguments, language, raw / "train.txt")
    folder = arguments.out / language / f"{name}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    graft = vocab.transplant(
        source, target, texts=[raw / "train.txt"], seed=seed, score=False, **start_of(arguments, name)
    )
    seconds = time.monotonic() - began
    before = bits(graft.model, graft.tokenizer, raw / "heldout.txt", arguments.words)
    graft.save(folder / "start")
    facts = pretrain(
        folder / "start", folder / "start", raw / "train.txt", raw / "heldout.txt", options(arguments),
        arguments.steps, seed, folder / "trained",
    )  # fmt: skip
    place = folder / "trained" / "model"
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    after = bits(model, tokenizer, raw / "heldout.txt", arguments.words)
    log = [json.loads(line) for line in (folder / "trained" / "log.jsonl").read_text().splitlines()]
    shutil.rmtree(folder)
    return {
        "language": language,
        "method": name,
        "seed": seed,
        "transplant_seconds": round(seconds, 1),
        "before": round(before, 4),
        "after": round(after, 4),
        "losses": [[line["step"], round(line["heldout_loss"], 4)] for line in log if "heldout_loss" in line],
        "train_seconds": round(facts["seconds"], 1),
    }


def shrunken(arguments: argparse.Namespace, source: Path, language: str, name: str, seed: int) -> dict[str, Any]:
    """Train the first layers alone on the method's rows, for a fraction of the steps."""
    from transformers import AutoModelForMaskedLM

    import vocab
    from adapt.pretrain.engine import pretrain

    raw = arguments.data / language / "raw"
    target = tokenizer_of(arguments, language, raw / "train.txt")
    folder = arguments.out / language / f"{name}-{seed}-shrunken"
    shutil.rmtree(folder, ignore_errors=True)
    graft = vocab.transplant(
        source, target, texts=[raw / "train.txt"], seed=seed, score=False, **start_of(arguments, name)
    )
    graft.save(folder / "start")
    place = folder / "start"
    small = AutoModelForMaskedLM.from_pretrained(place, num_hidden_layers=arguments.layers)
    small.save_pretrained(place)
    began = time.monotonic()
    facts = pretrain(
        place, place, raw / "train.txt", raw / "heldout.txt", options(arguments),
        arguments.steps // 4, seed, folder / "trained",
    )  # fmt: skip
    shutil.rmtree(folder)
    return {"shrunken": round(facts["heldout_loss"], 4), "shrunken_seconds": round(time.monotonic() - began, 1)}


def forecasts(arguments: argparse.Namespace, source: Path, language: str) -> dict[str, dict[str, float]]:
    """Tell what hidden overlapping tokens say of each method."""
    import vocab

    text = arguments.data / language / "raw" / "train.txt"
    table = vocab.transplant.forecast(source, tokenizer_of(arguments, language, text), texts=[text], methods=chains())
    return {name: {"mrr": round(row["mrr"], 4), "cosine": round(row["cosine"], 4)} for name, row in table.iterrows()}


def trials(arguments: argparse.Namespace, source: Path, language: str) -> dict[str, float]:
    """Tell what `method="auto"` goes by: the loss after its short training on each method's rows."""
    from vocab.transplant.setting import Setting
    from vocab.transplant.trial import TrialOptions, trial

    text = arguments.data / language / "raw" / "train.txt"
    setting = Setting.of(source, tokenizer_of(arguments, language, text), texts=[text])
    rows = {name: setting.mixture(method) for name, method in chains().items()}
    found = trial(setting, rows, TrialOptions(), by_frequency=arguments.bias == "frequency")
    return {name: round(float(nats.mean()), 4) for name, nats in found.items()}


def report(rows: list[dict[str, Any]]) -> None:
    """Print the figures, and how well each predictor orders the methods."""
    import numpy as np
    import pandas as pd
    from scipy.stats import spearmanr

    table = pd.DataFrame(rows)
    table["eighth"] = [losses[0][1] for losses in table["losses"]]
    table["loss"] = [losses[-1][1] for losses in table["losses"]]
    columns = ["mrr", "cosine", "before", "shrunken", "trial", "eighth", "loss", "after"]
    columns = [column for column in columns if column in table]
    mean = table.groupby(["language", "method"])[columns].mean()
    print(mean.round(3).to_string())
    if table["seed"].nunique() > 1:
        print("\nOver seeds, mean (least to most):")
        for (language, method), part in table.groupby(["language", "method"]):
            shown = (
                f"{c} {part[c].mean():.3f} ({part[c].min():.3f} to {part[c].max():.3f})" for c in ("after", "loss")
            )
            print(f"  {language} {method:9s} {len(part)} seeds: {', '.join(shown)}")
    print("\nSpearman's correlation with the order after training (1 is the same order), by language:")
    for outcome in ("loss", "after"):
        for predictor in [c for c in columns if c not in ("loss", "after")]:
            sign = -1 if predictor in ("mrr", "cosine") else 1
            found = {
                language: float(spearmanr(sign * part[predictor], part[outcome]).statistic)
                for language, part in mean.groupby("language")
            }
            shown = "  ".join(f"{language} {value:+.2f}" for language, value in found.items())
            print(f"  {outcome:6s} by {predictor:9s} mean {np.mean(list(found.values())):+.2f}   {shown}")


def main() -> None:
    """Run the study, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder of a multilingual masked model")
    parser.add_argument("--data", type=Path, required=True, help="folder with <language>/raw/{train,heldout}.txt")
    parser.add_argument("--languages", nargs="+", default=["hau", "yor", "kin", "swa"])
    parser.add_argument("--out", type=Path, default=Path("forecast-study"))
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--head-steps", type=int, default=200)
    parser.add_argument("--batch-tokens", type=int, default=256)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--layers", type=int, default=3, help="of the shrunken model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--bias", choices=("frequency", "mixed"), help="of all starts; else each one's own")
    parser.add_argument("--train-only", action="store_true", help="leave out what could be known before")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    source = warm_head(arguments)
    for seed in arguments.seeds:
        for language in arguments.languages:
            for name in arguments.methods:
                row = next((d for d in done if (d["language"], d["method"], d["seed"]) == (language, name, seed)), None)
                if row is None:
                    row = study(arguments, source, language, name, seed)
                    done.append(row)
                    write(results, done)
                    print(
                        f"{language} {name:9s} seed {seed}: {row['before']:.3f} -> {row['after']:.3f} pseudo-bits a "
                        f"character, {row['losses'][-1][1]:.3f} nats, {row['train_seconds']:.0f} s",
                        flush=True,
                    )
                if "shrunken" not in row and not arguments.train_only:
                    row.update(shrunken(arguments, source, language, name, seed))
                    write(results, done)
    for language in [] if arguments.train_only else arguments.languages:
        of_language = [row for row in done if row["language"] == language]
        if todo := [row for row in of_language if "mrr" not in row]:
            known = forecasts(arguments, source, language)
            for row in todo:
                row.update(known[row["method"]])
            write(results, done)
        if todo := [row for row in of_language if "trial" not in row]:
            losses = trials(arguments, source, language)
            for row in todo:
                row["trial"] = losses[row["method"]]
            write(results, done)
    report(done)


def write(results: Path, done: list[dict[str, Any]]) -> None:
    """Write all that is known, whole or not at all."""
    partial = results.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row) + "\n" for row in done))
    partial.replace(results)


if __name__ == "__main__":
    main()
