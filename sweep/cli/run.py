"""`sweep run`: a sweep from its spec to the table on the screen."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from sweep.cli.options import (
    RootOption,
    SmokeOption,
    SpecArgument,
    StorageOption,
    UriOption,
    VerboseOption,
    shrunk_spec,
)
from sweep.cli.verbs import board_of_sweep
from sweep.cli.waiting import telling
from sweep.exit_codes import INTERRUPTED
from sweep.layout import DEFAULT_ROOT, Root, SweepPaths
from trainers.errors import InputError

if TYPE_CHECKING:
    from search_spaces.schema import Spec
    from sweep.engine.display import Display
    from sweep.engine.until import Until
    from sweep.results.again import Again

AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="A running Ray cluster (auto, or host:port); by default a Ray of its own."),
]
LocalOption = Annotated[
    bool,
    typer.Option(
        "--local", help="Train in this process, one trial at a time, without Ray: for a debugger. Same numbers."
    ),
]


def run(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    tracking_uri: UriOption = None,
    smoke: SmokeOption = False,
    address: AddressOption = None,
    local: LocalOption = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Train what other sweeps below the root have finished too; what this one has done is done."
        ),
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            envvar="SLURM_JOB_END_TIME",
            help="Begin no epoch that cannot end by then, and end with exit code 75: 2026-01-31T18:05, or seconds since"
            " 1970.",
        ),
    ] = None,
    divide: Annotated[
        bool,
        typer.Option(
            "--divide",
            help="Divide the plan with others who do the same below this root, each trial once (Slurm arrays).",
        ),
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Run a sweep, or go on with it: only what is missing is run, here and in the other sweeps below the root."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # a batch system's notice, which is heard while trials run
    with telling(f"reading {spec} and its data set" if smoke else f"reading {spec}", terminal=True):
        from search_spaces.loader import load_spec
        from sweep.engine.until import until as ends

        time = ends(until) if until else None
        place = Root.at(root, storage)
        loaded = shrunk_spec(load_spec(spec), place) if smoke else load_spec(spec)
    if divide and (address is not None or fresh):
        raise InputError(f"--divide has a Ray of its own, and shares: leave {'--fresh' if fresh else '--address'} out")
    run_and_show(loaded, place, tracking_uri, address, verbose, local=local, fresh=fresh, until=time, divide=divide)


def submitted(root: RootOption = DEFAULT_ROOT, storage: StorageOption = None) -> None:
    """Run what a job was submitted with; the cluster's head calls this."""
    from sweep.cluster.carried import carried

    run_and_show(carried(), Root.at(root, storage), None, os.environ.get("RAY_ADDRESS", "auto"), verbose=False)


def run_and_show(
    loaded: Spec,
    place: Root,
    tracking_uri: str | None,
    address: str | None,
    verbose: bool,
    *,
    local: bool = False,
    fresh: bool = False,
    again: Again | None = None,
    until: Until | None = None,
    divide: bool = False,
) -> NoReturn:
    """Run a sweep and show what came of it (see :func:`sweep.run.run_sweep`)."""
    from sweep.cluster.carried import nothing_lost
    from sweep.engine.display import PlainDisplay, for_console
    from sweep.tracking import address as tracking

    uri = tracking.tracking_uri(place, tracking_uri)
    console = Console()
    display = PlainDisplay(console) if local else for_console(console)  # a debugger needs the terminal for itself
    try:
        with telling(partial(doing, loaded.name, display), terminal=True):
            from sweep.divided import run_divided
            from sweep.run import run_sweep

            if divide:
                code = run_divided(loaded, place, uri, display, verbose, local=local, until=until)
            else:
                code = run_sweep(
                    loaded,
                    place,
                    uri,
                    display,
                    verbose,
                    address=address,
                    local=local,
                    fresh=fresh,
                    again=again,
                    until=until,
                )
    except KeyboardInterrupt:
        console.print(f"stopped; {nothing_lost()}")
        raise typer.Exit(INTERRUPTED) from None
    if divide:  # whose ledger another member may be writing by now
        console.print(f"leaderboard  {place.sweep(loaded.name).leaderboard}", soft_wrap=True, markup=False)
        raise typer.Exit(code)
    _print_leaderboard(console, place, loaded.name)
    _print_places(console, place.sweep(loaded.name), _browse(place, uri))
    raise typer.Exit(code)


def doing(name: str, display: Display) -> str:
    """What a run does before its display begins and after it has ended; nothing in between, where that speaks."""
    if display.progress is not None:
        return ""
    if display.begun:
        return f"making the reports of {name}, and telling MLflow"
    return f"preparing {name}: its data set, what of it is done, workers"


def _print_leaderboard(console: Console, root: Root, name: str) -> None:
    from sweep.results.draw import as_rich

    console.print(as_rich(board_of_sweep(name, root, remote=False, tracking_uri=None)))


def _print_places(console: Console, paths: SweepPaths, browse: str) -> None:
    """What went wrong, and where all that came of the sweep can be seen."""
    from sweep.cli.status import troubles

    for line in troubles(paths):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if paths.figure.is_file():
        console.print(f"figure       {paths.figure}", soft_wrap=True, highlight=False, markup=False)
    if paths.leaderboard.is_file():
        console.print(f"leaderboard  {paths.leaderboard}", soft_wrap=True, highlight=False, markup=False)
    if paths.report.is_file():
        console.print(f"report       {paths.report}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"browse       {browse}", soft_wrap=True, highlight=False, markup=False)


def _browse(root: Root, uri: str) -> str:
    """How to see the runs: a server's address, or the command that serves the database."""
    from sweep.text import without_password
    from sweep.tracking import address as tracking

    return without_password(uri) if uri.startswith("http") else tracking.command("ui", root, uri)
