"""Build the tokenizer of the language (or take the given one), and compare it with the source's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapt.config import RunConfig
from adapt.events import Report
from adapt.files import write_json
from adapt.graph import Context, Stage
from adapt.stages.source import tokenizer_folder, weight_files


def stage(config: RunConfig, source: Path) -> Stage:
    """Return the tokenizer stage of a run."""
    origin = tokenizer_folder(config.source, source)
    files = [path for path in weight_files(origin) if path.suffix != ".safetensors"] + config.tokenizer.others
    if given := config.tokenizer.path:
        files += weight_files(given) if given.is_dir() else [given]
    if marks := config.tokenizer.marks:
        files.append(marks)
    return Stage("tokenizer", work, ("corpus",), config.tokenizer.model_dump(mode="json"), tuple(files))


def work(context: Context, folder: Path, report: Report) -> dict[str, Any]:
    """Write the tokenizer's files, `compare.csv` and `facts.json`."""
    import vocab
    from vocab.tokenizer.load import load_tokenizer

    options, corpus = context.config.tokenizer, context.path("corpus")
    old = load_tokenizer(tokenizer_folder(context.config.source, context.source))
    report(0, 3, {})
    if options.path is not None:
        new = load_tokenizer(options.path)
    else:
        text: Any = [corpus / "train.txt"]
        if options.others:
            text = {context.config.language: text} | {str(path): [path] for path in options.others}
        new = vocab.train_tokenizer(
            text, like=old, progress=lambda done, _, facts: report(done, 3, facts), **options.build_options()
        )
    new.save_pretrained(folder)
    report(2, 3, {})
    table = vocab.compare({"source": old, "target": new}, [corpus / "heldout.txt"])
    table.to_csv(folder / "compare.csv")
    report(3, 3, {})
    facts: dict[str, Any] = {"vocab_size": len(new), "source_vocab_size": len(old)}
    for metric in ("fertility", "share_split", "characters_per_token"):
        if metric in table.columns:
            facts[metric] = {name: float(table[metric].to_dict()[name]) for name in ("source", "target")}
    facts["intervals"] = table.attrs.get("intervals", {})
    built = getattr(new, "facts", {})
    if dropped := built.get("dropped"):
        facts["normaliser_drops"] = dropped
    facts |= {name: built[name] for name in ("curve", "weights", "normal_form", "notices") if built.get(name)}
    write_json(folder / "facts.json", facts)
    return facts
