"""`lexigraft tokenizer ...`: building, mending and comparing tokenizers from the shell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console

from adapt.files import write_json
from lexigraft import InputError

console = Console()
tokenizer = typer.Typer(help="Build and compare tokenizers.", no_args_is_help=True)

Texts = Annotated[
    list[Path], typer.Option("--text", help="Text file, one sentence a line; may be given several times.")
]
Output = Annotated[Path, typer.Option("--output", help="Folder to write; must not be there.")]


def new_folder(path: Path) -> Path:
    """Refuse a folder that is there; nothing is ever written over."""
    if path.exists():
        raise InputError("this folder is there already", file=path, expected="another --output")
    return path


@tokenizer.command("train")
def train(
    text: Texts,
    output: Output,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Further settings, such as split_digits=true.")
    ] = None,
    like: Annotated[str | None, typer.Option(help="Source model's folder or hub id: the result drops into it.")] = None,
    algorithm: Annotated[str, typer.Option(help="See `lexigraft tokenizer algorithms`.")] = "unigram",
    vocab_size: Annotated[str, typer.Option(help="Pieces, specials included, or auto.")] = "16000",
    others: Annotated[
        list[Path] | None, typer.Option(help="Text of another language that shares the vocabulary, one file each.")
    ] = None,
) -> None:
    """Learn a tokenizer from text: plain, gz, zst or parquet files."""
    import vocab
    from adapt.config import parse_override

    new_folder(output)
    more = {key: yaml.safe_load(value) for key, value in map(parse_override, settings or [])}
    texts = {"text": text} | {str(path): [path] for path in others} if others else text
    made = vocab.train_tokenizer(texts, like=like, algorithm=algorithm, vocab_size=vocab_size, **more)
    made.save_pretrained(output)
    write_json(output / "facts.json", made.facts)
    for notice in made.facts["notices"]:
        console.print(f"notice: {notice}", highlight=False, markup=False, soft_wrap=True)
    for point in made.facts.get("curve", ()):
        told = f"{point['size']:>8,} pieces: {point['fertility']:.3f} a word, {point['bits']:.3f} bits a character"
        console.print(told, highlight=False)
    console.print(f"wrote {output}: {len(made):,} pieces", highlight=False, soft_wrap=True)


@tokenizer.command("algorithms")
def algorithms() -> None:
    """List the algorithms and the settings of `train`."""
    from vocab.tokenizer.algorithm import ALGORITHMS
    from vocab.tokenizer.options import BuildOptions

    for spec in ALGORITHMS:
        told = f"{spec.name}: {spec.summary} {spec.paper}.\n  When: {spec.when}\n  Not: {spec.when_not}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    console.print("\nsettings (KEY=VALUE, values as in YAML):")
    for name, field in BuildOptions.model_fields.items():
        about = " ".join((field.description or "").split())
        console.print(f"{name}: {about}", highlight=False, markup=False, soft_wrap=True)


@tokenizer.command("compare")
def compare(
    text: Texts,
    tokenizers: Annotated[list[str], typer.Argument(help="Folders, files or hub ids; NAME=WHERE gives one a name.")],
    output: Annotated[Path | None, typer.Option(help="Write the whole table as CSV.")] = None,
) -> None:
    """Compare tokenizers on the same text."""
    import vocab

    named = {}
    for entry in tokenizers:
        name, _, where = entry.partition("=") if "=" in entry else (Path(entry).name, "", entry)
        named[name] = where
    if len(named) != len(tokenizers):
        raise InputError("two tokenizers have the same name", found=", ".join(tokenizers), expected="NAME=WHERE")
    table = vocab.compare(named, text)
    if output is not None:
        table.to_csv(output)
    shown = table[[column for column in table.columns if not column.endswith(("_low", "_high"))]].T
    console.print(shown.to_string(float_format=lambda value: f"{value:.3f}"), highlight=False)


@tokenizer.command("extend")
def extend(
    source: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    text: Texts,
    output: Output,
    pieces: Annotated[int, typer.Option(help="How many pieces to add.")] = 4_000,
    others: Annotated[
        list[Path] | None, typer.Option(help="Text in the source's languages, to count what is cut differently.")
    ] = None,
) -> None:
    """Add pieces of a new language to a tokenizer; what it had keeps its ids."""
    from vocab.tokenizer.extend import extend as add

    new_folder(output)
    made = add(source, text, pieces, others=others)
    made.tokenizer.save_pretrained(output)
    _tell(made.facts, output)


@tokenizer.command("trim")
def trim(
    source: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    text: Texts,
    output: Output,
) -> None:
    """Drop the pieces that no given text uses; these texts are cut as before."""
    from vocab.tokenizer.trim import trim as cut

    new_folder(output)
    made = cut(source, text)
    made.tokenizer.save_pretrained(output)
    _tell(made.facts, output)


@tokenizer.command("check")
def check(
    source: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    text: Texts = [],  # noqa: B006 - Typer reads the default, nobody changes it
    repair: Annotated[Path | None, typer.Option(help="Write a mended tokenizer into this folder.")] = None,
) -> None:
    """Look a tokenizer over, say what is wrong, and mend what is safe to mend."""
    from vocab.tokenizer.check import check as look
    from vocab.tokenizer.check import repair as mend

    found = look(source, text or None)
    for finding in found:
        examples = f" ({', '.join(finding.examples[:5])})" if finding.examples else ""
        mendable = "; --repair mends it" if finding.mendable else ""
        line = f"{finding.name}: {finding.message}, {finding.count:,}{examples}{mendable}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not found:
        console.print("nothing found", highlight=False)
    if repair is not None:
        mend(source).save_pretrained(new_folder(repair))
        console.print(f"wrote {repair}", highlight=False, soft_wrap=True)


def _tell(facts: Mapping[str, object], output: Path) -> None:
    for name, value in facts.items():
        console.print(f"{name.replace('_', ' ')}: {value}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)
