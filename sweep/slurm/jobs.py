"""The job of Slurm's that runs a sweep, as a login node sees it: its number, what Slurm says of it, its logs, its end.

The job's number lies below the root, beside its script: `sweep slurm --submit` writes it, and so does the script itself
when it starts. A sweep that was submitted several times is known by the last.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sweep.layout import Root
from trainers.errors import InputError
from trainers.storage.files import write_atomically

FIELDS = ("%i", "%T", "%N", "%L", "%r")
"""Of ``squeue``: the job's name, its state, its nodes, the time left, why it waits."""
PENDING, RUNNING = "PENDING", "RUNNING"
UNKNOWN = "Invalid job id"
"""In Slurm's answer, where it has forgotten a job."""


@dataclass(frozen=True)
class Listed:
    """A job in Slurm's queue, or one of an array."""

    id: str
    state: str
    nodes: str
    left: str
    """Of its wall time."""
    reason: str

    def __str__(self) -> str:
        if self.state == PENDING:
            return f"Slurm's job {self.id}: pending ({self.reason})"
        return f"Slurm's job {self.id}: {self.state.lower()} on {self.nodes}, {self.left} left"


def note(root: Root, name: str, job: str) -> None:
    """Remember a sweep's job."""
    write_atomically(root.slurm_job(name), f"{job}\n".encode())


def known(root: Root, name: str | None) -> tuple[str, str] | None:
    """A sweep and its last job's number: of one sweep, or of the one that was submitted last; None where none was."""
    noted = [root.slurm_job(name)] if name else sorted(root.slurm_job("x").parent.glob("*.job"), key=_written)
    there = [path for path in noted if path.is_file()]
    if not there:
        return None
    job = there[-1].read_text(encoding="utf-8").strip()
    return (there[-1].stem, job) if re.fullmatch(r"\d+", job) else None


def _written(path: Path) -> float:
    return path.stat().st_mtime


def listed(job: str) -> list[Listed]:
    """What Slurm has in its queue of a job, of an array one for each that runs; nothing when it has ended.

    Raises:
        InputError: where there is no Slurm, or it does not answer.
    """
    asked = ["squeue", "--noheader", f"--jobs={job}", f"--format={'|'.join(FIELDS)}"]
    lines = _said(*asked).splitlines()
    parts = [line.strip().split("|") for line in lines if line.count("|") == len(FIELDS) - 1]
    return [Listed(*part) for part in parts]


def logs(root: Root, name: str, job: str) -> list[Path]:
    """The files with what a job has printed, of an array one for each that has begun."""
    folder = root.slurm(name).parent
    found = (path for path in folder.glob(f"{name}-{job}*.log") if re.fullmatch(rf"{job}(_\d+)?", _job_of(path, name)))
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _job_of(path: Path, name: str) -> str:
    return path.stem.removeprefix(f"{name}-")


def cancel(job: str) -> list[Listed]:
    """Have a job end after the epochs in flight, and not begin where it waits; those that it was told to.

    Raises:
        InputError: where there is no Slurm, or it refuses.
    """
    there = listed(job)
    if any(one.state == PENDING for one in there):
        _said("scancel", f"--state={PENDING}", job)
    if any(one.state == RUNNING for one in there):
        _said("scancel", "--batch", "--signal=TERM", job)  # to the script alone, which hands it on
    return [one for one in there if one.state in (PENDING, RUNNING)]


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"there is no {command[0]} here; ask where Slurm's commands are") from error
    if done.returncode != 0 and UNKNOWN not in done.stderr:
        raise InputError(f"{command[0]}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout
