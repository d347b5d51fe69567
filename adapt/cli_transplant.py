"""`lexigraft transplant ...`: giving a model a new vocabulary from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adapt.cli_tokenizer import Output, Texts, new_folder

console = Console()
transplant = typer.Typer(help="Give a model a new vocabulary.", no_args_is_help=True)


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

    new_folder(output)
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
