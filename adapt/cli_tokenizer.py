"""`lexigraft tokenizer ...`: building, mending and comparing tokenizers from the shell."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

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
Tokenizers = Annotated[list[str], typer.Argument(help="Folders, files or hub ids; NAME=WHERE gives one a name.")]
_WHOLE = "whole text"
Output = Annotated[Path, typer.Option("--output", help="Folder to write; must not be there.")]


def new_folder(path: Path) -> Path:
    """Refuse a folder that is there, since nothing is ever written over, or where none can be made."""
    if path.exists():
        raise InputError("this folder is there already", file=path, expected="another --output")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError("no folder can be made here", file=above, expected="--output where you may write")
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
    marks: Annotated[Path | None, typer.Option(help="A clinic's table: its words and morphemes become pieces.")] = None,
) -> None:
    """Learn a tokenizer from text: plain, gz, zst or parquet files."""
    import vocab
    from adapt.config import parse_override
    from vocab.tokenizer.options import BuildOptions

    new_folder(output)
    more = {key: yaml.safe_load(value) for key, value in map(parse_override, settings or [])}
    own = ("algorithm", "vocab_size", "marks")
    if wrong := [key for key in more if key in own or key not in BuildOptions.model_fields]:
        known = ", ".join(name for name in BuildOptions.model_fields if name not in own)
        raise InputError("this is no setting", found=wrong[0], expected=f"{known}; or an option such as --vocab-size")
    if marks is not None:
        more["marks"] = marks
    main = ", ".join(map(str, text))
    texts = {main: text} | _unlike([main], ((str(path), [path]) for path in others)) if others else text
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
    tokenizers: Tokenizers,
    parallel: Annotated[
        list[str] | None,
        typer.Option(help="LANGUAGE=FILE,FILE: parallel text, the language first; several give parity and Gini."),
    ] = None,
    words: Annotated[Path | None, typer.Option(help="Words as people cut them: CoNLL, or text cut by spaces.")] = None,
    morphemes: Annotated[Path | None, typer.Option(help="Lines of word<tab>mor phemes.")] = None,
    part: Annotated[
        list[str] | None, typer.Option("--slice", help="NAME=FILE: a part of the text (a domain) compared by itself.")
    ] = None,
    spellings: Annotated[bool, typer.Option(help="Compare lines with and without their diacritics.")] = False,
    code_switched: Annotated[
        Path | None, typer.Option(help="Text in another language: compare lines that mix it in, and others.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Name of the tokenizer that others are held against.")] = None,
    documents: Annotated[
        str, typer.Option(help="Resampled as one: line, blank (between blank lines) or file.")
    ] = "line",
    context: Annotated[int, typer.Option(help="Tokens of the context that words are fitted into.")] = 512,
    also: Annotated[list[str] | None, typer.Option(help="A metric that is computed only when asked for.")] = None,
    train: Annotated[Path | None, typer.Option(help="Text to train tiny models on, for bits_per_byte.")] = None,
    updates: Annotated[int, typer.Option(min=1, help="Steps of that training.")] = 250,
    form: Annotated[
        str | None, typer.Option("--format", help="text, markdown, csv or latex; else as the ending of --output says.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the table here instead of showing it.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures.")] = None,
) -> None:
    """Compare tokenizers on the same text, with intervals."""
    from vocab.compare import slices, tabulate
    from vocab.compare.pictures import draw
    from vocab.compare.table import FORMS, render
    from vocab.fit import FitOptions

    if form is None:
        form = {".csv": "csv", ".md": "markdown", ".tex": "latex"}.get(output.suffix if output else "", "text")
    if form not in FORMS:
        raise InputError("no table is written so", found=repr(form), expected=", ".join(FORMS))
    named = _named(tokenizers)
    beside = {
        "parallel": {language: files.split(",") for language, files in map(_pair, parallel or [])} or None,
        "words": None if words is None else _gold(words),
        "morphemes": morphemes,
    }
    given = {
        "base": base,
        "documents": documents,
        "context": context,
        "given": {"train": train, "fit": FitOptions(updates=updates), "progress": _bar if also else None},
    }
    parts: dict[str, Any] = {_WHOLE: text} | _unlike([_WHOLE], map(_pair, part or []))
    if spellings:
        parts |= _unlike(parts, slices.spellings(text).items())
    if code_switched is not None:
        parts |= _unlike(parts, slices.code_switched(text, code_switched).items())
    filled, empty = slices.without_empty(parts) if len(parts) > 1 else (parts, [])
    tables = {}
    for name, lines in filled.items():
        measured = measure(named, lines, **given, **(beside if name == _WHOLE else {}))
        tables[name] = tabulate(measured, also=also or ())
        if pictures is not None:
            where, title = (pictures, "") if name == _WHOLE else (pictures / name, name)
            for file in draw(measured, where, title=title).values():
                console.print(f"wrote {file}", highlight=False, soft_wrap=True)
    table = tables[_WHOLE] if len(parts) == 1 else slices.together(tables, empty)
    if output is not None:
        output.write_text(render(table, form), encoding="utf-8")
    shown = render(table, form if output is None else "text")
    console.print(shown, highlight=False, markup=False, soft_wrap=True)
    for name in empty:
        console.print(f"no line is {name}", highlight=False, markup=False, soft_wrap=True)


@tokenizer.command("changes")
def changes(
    text: Texts,
    before: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    after: Annotated[str, typer.Argument(help="The one to hold against it.")],
    count: Annotated[int, typer.Option(help="How many words of each kind to list.")] = 30,
    output: Annotated[Path | None, typer.Option(help="Write the words as CSV.")] = None,
) -> None:
    """Say which words a second tokenizer cuts better, and which worse, by how often they occur."""
    from vocab.compare.words import fixed_and_broken

    measured = measure({"before": before, "after": after}, text)
    found = fixed_and_broken(measured["before"], measured["after"], count)
    for name, listed in (("fixed", found.fixed), ("broken", found.broken)):
        different, times = found.counts[name]
        tokens = found.saved if name == "fixed" else found.lost
        console.print(f"{name}: {different:,} words, {times:,} times in the text, {tokens:,} tokens", highlight=False)
        for one in listed if output is None else ():
            line = f"  {one.saved:+,}  {one.word}  {' '.join(one.before)} → {' '.join(one.after)}  ({one.context})"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if output is not None:
        found.frame.to_csv(output, index=False)


@tokenizer.command("clinic")
def clinic(
    source: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    text: Texts,
    output: Annotated[Path, typer.Option("--output", help="Table to write; must not be there.")],
    count: Annotated[int, typer.Option(help="How many words.")] = 200,
    seen: Annotated[
        list[Path] | None, typer.Option(help="Table that was marked before: its words are left out.")
    ] = None,
) -> None:
    """Write the frequent words that are cut worst into a table, for someone who speaks the language to mark."""
    from vocab.compare import words
    from vocab.compare.marks import HOW, read_marks, write_marks

    known = [word for file in seen or [] for word in read_marks(file).seen]
    cases = words.clinic(measure({"": source}, text)[""], count, skip=known)
    write_marks(output, cases)
    console.print(f"wrote {output}: {len(cases)} words. {HOW}.", highlight=False, soft_wrap=True)
    console.print(f"Then: lexigraft tokenizer train (or extend) ... --marks {output}", highlight=False, soft_wrap=True)


@tokenizer.command("extend")
def extend(
    source: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    text: Texts,
    output: Output,
    pieces: Annotated[int, typer.Option(help="How many pieces to add.")] = 4_000,
    others: Annotated[
        list[Path] | None, typer.Option(help="Text in the source's languages, to count what is cut differently.")
    ] = None,
    marks: Annotated[Path | None, typer.Option(help="A clinic's table: its words and morphemes become pieces.")] = None,
) -> None:
    """Add pieces of a new language to a tokenizer; what it had keeps its ids."""
    from vocab.compare.marks import Marks, read_marks
    from vocab.tokenizer.extend import extend as add

    new_folder(output)
    said = Marks([]) if marks is None else read_marks(marks)
    made = add(source, text, pieces, others=others, words=said.words, morphemes=said.morphemes)
    for notice in said.disregarded(made.tokenizer):
        console.print(f"notice: {notice}", highlight=False, markup=False, soft_wrap=True)
    made.tokenizer.save_pretrained(output)
    _tell(made.facts, output)


@tokenizer.command("trim")
def trim(
    source: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    text: Texts,
    output: Output,
    heldout: Annotated[
        list[Path] | None, typer.Option(help="Other text, to see how much of it is cut as before.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model: it is cut too, and written beside the tokenizer.")
    ] = None,
) -> None:
    """Drop the pieces that no given text uses; these texts are cut as before."""
    from vocab.tokenizer.trim import trim as cut

    new_folder(output)
    made = cut(source, text, heldout=heldout, model=model)
    if model is not None:
        made.cut(str(model)).save_pretrained(output)
    made.tokenizer.save_pretrained(output)
    _tell(made.facts, output)


@tokenizer.command("convert")
def convert(
    source: Annotated[str, typer.Argument(help="Tokenizer: folder, file or hub id.")],
    output: Annotated[Path, typer.Argument(help="File to write: .json, .model (SentencePiece) or .tiktoken.")],
    text: Texts = [],  # noqa: B006 - Typer reads the default, nobody changes it
) -> None:
    """Write a tokenizer in another form, and say what is lost."""
    from vocab.tokenizer.convert import convert as write

    made = write(source, output, texts=text or None)
    for sentence in made.lost:
        console.print(f"lost: {sentence}", highlight=False, markup=False, soft_wrap=True)
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


def measure(*args: Any, **more: Any) -> Any:
    """Measure tokenizers; imported when it is needed."""
    from vocab.compare import measure as work

    return work(*args, **more)


def _unlike(known: Iterable[str], more: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Read further parts of the text, none by the name of another."""
    found: dict[str, Any] = {}
    for name, lines in more:
        if name in found or name in known:
            raise InputError("two parts of the text have the same name", found=name, expected="each once")
        found[name] = lines
    return found


def _named(tokenizers: list[str]) -> dict[str, str]:
    """Read NAME=WHERE, or take the last part of a path as its name."""
    named = {}
    for entry in tokenizers:
        name, where = _pair(entry) if "=" in entry else (Path(entry).name, entry)
        named[name] = where
    if len(named) != len(tokenizers):
        raise InputError("two tokenizers have the same name", found=", ".join(tokenizers), expected="NAME=WHERE")
    return named


def _pair(entry: str) -> tuple[str, str]:
    name, sign, value = entry.partition("=")
    if not (name and sign and value):
        raise InputError("this says no name", found=repr(entry), expected="NAME=VALUE")
    return name, value


def _gold(file: Path) -> list[list[str]]:
    """Read a treebank's words, or text that is cut by spaces."""
    from vocab.tokenizer.texts import Lines

    lines = list(Lines(file, blank=True))
    if file.suffix == ".conllu" or not all(map(str.strip, lines[:1000])):
        from corpora.tasks import read_tagged

        return [list(sentence.tokens) for sentence in read_tagged(file)]
    return [line.split() for line in lines]


def _bar(done: float, total: float, facts: Mapping[str, object]) -> None:
    """Say how long it will take, and every tenth of the way."""
    if "seconds_expected" in facts:
        what = f"{facts['metric']}, all tokenizers" if "metric" in facts else facts["tokenizer"]
        console.print(f"{what}: about {facts['seconds_expected']} seconds", highlight=False)
    elif done % max(1, total // 10) == 0:
        console.print(f"  {done:g} of {total:g} updates", highlight=False)


def _tell(facts: Mapping[str, object], output: Path) -> None:
    for name, value in facts.items():
        console.print(f"{name.replace('_', ' ')}: {value}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)
