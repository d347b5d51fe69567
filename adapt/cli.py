"""The `lexigraft` command."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

import lexigraft
from adapt.cli_lists import LISTS
from adapt.cli_tokenizer import tokenizer
from adapt.cli_transplant import transplant
from adapt.evaluate.task import TASKS
from lexigraft import InputError

app = typer.Typer(
    help="Adapt pretrained language models to low-resource languages, and see what each choice was worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(tokenizer, name="tokenizer")
app.add_typer(transplant, name="transplant")
for _each in LISTS:
    app.command()(_each)
console = Console()

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as pretrain.steps=2000.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def _overrides(given: list[str] | None) -> dict[str, Any]:
    from adapt.config import parse_override

    return dict(parse_override(text) for text in given or [])


def _with_task_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each labelled task (`--pos`, `--ner`, ...), without an edit here."""
    signature = inspect.signature(command, eval_str=True)
    fixed = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for task in TASKS:
        if task.files:
            option = typer.Option(help=f"{task.summary}. Folder with train, dev, test files, or `train,dev,test`.")
            kind = Annotated[str | None, option]
            fixed.append(inspect.Parameter(task.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    command.__signature__ = signature.replace(parameters=fixed)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in fixed}
    return command


def _version(show: bool) -> None:
    if show:
        console.print(f"lexigraft {lexigraft.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(overrides: Overrides = None) -> None:
    """Run the main job on the embedded default: Chichewa, 15 minutes on two cores."""
    from adapt.demo import demo as run_demo

    _finish(run_demo(_overrides(overrides), console).folder, demo=True)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A run's YAML, as `lexigraft init` writes it.")],
    overrides: Overrides = None,
    show: Annotated[bool, typer.Option("--show", help="Print every setting and stop.")] = False,
) -> None:
    """Run a configuration; what is done is skipped, what was cut short goes on."""
    from adapt import config, pipeline

    if show:
        typer.echo(config.dump(config.load(file, _overrides(overrides))))
        return
    _finish(pipeline.run(file, _overrides(overrides), console=console).folder)


@app.command()
@_with_task_options
def init(
    language: Annotated[str, typer.Argument(help="ISO 639-3 code, such as hau.")],
    text: Annotated[list[Path], typer.Option(help="Text file, one sentence a line; may be given several times.")],
    model: Annotated[str, typer.Option(help="Folder or hub id of the source model.")],
    heldout: Annotated[Path | None, typer.Option(help="Held-out text.")] = None,
    dictionary: Annotated[Path | None, typer.Option(help="Bilingual dictionary, tab-separated.")] = None,
    output: Annotated[Path | None, typer.Option(help="The YAML to write; <language>.yaml if not given.")] = None,
    force: Annotated[bool, typer.Option(help="Write over a YAML that is there.")] = False,
    overrides: Overrides = None,
    **tasks: str | None,
) -> None:
    """Look at your files, say what is in them, and write a YAML that runs."""
    from adapt.initialise import initialise

    found = initialise(
        language,
        model,
        text,
        {task: given for task, given in tasks.items() if given},
        heldout=heldout,
        dictionary=dictionary,
        overrides=_overrides(overrides),
        output=output,
        force=force,
    )
    for line in found.lines:
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    console.print(f"wrote {found.path}; next: [bold]lexigraft run {found.path}[/]", highlight=False, soft_wrap=True)


@app.command()
def batch(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE... [KEY=VALUE]...", help="YAML files, then settings for all.")
    ],
    on: Annotated[str, typer.Option(help="Where to run: see `adapt/launch`.")] = "local",
) -> None:
    """Run several configurations; one that fails does not stop the rest."""
    from adapt.config import load
    from adapt.launch.launcher import LAUNCHERS

    settings = [text for text in files if "=" in text]
    paths = [Path(text) for text in files if "=" not in text]
    for path in paths:
        load(path, _overrides(settings))  # a typing error in the last file is told before the first one runs
    codes = LAUNCHERS[on].launch(paths, settings)
    for path, code in codes.items():
        mark, told = ("[green]✓[/]", "") if code == 0 else ("[red]✗[/]", f" (exit code {code})")
        console.print(f"{mark} {path}{told}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if any(codes.values()) else 0)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A run's YAML.")],
    settings: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE[,VALUE]...", help="Axes, such as pretrain.tuning=full,lora.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will take and stop.")] = False,
) -> None:
    """Run every combination of some settings, and put all runs into one table."""
    from adapt import sweep as sweeps

    points = sweeps.points_of(file, settings)
    if dry_run:
        sweeps.forecast(points, console)
        return
    failed = sweeps.sweep(points, console)
    folder = sweeps.folder_for(points)
    console.print((folder / "table.md").read_text(encoding="utf-8"), highlight=False, markup=False)
    console.print(f"tables: [bold]{folder}[/]", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@app.command()
def predict(
    folder: RunFolder,
    task: Annotated[str, typer.Argument(help="pos, ner, sentiment …")],
    file: Annotated[Path, typer.Argument(help="Text, one sentence a line.")],
    arm: Annotated[str | None, typer.Option(help="Whose heads to use; the adapted model's if not given.")] = None,
) -> None:
    """Label new text with a run's trained heads; one line of JSON a sentence."""
    import json

    from adapt.predict import predict as label

    for row in label(folder, task, file, arm):
        typer.echo(json.dumps(row, ensure_ascii=False))


@app.command()
def status(folder: RunFolder) -> None:
    """Show how far a run is."""
    from adapt.status import describe

    for line in describe(folder):
        console.print(line, highlight=False, soft_wrap=True)


@app.command()
def resume(folder: RunFolder) -> None:
    """Go on with a run that was stopped or killed."""
    from adapt import pipeline

    _finish(pipeline.run(folder / "run.yaml", folder=folder, console=console).folder)


@app.command()
def branch(
    folder: RunFolder,
    start: Annotated[int, typer.Option("--from", min=1, help="Step of a checkpoint that was kept.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps over which the learning rate falls.")],
    arm: Annotated[str, typer.Option(help="Which of the trained models.")] = "adapted",
) -> None:
    """Make a finished model of a checkpoint of a run by letting its learning rate fall."""
    from adapt.branch import branch as end

    made, facts = end(folder, arm, start, steps, console)
    shown = [f"{key.replace('_', ' ')} {value:.4f}" for key, value in facts.items()
             if key.startswith("heldout_") and value is not None]  # fmt: skip
    console.print(f"wrote {made / 'model'}  {' · '.join(shown)}", highlight=False, soft_wrap=True)


@app.command()
def export(
    folder: RunFolder,
    target: Annotated[Path, typer.Argument(help="Folder to write; must not be there.")],
) -> None:
    """Copy a run's model as a plain transformers model."""
    import shutil

    model = folder / "model"
    if not (model / "config.json").is_file():
        raise InputError("this run has no model yet", file=model, expected="a finished run")
    if target.exists():
        raise InputError("this folder is there already", file=target)
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("done.json"))
    console.print(f"wrote {target}: AutoModel.from_pretrained({str(target)!r})", highlight=False, soft_wrap=True)
    for file in sorted(target.glob("adapter-*.safetensors")):
        console.print(f"{file.name}: plain transformers leaves it out; adapt.tuning.adapters.load_tuned reads it")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 8501,
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open the web workbench."""
    import importlib.util

    if importlib.util.find_spec("streamlit") is None:
        raise InputError("the web workbench needs Streamlit", expected="pip install 'lexigraft[ui]'")
    spec = importlib.util.find_spec("app")
    if spec is None or spec.origin is None:
        raise InputError("the package `app` of Lexigraft is missing")
    command = [sys.executable, "-m", "streamlit", "run", str(Path(spec.origin).with_name("main.py"))]
    # Headless whoever looks: otherwise Streamlit puts offers of its own for developers over the page.
    command += ["--server.port", str(port), "--server.headless", "true", "--server.address", "localhost"]
    command += ["--browser.gatherUsageStats", "false"]
    environment = {**os.environ, "LEXIGRAFT_RUNS": str(runs.absolute())}
    with subprocess.Popen(command, env=environment) as process:
        try:
            if browser:
                _open_when_up(process, port)
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    raise typer.Exit(code)


def _open_when_up(process: subprocess.Popen[bytes], port: int, seconds: float = 60.0) -> None:
    """Open the page in a browser once the server answers; give up where it ends or stays silent."""
    import webbrowser
    from urllib.error import URLError
    from urllib.request import urlopen

    address, until = f"http://localhost:{port}", time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        try:
            with urlopen(f"{address}/_stcore/health", timeout=2):
                webbrowser.open(address)
                return
        except (URLError, OSError):
            time.sleep(0.2)


@app.command()
def doctor() -> None:
    """Say what this machine has, and whether everything imports."""
    from adapt.doctor import examine

    problems = False
    for good, line in examine():
        problems |= not good
        console.print(f"{'[green]✓' if good else '[red]✗'}[/] {line}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if problems else 0)


def _finish(folder: Path, demo: bool = False) -> None:
    from adapt.report import table_text

    if os.environ.get("RANK", "0") != "0":  # one of several that torchrun started: the first one tells
        return
    console.print()
    console.print(table_text(folder))
    console.print(f"\nrun folder: [bold]{folder}[/]  (report: {folder / 'report' / 'report.html'})", soft_wrap=True)
    labelled = [task.name for task in TASKS if any(folder.glob(f"evaluate/*/{task.name}/seed-*/head.json"))]
    text = folder.parent / "demo-data" / "heldout.txt" if demo else "FILE"
    first = f"predict {folder} {'ner' if 'ner' in labelled else labelled[0]} {text}" if labelled else f"status {folder}"
    init = "init hau --text TEXT --pos DIR --ner DIR --sentiment DIR --model DIR_OR_HUB_ID"
    console.print("next:", highlight=False)
    for line in (first, f"ui --runs {folder.parent}", init):
        console.print(f"  lexigraft {line}", highlight=False, soft_wrap=True)


def _terminated(number: int, frame: FrameType | None) -> None:
    from adapt.events import ask_to_stop

    ask_to_stop()
    raise KeyboardInterrupt


def run_app() -> None:
    """Run the command line with errors as people read them."""
    signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # the terminal belongs to our own progress
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app(standalone_mode=True)
    except InputError as error:
        sys.stderr.write(f"lexigraft: {error}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("lexigraft: stopped; the same command goes on from here\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    lexigraft.main()
