"""A sweep as a job of a real Slurm: out of time, put back, driven out by another job, and the same table in the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import User, workers
from tests.support.slurm import CORES, Slurm, needs_slurm, running
from tests.support.undisturbed import undisturbed

pytestmark = [pytest.mark.slow(180), needs_slurm]

__all__ = ["undisturbed"]


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    with running(tmp_path / "slurm") as started:
        yield started


def epochs(user: User) -> int:
    """How many the ledger has."""
    return len(user.events("epoch")) if user.root.sweep("small").ledger.exists() else 0


def stands_still(slurm: Slurm, user: User, job: str, restarts: int) -> list[int]:
    """Wait until a start of the job has come two epochs further, and stop those who train; their numbers."""
    slurm.wait_for(lambda: _state(slurm, job, restarts) == "RUNNING", f"started {restarts} times anew")
    goal = epochs(user) + 2
    slurm.wait_for(lambda: epochs(user) >= goal or _state(slurm, job, restarts) != "RUNNING", "further")
    assert epochs(user) >= goal, (log(user, job), slurm.job(job))
    found = workers(user.events("sweep")[-1].body["pid"])
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    return found


def _state(slurm: Slurm, job: str, restarts: int) -> str:
    said = slurm.job(job)
    return said["JobState"] if said["Restarts"] == str(restarts) else ""


def log(user: User, job: str) -> str:
    return (user.root.path / "slurm" / f"small-{job}.log").read_text()


def test_a_job_whose_time_is_up_and_that_is_driven_out_once_gives_the_undisturbed_table(
    undisturbed: User, slurm: Slurm, tmp_path: Path
) -> None:
    """Slurm is told of a shorter wall time when some epochs are done, and who trains is stopped until it says that the
    time is nearly up: so this comes in the middle, on any machine."""
    user = User(tmp_path / "a user's")
    submitted = user.sweep(
        *("slurm", "spec.yaml", "--submit", "--time", "1:00:00", "--cpus", str(CORES), "--", "--mem", "900"),
        **slurm.environment,
    )
    assert submitted.code == 0, submitted.err
    job = next(line.split()[1] for line in submitted.out.splitlines() if line.startswith("submitted"))

    still = stands_still(slurm, user, job, restarts=0)
    minutes = int(slurm.job(job)["RunTime"].split(":")[1])
    slurm.tell("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 2}")
    slurm.wait_for(lambda: "time that this run was given is nearly up" in log(user, job), "told of the time")
    for pid in still:
        os.kill(pid, signal.SIGCONT)
    slurm.wait_for(lambda: slurm.job(job)["Restarts"] == "1", "queued again")
    assert [event.body["exit_code"] for event in user.events("stop")] == [75]
    slurm.tell("scontrol", "update", f"JobId={job}", "TimeLimit=60")

    assert stands_still(slurm, user, job, restarts=1)
    slurm.tell("sbatch", "--partition=urgent", f"--cpus-per-task={CORES}", "--output=/dev/null", "--wrap=true")
    slurm.wait_for(lambda: slurm.job(job)["Restarts"] == "2", "driven out")
    assert "stopping after the epochs in flight" in log(user, job)

    slurm.wait_for(lambda: _state(slurm, job, 2) not in ("", "PENDING", "RUNNING", "COMPLETING"), "done")
    assert slurm.job(job)["JobState"] == "COMPLETED", log(user, job)
    assert user.events("failed") == []
    assert user.numbers() == undisturbed.numbers()
    assert user.leaderboard() == undisturbed.leaderboard()
