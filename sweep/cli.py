"""The command line: verbs only. Knobs live in the spec.

Exit codes: 0 done, 1 some trials failed, 2 the input is wrong, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from sweep.formats import Format, listing
from sweep.layout import DEFAULT_ROOT, Root
from trainers.errors import KDError

if TYPE_CHECKING:
    from search_spaces.schema import Spec

app = typer.Typer(
    name="sweep",
    help="Sweep teacher → student pairs, distillation methods and loss weights, from a spec to a table.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

teachers = typer.Typer(help="List, import and train teachers.", no_args_is_help=True)
app.add_typer(teachers, name="teachers")

RootOption = Annotated[
    Path, typer.Option("--root", envvar="SWEEP_ROOT", help="Everything that is written lies below this folder.")
]
UriOption = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow server; by default MLFLOW_TRACKING_URI, else a database below --root."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Let Ray talk.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print.")]


def _complete_spec(incomplete: str) -> list[str]:
    folder = Path(__file__).parent.parent / "search_spaces"
    return sorted(path.stem for path in folder.glob(f"{incomplete}*.yaml"))


def _complete_sweep(incomplete: str) -> list[str]:
    names = Root(Path(os.environ.get("SWEEP_ROOT", DEFAULT_ROOT))).names()
    return [name for name in names if name.startswith(incomplete)]


SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="A YAML file, or a shipped spec's name.", autocompletion=_complete_spec)
]
NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A sweep; by default the latest.", autocompletion=_complete_sweep)
]


SmokeOption = Annotated[
    bool, typer.Option("--smoke", help="Shrink the spec to about a minute on a CPU, as a sweep NAME-smoke of its own.")
]


@app.command()
def run(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    tracking_uri: UriOption = None,
    smoke: SmokeOption = False,
    address: Annotated[
        str | None,
        typer.Option("--address", help="A running Ray cluster (auto, or host:port); by default a Ray of its own."),
    ] = None,
    verbose: VerboseOption = False,
) -> None:
    """Run a sweep, or go on with it: only what is missing is run."""
    from search_spaces.loader import load_spec
    from sweep import display, tracking
    from sweep.run import run_sweep

    place = Root(root)
    uri = tracking.tracking_uri(place, tracking_uri)
    loaded = _shrunk(load_spec(spec), place) if smoke else load_spec(spec)
    console = Console()
    try:
        code = run_sweep(loaded, place, uri, display.for_console(console), verbose, address=address)
    except KeyboardInterrupt:
        console.print("stopped; nothing is lost. The same command goes on from here")
        raise typer.Exit(130) from None
    _print_leaderboard(console, place, loaded.name)
    paths = place.sweep(loaded.name)
    if paths.figure.exists():
        console.print(f"figure       {paths.figure}", soft_wrap=True, highlight=False)
    console.print(f"leaderboard  {paths.leaderboard}", soft_wrap=True, highlight=False)
    console.print(f"browse       {_browse(place, uri)}", soft_wrap=True, highlight=False)
    raise typer.Exit(code)


@app.command()
def plan(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    smoke: SmokeOption = False,
    how: FormatOption = Format.TABLE,
) -> None:
    """Show what a spec would run, and what of it is done."""
    from search_spaces.loader import load_spec
    from sweep.preview import preview

    place = Root(root)
    loaded = _shrunk(load_spec(spec), place) if smoke else load_spec(spec)
    typer.echo(preview(loaded, place, how), nl=False)


def _shrunk(spec: Spec, root: Root) -> Spec:
    """The spec as `--smoke` runs it."""
    from sweep.smoke import shrunk

    root.offer_cache()
    return shrunk(spec)


@app.command()
def status(name: NameArgument = None, root: RootOption = DEFAULT_ROOT, how: FormatOption = Format.TABLE) -> None:
    """Show how far a sweep is: every trial with its state, and why it failed."""
    from sweep.status import summary, trial_rows

    place = Root(root)
    chosen = place.choose(name)
    if how is Format.TABLE:
        typer.echo(summary(place.sweep(chosen)), nl=False)
    typer.echo(listing(trial_rows(place.sweep(chosen)), how), nl=False)


@app.command()
def studies(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", help="Also write them as Optuna studies: a journal file's path, or a database's URL."
        ),
    ] = None,
    how: FormatOption = Format.TABLE,
) -> None:
    """Show the searches of a sweep; with --storage, mirror them for optuna-dashboard."""
    from sweep import mirror
    from sweep.tracking import without_password

    place = Root(root)
    paths = place.sweep(place.choose(name))
    typer.echo(listing(mirror.rows(paths), how), nl=False)
    if storage is not None:
        new = mirror.mirror(paths, storage)
        typer.echo(f"{new} new trials in {without_password(storage)}", err=True)


@app.command()
def leaderboard(name: NameArgument = None, root: RootOption = DEFAULT_ROOT, how: FormatOption = Format.TABLE) -> None:
    """Print the table of a sweep."""
    place = Root(root)
    chosen = place.choose(name)
    if how is Format.TABLE:
        _print_leaderboard(Console(), place, chosen)
        return
    from sweep import leaderboard as boards
    from sweep.ledger import Ledger

    with closing(Ledger(place.sweep(chosen).ledger)) as ledger:
        typer.echo(boards.render(boards.leaderboard(ledger), how), nl=False)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, models, datasets, recipes, specs or sweeps.")],
    root: RootOption = DEFAULT_ROOT,
    how: FormatOption = Format.TABLE,
) -> None:
    """List what a spec can name, and the sweeps that have run."""
    from sweep.catalogue import rows

    typer.echo(listing(rows(what, Root(root)), how), nl=False)


@app.command()
def sync(name: NameArgument = None, root: RootOption = DEFAULT_ROOT, tracking_uri: UriOption = None) -> None:
    """Deliver to MLflow what it has not been told yet."""
    from sweep import lock, tracking

    place = Root(root)
    chosen = place.choose(name)
    uri = tracking.tracking_uri(place, tracking_uri)
    with lock.exclusive(place.sweep(chosen).lock, f"sweep '{chosen}' (which delivers its own events)"):
        count = tracking.sync(place, chosen, uri)
    typer.echo(f"{count} events of '{chosen}' delivered to {tracking.without_password(uri)}")


@app.command()
def ui(
    root: RootOption = DEFAULT_ROOT,
    tracking_uri: UriOption = None,
    port: Annotated[int, typer.Option(help="On this machine only (127.0.0.1).")] = 5000,
) -> None:
    """Open the MLflow UI on the sweeps below the root."""
    from sweep.ui import serve

    raise typer.Exit(serve(Root(root), tracking_uri, port))


@teachers.command("list")
def teachers_list(root: RootOption = DEFAULT_ROOT, how: FormatOption = Format.TABLE) -> None:
    """List the stored teachers."""
    from sweep.teachers import rows

    found = rows(Root(root))
    if not found:
        typer.echo(f"no teacher is stored below {root} yet", err=True)
    typer.echo(listing(found, how) if found or how is not Format.TABLE else "", nl=False)


@teachers.command("import")
def teachers_import(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A weight file, or a folder with some in it.")],
    dataset: Annotated[
        str, typer.Option("--dataset", help="What they were trained on: 'digits', or 'parquet: {path: data}'.")
    ],
    architecture: Annotated[
        str | None, typer.Option("--architecture", help="A model of `sweep list models`; by default it is recognised.")
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    how: FormatOption = Format.TABLE,
) -> None:
    """Store published checkpoints as teachers, with their accuracy as it is measured here."""
    from sweep.teachers import import_all

    found, good = import_all(path, dataset, architecture, Root(root), lambda line: typer.echo(line, err=True))
    typer.echo(listing(found, how), nl=False)
    raise typer.Exit(0 if good else 1)


@teachers.command("train")
def teachers_train(
    spec: SpecArgument, root: RootOption = DEFAULT_ROOT, tracking_uri: UriOption = None, verbose: VerboseOption = False
) -> None:
    """Train the teachers of a spec, and nothing else of it; those that are stored already stay as they are."""
    from sweep import display, tracking
    from sweep.teachers import train

    place = Root(root)
    uri = tracking.tracking_uri(place, tracking_uri)
    console = Console()
    try:
        code, found = train(spec, place, uri, display.for_console(console), verbose)
    except KeyboardInterrupt:
        console.print("stopped; nothing is lost. The same command goes on from here")
        raise typer.Exit(130) from None
    typer.echo(listing(found, Format.TABLE), nl=False)
    raise typer.Exit(code)


def _print_leaderboard(console: Console, root: Root, name: str) -> None:
    from sweep import leaderboard as boards
    from sweep.ledger import Ledger

    with closing(Ledger(root.sweep(name).ledger)) as ledger:
        console.print(boards.as_rich(boards.leaderboard(ledger)))


def _browse(root: Root, uri: str) -> str:
    """How to see the runs: a server's address, or the command that serves the database."""
    from sweep import tracking

    return tracking.without_password(uri) if uri.startswith("http") else tracking.command("ui", root, uri)


def main(arguments: list[str] | None = None) -> Any:
    """The console script: errors meant for the user become one message on standard error, without a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app(args=arguments, prog_name="sweep")
    except KDError as error:
        print(f"sweep: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
