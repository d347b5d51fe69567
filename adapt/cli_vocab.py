"""`lexigraft tokenizer ...` and `lexigraft transplant ...`: the Python API of `vocab` from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lexigraft import InputError

console = Console()
tokenizer = typer.Typer(help="Build and compare tokenizers.", no_args_is_help=True)
transplant = typer.Typer(help="Give a model a new vocabulary.", no_args_is_help=True)

Texts = Annotated[
    list[Path], typer.Option("--text", help="Text file, one sentence a line; may be given several times.")
]
Output = Annotated[Path, typer.Option("--output", help="Folder to write; must not be there.")]


def _new_folder(path: Path) -> Path:
    if path.exists():
        raise InputError("this folder is there already", file=path, expected="another --output")
    return path


@tokenizer.command("train")
def train(
    text: Texts,
    output: Output,
    like: Annotated[str | None, typer.Option(help="Source model's folder or hub id: the result drops into it.")] = None,
    algorithm: Annotated[str, typer.Option(help="unigram, bpe, byte-bpe or wordpiece.")] = "unigram",
    vocab_size: Annotated[int, typer.Option(help="Pieces, specials included.")] = 16_000,
) -> None:
    """Learn a tokenizer from text."""
    import vocab

    _new_folder(output)
    made = vocab.train_tokenizer(text, like=like, algorithm=algorithm, vocab_size=vocab_size)
    made.save_pretrained(output)
    console.print(f"wrote {output}: {len(made):,} pieces", highlight=False, soft_wrap=True)


@tokenizer.command("compare")
def compare(
    text: Texts,
    tokenizers: Annotated[list[str], typer.Argument(help="Folders, files or hub ids; NAME=WHERE gives one a name.")],
    output: Annotated[Path | None, typer.Option(help="Write the whole table as CSV.")] = None,
) -> None:
    """Compare tokenizers on the same text."""
    import vocab

    named = dict(entry.split("=", 1) if "=" in entry else (Path(entry).name, entry) for entry in tokenizers)
    if len(named) != len(tokenizers):
        raise InputError("two tokenizers have the same name", found=", ".join(tokenizers), expected="NAME=WHERE")
    table = vocab.compare(named, text)
    if output is not None:
        table.to_csv(output)
    shown = table[[column for column in table.columns if not column.endswith(("_low", "_high"))]].T
    console.print(shown.to_string(float_format=lambda value: f"{value:.3f}"), highlight=False)


@transplant.command("run")
def run(
    source: Annotated[str, typer.Argument(help="Source model: folder or hub id.")],
    target: Annotated[str, typer.Argument(help="New tokenizer: folder, file or hub id.")],
    output: Output,
    text: Texts = [],  # noqa: B006 - Typer reads the default, nobody changes it
    method: Annotated[str | None, typer.Option(help="A method or a chain; our default chain if not given.")] = None,
    vectors: Annotated[str | None, typer.Option(help="Evidence: counts+characters, fasttext, ... or a file.")] = None,
    dictionary: Annotated[Path | None, typer.Option(help="Bilingual dictionary, tab-separated.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn.")] = 0,
) -> None:
    """Give a model a new vocabulary and say how each row came about."""
    import vocab

    _new_folder(output)
    graft = vocab.transplant(
        source, target, method=method, vectors=vectors, dictionary=dictionary, texts=text or None, seed=seed
    )
    graft.save(output)
    console.print(graft.markdown, highlight=False)
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)


@transplant.command("explain")
def explain(
    folder: Annotated[Path, typer.Argument(help="Folder that a transplant wrote.")],
    token: Annotated[str, typer.Argument(help="A new token, such as ▁gida.")],
    top: Annotated[int, typer.Option(help="How many old tokens to show.")] = 10,
) -> None:
    """Say which old tokens a new token's row was made of."""
    from vocab.mixture import Mixture

    for name, weight in Mixture.load(folder).explain(token, top):
        console.print(f"{weight:8.4f}  {name}", highlight=False, markup=False)
