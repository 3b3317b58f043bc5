"""The command line: verbs only. Knobs live in the spec.

Exit codes: 0 done; 1 some trials failed, the budget is used up or the cluster was lost; 2 the input is wrong, or the
machine does not let the command go on; 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from sweep import remote
from sweep.formats import Format, TableFormat, listing
from sweep.layout import DEFAULT_ROOT, Root
from sweep.options import (
    ClusterOption,
    FormatOption,
    NameArgument,
    RootOption,
    SmokeOption,
    SpecArgument,
    StorageOption,
    TableFormatOption,
    UriOption,
    VerboseOption,
)
from trainers.errors import InputError, KDError

if TYPE_CHECKING:
    from search_spaces.schema import Spec
    from sweep.leaderboard import Leaderboard

app = typer.Typer(
    name="sweep",
    help="Sweep teacher → student pairs, distillation methods and loss weights, from a spec to a table.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

teachers = typer.Typer(help="List, import and train teachers.", no_args_is_help=True)
app.add_typer(teachers, name="teachers")
for verb in (remote.submit, remote.logs, remote.cancel):
    app.command()(verb)


@app.command()
def run(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
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

    place = Root.at(root, storage)
    loaded = _shrunk(load_spec(spec), place) if smoke else load_spec(spec)
    _run(loaded, place, tracking_uri, address, verbose)


@app.command(hidden=True)
def submitted(root: RootOption = DEFAULT_ROOT, storage: StorageOption = None) -> None:
    """Run what a job was submitted with; the cluster's head calls this."""
    from sweep.cluster import carried

    _run(carried(), Root.at(root, storage), None, os.environ.get("RAY_ADDRESS", "auto"), verbose=False)


def _run(loaded: Spec, place: Root, tracking_uri: str | None, address: str | None, verbose: bool) -> NoReturn:
    """Run a sweep and show what came of it."""
    from sweep import display, tracking
    from sweep.run import run_sweep
    from sweep.status import troubles

    uri = tracking.tracking_uri(place, tracking_uri)
    console = Console()
    try:
        code = run_sweep(loaded, place, uri, display.for_console(console), verbose, address=address)
    except KeyboardInterrupt:
        console.print(f"stopped; {display.nothing_lost()}")
        raise typer.Exit(130) from None
    _print_leaderboard(console, place, loaded.name)
    paths = place.sweep(loaded.name)
    for line in troubles(paths):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if paths.figure.exists():
        console.print(f"figure       {paths.figure}", soft_wrap=True, highlight=False)
    console.print(f"leaderboard  {paths.leaderboard}", soft_wrap=True, highlight=False)
    if paths.report.exists():
        console.print(f"report       {paths.report}", soft_wrap=True, highlight=False)
    console.print(f"browse       {_browse(place, uri)}", soft_wrap=True, highlight=False)
    raise typer.Exit(code)


@app.command()
def plan(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    smoke: SmokeOption = False,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="First measure how many trials side by side this machine trains fastest."),
    ] = False,
    how: FormatOption = Format.TABLE,
) -> None:
    """Show what a spec would run, and what of it is done."""
    from search_spaces.loader import load_spec
    from sweep.preview import calibrated, preview

    place = Root.at(root, storage)
    loaded = _shrunk(load_spec(spec), place) if smoke else load_spec(spec)
    if calibrate:
        said = calibrated(loaded, place, how, lambda what: typer.echo(f"measuring {what}", err=True))
        typer.echo(said, nl=False)
        if how is not Format.TABLE:
            return
    typer.echo(preview(loaded, place, how), nl=False)


def _shrunk(spec: Spec, root: Root) -> Spec:
    """The spec as `--smoke` runs it."""
    from sweep.smoke import shrunk

    root.offer_cache()
    return shrunk(spec)


@app.command()
def status(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    address: ClusterOption = None,
    how: FormatOption = Format.TABLE,
) -> None:
    """Show how far a sweep is: every trial with its state, and why it failed; or (--address) how a submitted one is."""
    if address:
        remote.status(name, address, how)
        return
    from sweep.status import summary, trial_rows

    place = Root.at(root, storage)
    chosen = _chosen(name, place)
    if how is Format.TABLE:
        typer.echo(summary(place.sweep(chosen)), nl=False)
    typer.echo(listing(trial_rows(place.sweep(chosen)), how), nl=False)


@app.command()
def studies(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    shared: Annotated[str | None, typer.Option("--shared", envvar="SWEEP_STORAGE", hidden=True)] = None,
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

    place = Root.at(root, shared)
    paths = place.sweep(_chosen(name, place))
    typer.echo(listing(mirror.rows(paths), how), nl=False)
    if storage is not None:
        new = mirror.mirror(paths, storage)
        typer.echo(f"{new} new trials in {without_password(storage)}", err=True)


@app.command()
def leaderboard(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    how: TableFormatOption = TableFormat.TABLE,
    published: Annotated[
        bool, typer.Option("--published", help="Set the literature's numbers, and the gap to them, beside ours.")
    ] = False,
    from_mlflow: Annotated[
        bool,
        typer.Option("--from-mlflow", help="Read the results of a sweep that ran elsewhere off its MLflow server."),
    ] = False,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", help="That server; by default MLFLOW_TRACKING_URI.")
    ] = None,
) -> None:
    """Print the table of a sweep."""
    from sweep import leaderboard as boards

    place, remote = Root.at(root, storage), from_mlflow or tracking_uri is not None
    board = _board(name if remote else _chosen(name, place), place, remote, tracking_uri)
    board = boards.with_published(board) if published else board
    if how is TableFormat.TABLE:
        Console().print(boards.as_rich(board))
    elif how is TableFormat.PARQUET:
        if sys.stdout.isatty():
            raise InputError(
                "Parquet is no text for a terminal; send it to a file: --format parquet > leaderboard.parquet"
            )
        typer.echo(boards.to_parquet(board), nl=False)
    else:
        typer.echo(boards.render(board, Format(how.value)), nl=False)


@app.command()
def export(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; by default epochs.parquet in the sweep's folder.")
    ] = None,
) -> None:
    """Write every epoch of every trial as Parquet, for pandas, Polars or DuckDB."""
    from sweep.export import export as write
    from sweep.ledger import Ledger

    place = Root.at(root, storage)
    paths = place.sweep(_chosen(name, place))
    path = output or paths.epochs
    with closing(Ledger(paths.ledger)) as ledger:
        count = write(ledger, path)
    typer.echo(f"{count} epochs in {path}")


@app.command()
def report(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; by default report.html in the sweep's folder.")
    ] = None,
) -> None:
    """Write a sweep's report as one HTML page, and its figures as PNG and PDF."""
    from sweep.ledger import Ledger

    place = Root.at(root, storage)
    paths = place.sweep(_chosen(name, place))
    os.environ.setdefault("MPLCONFIGDIR", str(place.matplotlib.absolute()))
    from sweep.report import write

    with closing(Ledger(paths.ledger)) as ledger:
        write(ledger, output or paths.report, paths.figures)
    typer.echo(f"report   {output or paths.report}")
    typer.echo(f"figures  {paths.figures}")


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, models, datasets, recipes, specs or sweeps.")],
    root: RootOption = DEFAULT_ROOT,
    address: ClusterOption = None,
    how: FormatOption = Format.TABLE,
) -> None:
    """List what a spec can name, and the sweeps that have run, here or (with --address) on a cluster."""
    if address and what == "sweeps":
        remote.sweeps(address, how)
        return
    from sweep.catalogue import rows

    typer.echo(listing(rows(what, Root(root)), how), nl=False)


@app.command()
def sync(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    tracking_uri: UriOption = None,
) -> None:
    """Deliver to MLflow what it has not been told yet."""
    from sweep import lock, tracking

    place = Root.at(root, storage)
    chosen = _chosen(name, place)
    uri = tracking.tracking_uri(place, tracking_uri)
    with lock.exclusive(place.sweep(chosen).lock, f"sweep '{chosen}' (which delivers its own events)"):
        count = tracking.sync(place, chosen, uri)
        models = tracking.log_models(place, chosen, uri, lambda what: typer.echo(what, err=True))
    shown = f"{count} events and {models.logged} models" if models.logged else f"{count} events"
    typer.echo(f"{shown} of '{chosen}' delivered to {tracking.without_password(uri)}")
    for refused in models.refused:
        typer.echo(f"not logged as a model: {refused}", err=True)


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
def teachers_list(
    root: RootOption = DEFAULT_ROOT, storage: StorageOption = None, how: FormatOption = Format.TABLE
) -> None:
    """List the stored teachers."""
    from sweep.teachers import rows

    found = rows(Root.at(root, storage))
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
    storage: StorageOption = None,
    how: FormatOption = Format.TABLE,
) -> None:
    """Store published checkpoints as teachers, with their accuracy as it is measured here."""
    from sweep.teachers import import_all

    place = Root.at(root, storage)
    found, good = import_all(path, dataset, architecture, place, lambda line: typer.echo(line, err=True))
    typer.echo(listing(found, how), nl=False)
    raise typer.Exit(0 if good else 1)


@teachers.command("train")
def teachers_train(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    tracking_uri: UriOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Train the teachers of a spec, and nothing else of it; those that are stored already stay as they are."""
    from sweep import display, tracking
    from sweep.teachers import train

    place = Root.at(root, storage)
    uri = tracking.tracking_uri(place, tracking_uri)
    console = Console()
    try:
        code, found = train(spec, place, uri, display.for_console(console), verbose)
    except KeyboardInterrupt:
        console.print(f"stopped; {display.nothing_lost()}")
        raise typer.Exit(130) from None
    typer.echo(listing(found, Format.TABLE), nl=False)
    raise typer.Exit(code)


def _chosen(name: str | None, root: Root) -> str:
    """A sweep that is there, its ledger as new as the storage's."""
    from sweep.snapshot import restore

    restore(root, name)
    return root.choose(name)


def _board(name: str | None, root: Root, remote: bool, tracking_uri: str | None) -> Leaderboard:
    """A sweep's table, from its ledger or from the server that it was tracked on."""
    from sweep import leaderboard as boards
    from sweep.ledger import Ledger

    if remote:
        from sweep import tracked, tracking

        return boards.board_of(tracked.read(name, tracking.tracking_uri(root, tracking_uri)))
    with closing(Ledger(root.sweep(root.choose(name)).ledger)) as ledger:
        return boards.leaderboard(ledger)


def _print_leaderboard(console: Console, root: Root, name: str) -> None:
    from sweep.leaderboard import as_rich

    console.print(as_rich(_board(name, root, remote=False, tracking_uri=None)))


def _browse(root: Root, uri: str) -> str:
    """How to see the runs: a server's address, or the command that serves the database."""
    from sweep import tracking

    return tracking.without_password(uri) if uri.startswith("http") else tracking.command("ui", root, uri)


def _end_at_once() -> None:
    """Spare the interpreter the walk through all that torch, Ray and MLflow have made, which takes it seconds."""
    if "triton" not in sys.modules:  # it would complain of what is not taken apart
        gc.freeze()


def main(arguments: list[str] | None = None) -> Any:
    """The console script: errors meant for the user become one message on standard error, without a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    atexit.register(_end_at_once)
    try:
        app(args=arguments, prog_name="sweep")
    except KDError as error:
        print(f"sweep: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
