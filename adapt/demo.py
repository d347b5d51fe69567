"""The main job on an embedded default: Chichewa, from the Bible, with a small English BERT as the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from adapt import config as configuration
from adapt.files import write_atomic
from adapt.pipeline import Run, run
from lexigraft import InputError

YAML = """\
# Written by `lexigraft demo`. The same job on your own language: `lexigraft init`.
language: nya                    # Chichewa (Nyanja)
source:
  model: '{model}'
corpus:
  text: [{data}/text.txt]
  heldout: {data}/heldout.txt    # whole books that no other stage sees
tokenizer:
  vocab_size: 8000
pretrain:
  minutes: 4                     # for each trained arm; turned into steps once
  objective_options: {{mlm: {{unit: word-l2r, rate: 0.3}}}}
evaluate:
  mode: probe                    # heads on a frozen body; demo.full=true fine-tunes the whole model
  tasks:
    pos:
      train: {data}/pos/train.txt
      dev: {data}/pos/dev.txt
      test: {data}/pos/test.txt
      about: &silver "silver labels, made by program from English: corpora/sample/README.md"
    ner:
      train: {data}/ner/train.txt
      dev: {data}/ner/dev.txt
      test: {data}/ner/test.txt
      about: *silver
    sentiment:
      train: {data}/sentiment/train.tsv
      dev: {data}/sentiment/dev.tsv
      test: {data}/sentiment/test.tsv
      about: *silver
"""


def demo(overrides: dict[str, Any], console: Console) -> Run:
    """Write the sample's files and its YAML, then run them like anybody's.

    Args:
        overrides: dotted keys; `demo.full` fine-tunes the whole model instead of probing a frozen one.
        console: where progress is shown.

    Raises:
        InputError: the packages of `lexigraft[demo]` are missing, or an override is not known.
    """
    from corpora import sample

    own = {key: value for key, value in overrides.items() if key.split(".")[0] == "demo"}
    rest = {key: value for key, value in overrides.items() if key not in own}
    full = str(own.pop("demo.full", "false")).lower()
    if own or full not in ("true", "false"):
        raise InputError("unknown demo option", found=", ".join(own) or f"demo.full={full}", expected="demo.full=true")
    out = Path(rest.get("out", "runs"))
    data = out / "demo-data"
    sample.export(data)
    path = out / "demo.yaml"
    write_atomic(path, YAML.format(model=sample.source_model(), data="demo-data"))
    if full == "true":
        rest.setdefault("evaluate.mode", "finetune")
    settings = configuration.load(path, {"out": str(out), **rest})
    return run(settings, console=console)
