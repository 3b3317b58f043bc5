"""The command line: verbs only. Knobs live in the spec.

Exit codes: 0 done, 1 some trials failed, 2 the input is wrong, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sweep.formats import Format, listing
from sweep.layout import DEFAULT_ROOT, Root
from trainers.errors import KDError

app = typer.Typer(
    name="sweep",
    help="Sweep teacher → student pairs, distillation methods and loss weights, from a spec to a table.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

RootOption = Annotated[
    Path, typer.Option("--root", envvar="SWEEP_ROOT", help="Everything that is written lies below this folder.")
]
UriOption = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow server; by default MLFLOW_TRACKING_URI, else a database below --root."),
]
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


@app.command()
def run(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    tracking_uri: UriOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Let Ray talk.")] = False,
) -> None:
    """Run a sweep, or go on with it: only what is missing is run."""
    from search_spaces.loader import load_spec
    from sweep import display, tracking
    from sweep.run import run_sweep

    place = Root(root)
    uri = tracking.tracking_uri(place, tracking_uri)
    loaded = load_spec(spec)
    console = Console()
    try:
        code = run_sweep(loaded, place, uri, display.for_console(console), verbose)
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
def plan(spec: SpecArgument, root: RootOption = DEFAULT_ROOT, how: FormatOption = Format.TABLE) -> None:
    """Show what a spec would run, and what of it is done."""
    from search_spaces.loader import load_spec
    from sweep.preview import preview

    typer.echo(preview(load_spec(spec), Root(root), how), nl=False)


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
