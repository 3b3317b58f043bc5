"""`sweep pack` and `sweep unpack`: a sweep as one file, and a sweep made of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.options import NameArgument, RootOption, StorageOption, at_home, chosen_sweep
from sweep.cli.verbs import fonts
from sweep.cli.waiting import telling
from sweep.layout import DEFAULT_ROOT, Root
from trainers.storage.inputs import expanded


def pack(
    name: NameArgument = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=at_home, help="The file; by default NAME.sweep.zip in this folder."),
    ] = None,
) -> None:
    """Write a sweep as one file, to be kept or handed on: ledger, spec, code, table, report, best students."""
    place = Root.at(root, storage)
    paths = place.sweep(chosen_sweep(name, place))
    with telling(f"copying the ledger of {paths.folder.name}") as say, fonts(place):
        from sweep.packs.packing import pack as write

        written = write(paths, output, say, lambda what: typer.echo(what, err=True))
    typer.echo(f"packed   {written} ({written.stat().st_size:,} bytes)")
    typer.echo(f"open it  sweep unpack {shlex.quote(str(written))} --root DIR")


def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE", callback=expanded, help="What `sweep pack` has written.")],
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Make a sweep of a pack below the root; nothing that it holds is run."""
    from sweep.packs.unpacking import unpack as make

    with telling(f"unpacking {file}"):
        name = make(file, Root(root))
    typer.echo(f"unpacked {Root(root).sweep(name).folder}")
    typer.echo(f"see      {Root(root).typed(f'leaderboard {name}')}")
