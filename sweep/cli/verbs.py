"""The verbs that show what is planned, what has run and what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sweep.cli import cluster, slurm_jobs
from sweep.cli.options import (
    ClusterOption,
    FormatOption,
    NameArgument,
    RootOption,
    SmokeOption,
    SpecArgument,
    StorageOption,
    TableFormatOption,
    UriOption,
    at_home,
    chosen_sweep,
    shrunk_spec,
)
from sweep.cli.waiting import telling
from sweep.formats import Format, TableFormat, listing
from sweep.layout import DEFAULT_ROOT, Root, SweepPaths
from trainers.errors import InputError, StorageError

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard

READING = "reading the ledger"


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
    with telling(f"reading {spec} and its data set"):
        from search_spaces.loader import load_spec
        from sweep.results.preview import calibrated, preview

        place = Root.at(root, storage)
        loaded = shrunk_spec(load_spec(spec), place) if smoke else load_spec(spec)
    if calibrate:
        said = calibrated(loaded, place, how, lambda what: typer.echo(what, err=True))
        typer.echo(said, nl=False)
        if how is not Format.TABLE:
            return
    with telling(f"planning {loaded.name}: its data set, and what of it is done"):
        shown = preview(loaded, place, how)
    typer.echo(shown, nl=False)


def status(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    address: ClusterOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only the trials that broke or diverged.")] = False,
    how: FormatOption = Format.TABLE,
) -> None:
    """Show how far a sweep is: every trial with its state, and why it failed; or (--address) how a submitted one is."""
    if address:
        cluster.status(name, address, how)
        return
    from sweep.cli.status import look

    place = Root.at(root, storage)
    if how is Format.TABLE and slurm_jobs.status(place, name):
        return
    with telling(READING):
        seen = look(place.sweep(chosen_sweep(name, place)))
        shown = listing(seen.rows(failed=failed), how)
    if how is Format.TABLE:
        typer.echo(seen.summary, nl=False)
    typer.echo(shown, nl=False)


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
    """Say of every search what it has found, what it gave up and why, and whether more is likely to help; with
    --storage, mirror them for optuna-dashboard."""
    from sweep.cli.studies import text
    from sweep.search import optuna_storage
    from sweep.text import without_password

    place = Root.at(root, shared)
    with telling(READING):
        paths = place.sweep(chosen_sweep(name, place))
        shown = text(paths, how)
    typer.echo(shown, nl=False)
    if storage is not None:
        with telling("writing Optuna's studies"):
            new = optuna_storage.mirror(paths, storage)
        typer.echo(f"{new} new trials in {without_password(storage)}", err=True)


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
    from sweep.results.board import with_published

    place, remote = Root.at(root, storage), from_mlflow or tracking_uri is not None
    with telling("reading MLflow's runs" if remote else READING):
        board = board_of_sweep(name if remote else chosen_sweep(name, place), place, remote, tracking_uri)
    _print_board(with_published(board) if published else board, how)


def _print_board(board: Leaderboard, how: TableFormat) -> None:
    """Raises InputError where Parquet would go to a terminal."""
    from sweep.results import draw, records

    if how is TableFormat.TABLE:
        Console().print(draw.as_rich(board))
    elif how is not TableFormat.PARQUET:
        typer.echo(draw.render(board, Format(how.value)), nl=False)
    elif sys.stdout.isatty():
        raise InputError("Parquet is no text for a terminal; send it to a file: --format parquet > leaderboard.parquet")
    else:
        typer.echo(records.to_parquet(board), nl=False)


def export(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", callback=at_home, help="Where to; by default epochs.parquet in the sweep's folder."
        ),
    ] = None,
) -> None:
    """Write every epoch of every trial as Parquet, for pandas, Polars or DuckDB."""
    from sweep.ledger.store import Ledger
    from sweep.results.export import export as write

    place = Root.at(root, storage)
    paths = place.sweep(chosen_sweep(name, place))
    path = output or _in_folder(paths, paths.epochs)
    with telling(f"writing every epoch to {path}"), closing(Ledger(paths.ledger)) as ledger:
        count = write(ledger, path)
    typer.echo(f"{count} epochs in {path}")


def _in_folder(paths: SweepPaths, file: Path) -> Path:
    """A file in the sweep's folder, where a verb writes by default. Raises StorageError where it cannot be written."""
    from sweep.ledger.reading import may_write

    if not may_write(paths.folder):
        raise StorageError(f"{paths.folder} cannot be written; --output FILE writes {file.name} elsewhere")
    return file


def report(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", callback=at_home, help="Where to; by default report.html in the sweep's folder."
        ),
    ] = None,
) -> None:
    """Write a sweep's report as one HTML page, and its figures as PNG and PDF."""
    from sweep.ledger.reading import may_write
    from sweep.ledger.store import Ledger

    place = Root.at(root, storage)
    paths = place.sweep(chosen_sweep(name, place))
    page = output or _in_folder(paths, paths.report)
    figures = paths.figures if may_write(paths.folder) else page.with_name(f"{page.stem}-figures")
    with telling(READING) as say, fonts(place), closing(Ledger(paths.ledger)) as ledger:
        from sweep.report import write

        write(ledger, page, figures, say)
    typer.echo(f"report   {page}")
    typer.echo(f"figures  {figures}")


@contextmanager
def fonts(place: Root) -> Iterator[None]:
    """A folder for Matplotlib's font cache: below the root, or where that cannot be written one for the time being."""
    from sweep.ledger.reading import may_write

    with TemporaryDirectory() as brief:
        os.environ.setdefault("MPLCONFIGDIR", str(place.matplotlib.absolute()) if may_write(place.path) else brief)
        yield


def list_(
    what: Annotated[str, typer.Argument(help="methods, models, datasets, recipes, specs or sweeps.")],
    root: RootOption = DEFAULT_ROOT,
    address: ClusterOption = None,
    how: FormatOption = Format.TABLE,
) -> None:
    """List what a spec can name, and the sweeps that have run, here or (with --address) on a cluster."""
    if address and what == "sweeps":
        cluster.sweeps(address, how)
        return
    from sweep.cli.catalogue import printed

    with telling(f"listing {what}"):
        shown = printed(what, Root(root), how)
    typer.echo(shown, nl=False)


def sync(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    tracking_uri: UriOption = None,
) -> None:
    """Deliver to MLflow what it has not been told yet."""
    from sweep.ledger import lock
    from sweep.text import without_password
    from sweep.tracking import address
    from sweep.tracking.sync import log_models, sync

    place = Root.at(root, storage)
    chosen = chosen_sweep(name, place)
    uri = address.tracking_uri(place, tracking_uri)
    with lock.exclusive(place.sweep(chosen).lock, f"sweep '{chosen}' (which delivers its own events)"):
        with telling(f"telling MLflow of '{chosen}'"):
            count = sync(place, chosen, uri, lambda what: typer.echo(what, err=True))
        models = log_models(place, chosen, uri, lambda what: typer.echo(what, err=True))
    shown = f"{count} events and {models.logged} models" if models.logged else f"{count} events"
    typer.echo(f"{shown} of '{chosen}' delivered to {without_password(uri)}")
    for refused in models.refused:
        typer.echo(f"not logged as a model: {refused}", err=True)


def ui(
    root: RootOption = DEFAULT_ROOT,
    tracking_uri: UriOption = None,
    port: Annotated[int, typer.Option(help="On this machine only (127.0.0.1).")] = 5000,
) -> None:
    """Open the MLflow UI on the sweeps below the root."""
    from sweep.tracking.ui import serve

    raise typer.Exit(serve(Root(root), tracking_uri, port))


def board_of_sweep(name: str | None, root: Root, remote: bool, tracking_uri: str | None) -> Leaderboard:
    """A sweep's table, from its ledger or from the server that it was tracked on."""
    from sweep.ledger.store import Ledger
    from sweep.results import board

    if remote:
        from sweep.tracking import address, read_back

        return board.board_of(read_back.read(name, address.tracking_uri(root, tracking_uri)))
    with closing(Ledger(root.sweep(root.choose(name)).ledger)) as ledger:
        return board.leaderboard(ledger)
