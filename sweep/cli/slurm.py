"""`sweep slurm`: a sweep as a job of Slurm."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.options import RootOption, SpecArgument, StorageOption, UriOption
from sweep.cli.waiting import telling
from sweep.exit_codes import WRONG_INPUT
from sweep.layout import DEFAULT_ROOT, Root

if TYPE_CHECKING:
    from sweep.slurm.wanted import Wanted

HOLDS = {True: "✓", False: "✗", None: "?"}


def slurm(
    spec: SpecArgument,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- SBATCH...]", help="Further options of sbatch's: -- --mem=64G", show_default=False),
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Wall time of each start: 12:00:00.", show_default=False)
    ] = None,
    gpus: Annotated[str | None, typer.Option("--gpus-per-node", help="4, or a100:4.", show_default="none")] = None,
    cpus: Annotated[int | None, typer.Option("--cpus", "--cpus-per-task", min=1, help="Cores of the job.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="By default the cluster's.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Who is charged.")] = None,
    constraint: Annotated[str | None, typer.Option("--constraint", help="What the node must have: a100, say.")] = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Nodes, each with what is asked for.")] = 1,
    array: Annotated[
        int | None,
        typer.Option("--array", min=1, help="Instead of one job so many, of one node each, which divide the sweep."),
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Submit it, too.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Instead say what would fail on a compute node; exit code 2 where anything does."),
    ] = False,
    driver: Annotated[
        str | None, typer.Option("--driver", help="For --check: that of the compute nodes' GPUs, as nvidia-smi has it.")
    ] = None,
    tracking_uri: UriOption = None,
) -> None:
    """Write the script with which Slurm runs a sweep, again and again until it is done."""
    from sweep.slurm.wanted import Wanted

    wanted = Wanted(time, gpus, cpus, partition, account, constraint, nodes, array, tuple(more or ()))
    if check:
        _check(spec, Root.at(root, storage), wanted, storage, tracking_uri, driver)
        return
    with telling(f"reading {spec}"):
        from search_spaces.files import spec_text
        from search_spaces.loader import parse_spec

        name = parse_spec(*spec_text(spec)).name
    _write(spec, name, Root.at(root, storage), wanted, storage, tracking_uri, submit=submit)


def _write(
    spec: str, name: str, place: Root, wanted: Wanted, storage: str | None, tracking_uri: str | None, *, submit: bool
) -> None:
    from sweep.slurm.jobs import note
    from sweep.slurm.script import written
    from sweep.slurm.submit import submit as hand_over

    script = written(spec, name, place, wanted, storage, tracking_uri)
    typer.echo(f"written    {script}")
    if not submit:
        typer.echo(f"submit it  sbatch {shlex.quote(str(script))}")
        return
    job = hand_over(script)
    note(place, name, job)
    each = "" if wanted.array is None else "_N"
    typer.echo(f"submitted  {job}")
    typer.echo(f"see        {place.typed(f'status {name}', shared=False)}")
    typer.echo(f"log        {script.with_name(f'{name}-{job}{each}.log')}")
    typer.echo(f"stop       {place.typed(f'cancel {name}', shared=False)}")


def _check(
    spec: str, place: Root, wanted: Wanted, storage: str | None, tracking_uri: str | None, driver: str | None
) -> None:
    """Print each finding as it is known. Exits with 2 where something would fail."""
    from sweep.slurm.check import findings
    from sweep.tracking import address

    uri = address.tracking_uri(place, tracking_uri)
    wrong = 0
    for finding in findings(spec, place, wanted, storage=storage, tracking_uri=uri, driver=driver):
        typer.echo(f"{HOLDS[finding.holds]} {finding.what}: {finding.found}")
        wrong += finding.holds is False
    if wrong:
        raise typer.Exit(WRONG_INPUT)
