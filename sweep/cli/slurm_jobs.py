"""What `status`, `logs` and `cancel` say of a sweep that runs as a job of Slurm."""

from __future__ import annotations

import json
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import typer

from sweep.layout import Root
from sweep.slurm import jobs
from trainers.errors import InputError


def status(root: Root, name: str | None) -> bool:
    """Print what Slurm says of a sweep's job, and what that has printed last where its ledger is another machine's at
    this moment; whether that was all that can be said."""
    known = jobs.known(root, name)
    if known is None or shutil.which("squeue") is None:
        return False
    sweep, job = known
    if name is None and root.names() and root.names()[0] != sweep:
        return False  # the sweep that was written to last is another
    try:
        there = jobs.listed(job)
    except InputError as error:  # Slurm is away; what the ledger says is worth something
        typer.echo(str(error), err=True)
        return False
    for one in there:
        typer.echo(str(one))
    if not there:
        typer.echo(f"Slurm's job {job}: has ended")
    elsewhere = any(one.state != jobs.PENDING for one in there) and not _is_driven_here(root, sweep)
    if elsewhere or not root.sweep(sweep).ledger.exists():
        from sweep.cluster.jobs import last_line

        for log in jobs.logs(root, sweep, job):
            typer.echo(f"{log.name}: {last_line(log.read_text(encoding='utf-8', errors='replace'))}")
        return True
    return False


def _is_driven_here(root: Root, sweep: str) -> bool:
    """Whether who writes the ledger runs on this machine: machines cannot share SQLite's files while one writes."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        return bool(json.loads(root.sweep(sweep).lock.read_text(encoding="utf-8"))["host"] == socket.gethostname())
    return False


def logs(root: Root, sweep: str, job: str, *, follow: bool) -> None:
    """Print all that a job has printed."""
    files = jobs.logs(root, sweep, job)
    if not files:
        raise InputError(f"Slurm's job {job} has printed nothing yet, as {_log(root, sweep, job)}")
    if follow:
        raise InputError(f"of a job of Slurm's: tail -f {' '.join(map(str, files))}")
    for file in files:
        typer.echo(file.read_text(encoding="utf-8", errors="replace"), nl=False)


def _log(root: Root, sweep: str, job: str) -> Path:
    return root.slurm(sweep).with_name(f"{sweep}-{job}.log")


def cancel(sweep: str, job: str) -> None:
    """Have a job end after the epochs in flight."""
    told = jobs.cancel(job)
    for one in told:
        typer.echo(f"{one}: {'it will not begin' if one.state == jobs.PENDING else 'told to stop after its epochs'}")
    if not told:
        raise InputError(f"Slurm's job {job} of sweep '{sweep}' has ended, or is about to")
    typer.echo(f"nothing is lost. Submitted again, '{sweep}' goes on from here")
