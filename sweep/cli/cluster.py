"""The verbs that speak to a cluster: `submit`, `logs`, `cancel`, and what `status` and `list sweeps` show of one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli import slurm_jobs
from sweep.cli.options import CLUSTER, ClusterOption, SpecArgument
from sweep.exit_codes import INTERRUPTED
from sweep.formats import Format, listing
from sweep.layout import DEFAULT_ROOT, Root
from trainers.errors import InputError
from trainers.storage.inputs import expanded

if TYPE_CHECKING:
    from sweep.cluster.jobs import Cluster

SubmittedArgument = Annotated[str, typer.Argument(metavar="NAME", help="A submitted sweep, or a job of one.")]
JobsRootOption = Annotated[
    Path,
    typer.Option(
        "--root", envvar="SWEEP_ROOT", callback=expanded, help="Below which a job of Slurm's runs, without --address."
    ),
]


def submit(spec: SpecArgument, address: ClusterOption = None) -> None:
    """Hand a sweep to a running Ray cluster, or let it go on there, and return at once."""
    from search_spaces.files import spec_text
    from search_spaces.loader import parse_spec
    from sweep.cluster.carried import read_there

    loaded = parse_spec(*spec_text(spec), elsewhere=True)
    cluster = _cluster(address)
    job = cluster.submit(loaded)
    typer.echo(f"submitted {job.id} to {cluster.address}")
    if loaded.code:
        typer.echo(f"  with its own code: {', '.join(loaded.code.tops)}")
    for file in read_there(loaded):
        typer.echo(f"  must be there, under the same path on all machines: {file}")
    where = "" if os.environ.get(CLUSTER) == address else f" --address {shlex.quote(cluster.address)}"
    for verb in ("logs -f", "status", "cancel"):
        typer.echo(f"  sweep {verb} {job.sweep}{where}")


def logs(
    name: SubmittedArgument,
    address: ClusterOption = None,
    root: JobsRootOption = DEFAULT_ROOT,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the sweep ends, and end with its exit code.")
    ] = False,
) -> None:
    """Print what a submitted sweep has printed."""
    job_of_slurm = None if address else _slurm(root, name)
    if job_of_slurm:
        slurm_jobs.logs(Root(root), *job_of_slurm, follow=follow)
        return
    cluster = _cluster(address)
    job = cluster.find(name)
    if not follow:
        typer.echo(cluster.log(job), nl=False)
        return
    try:
        code = cluster.follow(job, lambda lines: typer.echo(lines, nl=False))
    except KeyboardInterrupt:
        typer.echo(f"the sweep goes on; to stop it: sweep cancel {job.sweep}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


def cancel(name: SubmittedArgument, address: ClusterOption = None, root: JobsRootOption = DEFAULT_ROOT) -> None:
    """Stop a submitted sweep after the epochs in flight; submitted again it goes on."""
    job_of_slurm = None if address else _slurm(root, name)
    if job_of_slurm:
        slurm_jobs.cancel(*job_of_slurm)
        return
    job = _cluster(address).cancel(name)
    typer.echo(f"{job.id} is {job.state}; nothing is lost. Submitted again, '{job.sweep}' goes on from here")


def status(name: str | None, address: str, how: Format) -> None:
    """A submitted sweep's jobs and, as a table, the last thing that it has said."""
    from sweep.cluster.jobs import last_line

    cluster = _cluster(address)
    job = cluster.find(name)
    if how is Format.TABLE:
        typer.echo(f"{job.sweep} on {cluster.address}: {job.state}, {job.took} after it was submitted as {job.id}")
        typer.echo(f"{last_line(cluster.log(job))}\n")
    typer.echo(listing([each.row() for each in cluster.jobs(job.sweep)], how), nl=False)


def sweeps(address: str, how: Format) -> None:
    """The sweeps that were submitted to a cluster."""
    from sweep.cluster.jobs import latest

    typer.echo(listing(latest(_cluster(address).jobs()), how), nl=False)


def _slurm(root: Path, name: str) -> tuple[str, str] | None:
    from sweep.slurm.jobs import known

    return known(Root(root), name)


def _cluster(address: str | None) -> Cluster:
    """A connection to the cluster of that address. Raises InputError where none is given, or none answers."""
    if not address:
        raise InputError(
            f"which cluster? Give --address http://host:8265, or set {CLUSTER}; no job of Slurm's that runs this sweep"
            " is noted below --root"
        )
    from sweep.cluster.jobs import Cluster

    return Cluster(address)
