"""The model card: what the model is, how to load it, what it scores, what it was trained on, what is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from adapt.config import HANDED_OUT
from adapt.report.describe import source_name
from adapt.report.read import read_json

_CLASSES = {
    "fill-mask": "AutoModelForMaskedLM",
    "text-generation": "AutoModelForCausalLM",
    "feature-extraction": "AutoModel",
}


def pipeline_of(model: Path) -> str:
    """Take the hub's name for what the model does, from its configuration."""
    names = " ".join(read_json(model / "config.json").get("architectures") or [])
    if "CausalLM" in names or "LMHeadModel" in names:
        return "text-generation"
    return "fill-mask" if "MaskedLM" in names or not names else "feature-extraction"


def commands(run: Path, task: str | None) -> str:
    """Show how to load the run's model with plain transformers, and what to do next."""
    name = _CLASSES[pipeline_of(_model(run))]
    lines = [
        f"from transformers import {name}, AutoTokenizer",
        f'model = {name}.from_pretrained("{run.name}/model")',
        f'tokenizer = AutoTokenizer.from_pretrained("{run.name}/model")',
    ]
    if any(_model(run).glob("adapter-*.safetensors")):
        lines += [
            "",
            "# plain transformers leaves the adapters out; the scores are of the model with them:",
            "from adapt.tuning.adapters import load_tuned",
            f'model = load_tuned("{run.name}/model")',
        ]
    if task:
        lines += ["", f"# the trained heads: lexigraft predict {run.name} {task} FILE"]
    return "\n".join(lines)


def _model(run: Path) -> Path:
    return next((p for arm in HANDED_OUT if (p := run / "pretrain" / arm / "model").is_dir()), run / "model")


def card(run: Path, config: Any, table: dict[str, Any], pairs: list[tuple[str, str]], task: str | None) -> str:
    """Write README.md.

    Args:
        run: the run folder.
        config: its configuration.
        table: what table.json holds.
        pairs: what was measured on.
        task: a task whose heads can be used, or None.
    """
    base = str(getattr(getattr(config, "source", None), "model", "") or "")
    front: dict[str, Any] = {
        "language": [str(getattr(config, "language", "und"))],
        "pipeline_tag": pipeline_of(_model(run)),
        "library_name": "transformers",
        "tags": ["lexigraft", "vocabulary-transplant", "low-resource"],
    }
    arms = {row["arm"] for row in table["rows"]}
    handed = next((arm for arm in HANDED_OUT if arm in arms), "source")
    if base and not Path(base).is_absolute() and handed != "scratch":
        # Hub ids only: a folder's name would point at somebody else's model.
        front["base_model"] = base
    method = getattr(getattr(config, "transplant", None), "method", None) or "the default chain"
    made = {
        "adapted": f"{source_name(config)} with a vocabulary built for the language (rows formed by {method}), then "
        "trained further",
        "scratch": "A model trained from drawn weights, on text of the language alone",
    }.get(handed, f"{source_name(config)}, trained further on text of the language")
    loads = (
        "Without code of ours, transformers loads the model without its adapters: no plain model can hold them."
        if any(_model(run).glob("adapter-*.safetensors"))
        else "No code of ours is needed to load it."
    )
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {table['title']}",
        "",
        f"{made[0].upper()}{made[1:]}. {table['headline']}",
        "",
        "```python",
        commands(run, task),
        "```",
        "",
        loads,
        "",
        "## Scores",
        "",
        *_markdown(table),
        "",
        "Mean over seeds and 95 % interval; **bold** is the best, ≈ is not distinguishable from it.",
        "",
    ]
    if table["verdicts"]:
        lines += ["## Who is ahead", "", *(f"- {v['text']}" for v in table["verdicts"]), ""]
    lines += ["## Training and measuring", "", "| | |", "| --- | --- |"]
    lines += [f"| {_plain(a)} | {_plain(b)} |" for a, b in pairs]
    lines += ["", "## Limits", "", *(f"- {note}" for note in table["notes"])]
    lines += [
        "- Trained on little text: measure it on your own data before you use it where a wrong answer does harm.",
        "",
        "## Licence",
        "",
        "This card states no licence. The weights derive from the source model and from the training text, and "
        "the scores from the labelled data: the terms of all three apply. Check them before you share the model.",
        "",
    ]
    return "\n".join(lines)


def _markdown(table: dict[str, Any]) -> list[str]:
    columns = table["columns"]
    if not columns:
        return ["Nothing was measured."]
    lines = [
        "| arm | " + " | ".join(f"{table['titles'][c]} ({table['units'][c]})" for c in columns) + " |",
        "| --- | " + " | ".join("---:" for _ in columns) + " |",
    ]
    for row in table["rows"]:
        cells = []
        for column in columns:
            cell = row["cells"].get(column)
            if cell is None:
                cells.append("")
            elif cell["mean"] is None:
                cells.append(f"*{_plain(cell['note'])}*")
            else:
                value, _, bounds = cell["text"].partition(" ")
                shown = f"**{value}**" if cell["best"] else f"≈ {value}" if cell["tied"] else value
                cells.append(f"{shown} {bounds}")
        lines.append(f"| {_plain(row['label'])} | " + " | ".join(cells) + " |")
    return lines


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
