"""Held-out pseudo-bits per character over training time, for several ways to begin, at equal time.

    python -m benchmarks.curves --source DIR --data DIR [--languages hau yor] [--minutes 6] [--figures docs/curves.json]
                                [--picture docs/curves.png] [--out curves-study]

SOURCE is a masked model with a head (benchmarks/forecast.py warms one up). Each arm is trained for the same processor
time on one thread, the schedule stretched to fit by a measurement of its steps: vocabulary kept; and an 8,000-piece
Unigram vocabulary whose rows come from *copy + random*, `subwords`, FOCUS (with fastText, as published) and our default
chain. Scoring is not counted. What is in the file of figures is not trained again.
DATA/<language>/raw/{train,heldout}.txt.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import forecast as study

KEPT = "vocabulary kept"
ARMS: dict[str, str | None] = {
    KEPT: None,
    "copy + random": "copy",
    "subwords": "subwords",
    "FOCUS": "focus",
    "default chain": None,
}
MEASURED = 8  # steps; the first two do not count


def train(arguments: argparse.Namespace, folder: Path, language: str, seed: int) -> list[list[float]]:
    """Train for the given time.

    Returns:
        Points of the curve: processor seconds, steps, pseudo-bits per character.
    """
    from adapt.pretrain.step import set_up, train_step
    from adapt.pretrain.tokens import tokenise
    from vocab.tokenizer.load import load_tokenizer

    raw = arguments.data / language / "raw"
    tokenizer = load_tokenizer(folder)
    options = study.options(arguments, sequence_length=128)
    budget = 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as name:
        tokens = tokenise(raw / "train.txt", tokenizer, Path(name))
        # Steps are counted in processor time, so the measurement is too.
        setup = set_up(folder, folder, tokens, tokenizer, options, MEASURED, seed)
        times = []
        for step in range(MEASURED):
            start = time.process_time()
            train_step(setup, step)
            times.append(time.process_time() - start)
        steps = max(MEASURED, round(budget / statistics.median(times[2:])))
        setup = set_up(folder, folder, tokens, tokenizer, options, steps, seed)
        points = [[0.0, 0, study.bits(setup.model, tokenizer, raw / "heldout.txt", arguments.words)]]
        spent = 0.0
        for step in range(steps):
            setup.model.train()
            start = time.process_time()
            train_step(setup, step)
            spent += time.process_time() - start
            if step + 1 == steps or (step + 1) * arguments.points // steps > step * arguments.points // steps:
                found = study.bits(setup.model, tokenizer, raw / "heldout.txt", arguments.words)
                points.append([round(spent, 1), step + 1, round(float(found), 4)])
                print(f"    {spent:6.0f} s  {step + 1:5d} steps  {found:.3f}", flush=True)
    return points


def start(arguments: argparse.Namespace, language: str, arm: str, seed: int, folder: Path) -> Path:
    """Give the folder of the model that an arm begins with."""
    import vocab

    if arm == KEPT:
        return Path(arguments.source)
    text = arguments.data / language / "raw" / "train.txt"
    target = study.tokenizer_of(arguments, language, text)
    graft = vocab.transplant(arguments.source, target, method=ARMS[arm], texts=[text], seed=seed, score=False)
    graft.save(folder / "start")
    return folder / "start"


def picture(figures: list[dict[str, Any]], path: Path) -> None:
    """Draw one panel a language, one line an arm; a band where there are several seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    languages = list(dict.fromkeys(row["language"] for row in figures))
    colours = dict(zip(ARMS, ("#6b7280", "#c2410c", "#0f766e", "#7c3aed", "#1d4ed8"), strict=True))
    figure, axes = plt.subplots(1, len(languages), figsize=(5.2 * len(languages), 4), squeeze=False)
    for axis, language in zip(axes[0], languages, strict=True):
        for arm in ARMS:
            rows = [row for row in figures if row["language"] == language and row["arm"] == arm]
            for number, row in enumerate(rows):
                seconds, _, bits = zip(*row["points"], strict=True)
                axis.plot([s / 60 for s in seconds], bits, color=colours[arm], marker="o", markersize=3,
                          linewidth=1.6, label=None if number else arm)  # fmt: skip
        axis.set_title(language)
        axis.set_xlabel("minutes of training (processor time, one thread)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("held-out pseudo-bits per character")
    axes[0][-1].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Train what is missing, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, help="folder of a masked model with a head; without it: picture only")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--languages", nargs="+", default=["hau", "yor"])
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--points", type=int, default=8, help="of each curve")
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--out", type=Path, default=Path("curves-study"), help="where tokenizers are kept")
    parser.add_argument("--figures", type=Path, default=Path("docs/curves.json"))
    parser.add_argument("--picture", type=Path, default=Path("docs/curves.png"))
    arguments = parser.parse_args()
    figures = json.loads(arguments.figures.read_text(encoding="utf-8")) if arguments.figures.is_file() else []
    if arguments.source is not None:
        import torch

        torch.set_num_threads(1)
        for seed in arguments.seeds:
            for language in arguments.languages:
                for arm in ARMS:
                    if any((r["language"], r["arm"], r["seed"]) == (language, arm, seed) for r in figures):
                        continue
                    print(f"{language}, {arm}, seed {seed}", flush=True)
                    with tempfile.TemporaryDirectory() as name:
                        folder = start(arguments, language, arm, seed, Path(name))
                        points = train(arguments, folder, language, seed)
                    figures.append({"language": language, "arm": arm, "seed": seed, "minutes": arguments.minutes,
                                    "lr": arguments.lr, "points": points})  # fmt: skip
                    arguments.figures.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    for row in figures:
        seconds, steps, bits = row["points"][-1]
        print(f"{row['language']} {row['arm']:16s} seed {row['seed']}: {row['points'][0][2]:.3f} -> {bits:.3f} "
              f"in {seconds / 60:.1f} min, {steps} steps")  # fmt: skip
    picture(figures, arguments.picture)


if __name__ == "__main__":
    main()
