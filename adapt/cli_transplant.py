"""`lexigraft transplant ...`: giving a model a new vocabulary from the shell."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from adapt.cli_tokenizer import Output, Texts, new_folder
from lexigraft import InputError

if TYPE_CHECKING:
    from rich.status import Status

    from vocab.transplant import Progress
    from vocab.transplant.graft import Graft

console = Console()
transplant = typer.Typer(help="Give a model a new vocabulary.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="Source model: folder or hub id.")]
Vectors = Annotated[str | None, typer.Option(help="Evidence: counts+characters, fasttext, ... or a file.")]
SourceVectors = Annotated[
    Path | None, typer.Option(help="File of word vectors of the source's language, for methods that compare the two.")
]
Dictionary = Annotated[Path | None, typer.Option(help="Bilingual dictionary, tab-separated.")]
Parallel = Annotated[
    tuple[Path, Path] | None,
    typer.Option(help="Two files, line by line translations: the source's language, then the new one."),
]
Helper = Annotated[str | None, typer.Option(help="Small model with the new tokenizer, for methods that use one.")]
Option = Annotated[
    list[str] | None,
    typer.Option(help="Option of a method, such as ofa.rank=100 or focus.restore_norm=true; several times."),
]
Seed = Annotated[int, typer.Option(help="Seed of everything drawn.")]
Device = Annotated[
    str,
    typer.Option(help="What is computed on: auto (CUDA where it is, else numpy), cuda, or cpu (by torch)."),
]
Score = Annotated[bool, typer.Option(help="Score before any training; it loads the whole model.")]
Heldout = Annotated[Path | None, typer.Option(help="Text to score on; the text given, if there is none.")]


@transplant.command("run")
def run(
    source: Source,
    target: Annotated[str, typer.Argument(help="New tokenizer: folder, file or hub id.")],
    output: Output,
    text: Texts = [],  # noqa: B006 - Typer reads the default, nobody changes it
    method: Annotated[str | None, typer.Option(help="A method, a chain, or auto; our default if not given.")] = None,
    vectors: Vectors = None,
    source_vectors: SourceVectors = None,
    dictionary: Dictionary = None,
    parallel: Parallel = None,
    helper: Helper = None,
    option: Option = None,
    edits: Annotated[Path | None, typer.Option(help="Rows written by hand, YAML: ▁gida: {▁house: 1.0}.")] = None,
    bias: Annotated[str | None, typer.Option(help="Output bias: frequency (our default's) or mixed.")] = None,
    seed: Seed = 0,
    score: Score = True,
    heldout: Heldout = None,
    device: Device = "auto",
) -> None:
    """Give a model a new vocabulary and say how each row came about."""
    import vocab

    new_folder(output)
    with console.status("") as status:
        graft = vocab.transplant(
            _folder(source), target, method=method, vectors=vectors, source_vectors=source_vectors,
            dictionary=dictionary, parallel=parallel, helper=helper, edits=edits, texts=text or None, seed=seed,
            options=_options(option), bias=cast(Any, bias), score=_scored(score, heldout), device=cast(Any, device),
            progress=_shown_on(status),
        )  # fmt: skip
    _wrote(graft, output)


@transplant.command("apply")
def apply(
    mixture: Annotated[Path, typer.Argument(help="Folder that a transplant wrote, or its mixture.safetensors.")],
    source: Annotated[str, typer.Argument(help="Another model with the same source vocabulary: folder or hub id.")],
    output: Output,
    text: Texts = [],  # noqa: B006 - Typer reads the default, nobody changes it
    tokenizer: Annotated[str | None, typer.Option(help="The new tokenizer, if not beside the mixture.")] = None,
    parallel: Parallel = None,
    seed: Seed = 0,
    score: Score = True,
    heldout: Heldout = None,
    device: Device = "auto",
) -> None:
    """Put the rows of an earlier transplant on a fine-tuned variant of the model."""
    from vocab.transplant.reuse import apply_mixture

    new_folder(output)
    with console.status("") as status:
        graft = apply_mixture(
            mixture, _folder(source), tokenizer, texts=text or None, parallel=parallel, seed=seed,
            score=_scored(score, heldout), device=cast(Any, device), progress=_shown_on(status),
        )  # fmt: skip
    _wrote(graft, output)


@transplant.command("factorise")
def factorise(
    model: Annotated[str, typer.Argument(help="Model: folder or hub id.")],
    output: Output,
    rank: Annotated[int | None, typer.Option(help="Width of the new embeddings; none: back to a plain one.")] = None,
) -> None:
    """Write the smaller model of OFA, narrow embeddings and a Linear (`vocab.factorised.load` reads it), or undo it."""
    from vocab import factorised
    from vocab.tokenizer.load import load_tokenizer
    from vocab.transplant.load import load_model

    new_folder(output)
    folder = _folder(model)
    before = factorised.load(folder) if rank is None else load_model(folder)
    sizes = [before.num_parameters()]
    made = factorised.unfold(before) if rank is None else factorised.factorise(before, rank)
    sizes.append(made.num_parameters())
    with _whole(output) as whole:
        made.save_pretrained(whole) if rank is None else factorised.save(made, whole)
        load_tokenizer(folder).save_pretrained(whole)
    console.print(f"{sizes[0]:,} parameters became {sizes[1]:,}", highlight=False)
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)


@transplant.command("explain")
def explain(
    folder: Annotated[Path, typer.Argument(help="Folder that a transplant wrote.")],
    token: Annotated[str, typer.Argument(help="A new token, such as ▁gida.")],
    top: Annotated[int, typer.Option(help="How many old tokens to show.")] = 10,
) -> None:
    """Say which old tokens a new token's row was made of."""
    from vocab.mixture import Mixture
    from vocab.transplant.explain import explain as tell

    console.print(str(tell(Mixture.load(folder), token, top)), highlight=False, markup=False, soft_wrap=True)


@transplant.command("check")
def check(
    model: Annotated[str, typer.Argument(help="Model: folder or hub id.")],
    tokenizer: Annotated[str | None, typer.Option(help="Its tokenizer, if not beside it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a finding.")] = False,
) -> None:
    """Look a model over: specials, ties, bias, padding, and rows that deserve doubt; exit code 1 if there are any."""
    from dataclasses import asdict

    from vocab.transplant.checking import check as look

    found = look(model, tokenizer)
    for finding in found:
        if as_json:
            typer.echo(json.dumps(asdict(finding), ensure_ascii=False))
            continue
        examples = f" ({', '.join(finding.examples[:5])})" if finding.examples else ""
        line = f"{finding.name}: {finding.message}, {finding.count:,}{examples}\n  {finding.advice}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not found and not as_json:
        console.print("nothing found", highlight=False)
    raise typer.Exit(1 if found else 0)


@transplant.command("forecast")
def forecast(
    source: Source,
    target: Annotated[str, typer.Argument(help="New tokenizer: folder, file or hub id.")],
    text: Texts = [],  # noqa: B006 - Typer reads the default, nobody changes it
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method or chain, `default`; several times. All that can run if not given."),
    ] = None,
    vectors: Vectors = None,
    source_vectors: SourceVectors = None,
    dictionary: Dictionary = None,
    parallel: Parallel = None,
    helper: Helper = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many draws of hidden tokens.")] = 3,
    share: Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of the overlap that is hidden.")] = 0.2,
    output: Annotated[Path | None, typer.Option(help="Write the whole table as CSV.")] = None,
    device: Device = "auto",
) -> None:
    """Hide shared tokens, let each method make their rows, and say how near they come to the true ones."""
    from vocab.transplant.forecasting import forecast as ask

    with console.status("") as status:
        table = ask(
            _folder(source), target, text or None, method or None, seeds=range(seeds), share=share, vectors=vectors,
            source_vectors=source_vectors, dictionary=dictionary, parallel=parallel, helper=helper,
            device=cast(Any, device),
            progress=lambda done, total, facts: status.update(f"{facts['method']} ({done + 1} of {total})"),
        )  # fmt: skip
    if output is not None:
        table.to_csv(output)
    for measure in ("mrr", "first", "centred", "cosine"):
        low, high = table.pop(f"{measure}_low"), table.pop(f"{measure}_high")
        table[measure] = [f"{v:.3f} ({a:.3f} to {b:.3f})" for v, a, b in zip(table[measure], low, high, strict=True)]
    console.print(table[["mrr", "first", "centred", "cosine", "seconds"]].to_string(), highlight=False, soft_wrap=True)
    drawn = f"{table['hidden'].iloc[0]} hidden tokens a draw, {seeds} draws; 95 % intervals by bootstrap over tokens"
    console.print(drawn, highlight=False, soft_wrap=True)


def _folder(source: str) -> str:
    """Bring a hub id into a folder, so that the body need not be loaded."""
    if Path(source).exists():
        return source
    from adapt.config import Source as Where
    from adapt.stages.source import find

    return str(find(Where(model=source)))


def _options(given: list[str] | None) -> dict[str, dict[str, Any]]:
    """Read `method.option=value` as typed, values as YAML."""
    import yaml

    from adapt.config import parse_override

    found: dict[str, dict[str, Any]] = {}
    for key, value in map(parse_override, given or []):
        method, dot, name = key.partition(".")
        if not dot:
            raise InputError("an option names no method", found=repr(key), expected="such as focus.restore_norm=true")
        found.setdefault(method, {})[name] = yaml.safe_load(value)
    return found


def _scored(score: bool, heldout: Path | None) -> object:
    if heldout is not None and not score:
        raise InputError("--heldout is text to score on", found="--no-score", expected="one of the two")
    return score if heldout is None else heldout


def _shown_on(status: Status) -> Progress:
    """Show steps on a line that changes; what is for people to read stays."""

    def progress(done: float, total: float, facts: dict[str, Any]) -> None:
        if "notice" in facts:
            console.print(facts["notice"], highlight=False, soft_wrap=True)
        status.update(f"{facts['step']} ({100 * done / total:.0f} %)")

    return progress


@contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """Give a folder to write into, which takes its name when all of it is there: an interruption leaves nothing."""
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        yield partial
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _wrote(graft: Graft, output: Path) -> None:
    with _whole(output) as folder:
        graft.save(folder)
    console.print(graft.markdown, highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)
