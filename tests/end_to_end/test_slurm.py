"""A sweep as a job of a real Slurm: out of time, put back, driven out by another job, and the same table in the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sweep.ledger.claims import NOBODY
from tests.support.command import User, children, workers
from tests.support.division import SEARCHED, owners
from tests.support.ray_cluster import program
from tests.support.slurm import CORES, Slurm, needs_slurm, running
from tests.support.undisturbed import undisturbed

pytestmark = [pytest.mark.slow(180), needs_slurm]

__all__ = ["undisturbed"]


def epochs(user: User) -> int:
    """How many the ledger has."""
    return len(user.events("epoch")) if user.root.sweep("small").ledger.exists() else 0


def stands_still(slurm: Slurm, user: User, job: str, restarts: int) -> list[int]:
    """Wait until a start of the job has come two epochs further, and stop those who train; their numbers."""
    slurm.wait_for(lambda: _state(slurm, job, restarts) == "RUNNING", f"started {restarts} times anew")
    goal = epochs(user) + 2
    slurm.wait_for(lambda: epochs(user) >= goal or _state(slurm, job, restarts) != "RUNNING", "further")
    assert epochs(user) >= goal, (log(user, job), slurm.job(job))
    found = [pid for pid in workers(1) if _is_users(pid, user)]
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    return found


def raylets(user: User) -> list[int]:
    """Of all nodes, which are one machine here."""
    return [pid for pid in children(1) if Path(program(pid)).name == "raylet" and _is_users(pid, user)]


def _is_users(pid: int, user: User) -> bool:
    """Whether a process was started in the user's folder."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == user.folder
    except FileNotFoundError:  # it has ended
        return False


def _state(slurm: Slurm, job: str, restarts: int) -> str:
    said = slurm.job(job)
    return said["JobState"] if said["Restarts"] == str(restarts) else ""


def log(user: User, job: str) -> str:
    return (user.root.path / "slurm" / f"small-{job}.log").read_text()


def submitted(slurm: Slurm, user: User, *options: str) -> str:
    """A job's number."""
    done = user.sweep("slurm", "spec.yaml", "--submit", "--time", "1:00:00", *options, **slurm.environment)
    assert done.code == 0, done.err
    return next(line.split()[1] for line in done.out.splitlines() if line.startswith("submitted"))


def its_time_is_up(slurm: Slurm, user: User, job: str) -> None:
    """Slurm is told of a shorter wall time when some epochs are done, and who trains is stopped until it says that the
    time is nearly up: so this comes in the middle, on any machine."""
    still = stands_still(slurm, user, job, restarts=0)
    assert len(raylets(user)) == int(slurm.job(job)["NumNodes"])
    minutes = int(slurm.job(job)["RunTime"].split(":")[1])
    slurm.tell("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 2}")
    slurm.wait_for(lambda: "time that this run was given is nearly up" in log(user, job), "told of the time")
    for pid in still:
        os.kill(pid, signal.SIGCONT)
    slurm.wait_for(lambda: slurm.job(job)["Restarts"] == "1", "queued again")
    assert [event.body["exit_code"] for event in user.events("stop")] == [75]
    slurm.tell("scontrol", "update", f"JobId={job}", "TimeLimit=60")


def comes_to_the_same_end(slurm: Slurm, user: User, job: str, restarts: int, undisturbed: User) -> None:
    over = ("PENDING", "RUNNING", "COMPLETING", "")
    slurm.wait_for(lambda: _state(slurm, job, restarts) not in over, "done")
    assert slurm.job(job)["JobState"] == "COMPLETED", log(user, job)
    assert user.events("failed") == []
    assert user.numbers() == undisturbed.numbers()
    assert user.leaderboard() == undisturbed.leaderboard()


def test_a_job_whose_time_is_up_and_that_is_driven_out_once_gives_the_undisturbed_table(
    undisturbed: User, tmp_path: Path
) -> None:
    user = User(tmp_path / "a user's")
    with running(nodes=1) as slurm:
        job = submitted(slurm, user, "--cpus", str(CORES), "--", "--mem", "900")
        its_time_is_up(slurm, user, job)
        assert stands_still(slurm, user, job, restarts=1)
        slurm.tell("sbatch", "--partition=urgent", f"--cpus-per-task={CORES}", "--output=/dev/null", "--wrap=true")
        slurm.wait_for(lambda: slurm.job(job)["Restarts"] == "2", "driven out")
        assert "stopping after the epochs in flight" in log(user, job)
        comes_to_the_same_end(slurm, user, job, 2, undisturbed)


def test_a_job_that_is_cancelled_from_the_login_node_ends_after_its_epochs_and_goes_on_when_submitted_again(
    undisturbed: User, tmp_path: Path
) -> None:
    user = User(tmp_path / "a user's")
    with running(nodes=1) as slurm:
        job = submitted(slurm, user, "--cpus", str(CORES), "--", "--mem", "900")
        slurm.wait_for(lambda: epochs(user) >= 2, "two epochs are done")
        seen = user.sweep("status", "small", **slurm.environment)
        assert seen.out.startswith(f"Slurm's job {job}: running on node0, "), seen
        assert "running: process" in seen.out
        done = user.sweep("cancel", "small", **slurm.environment)
        assert done.code == 0, done.err
        slurm.wait_for(lambda: bool(user.events("stop")), "over")
        assert [event.body["exit_code"] for event in user.events("stop")] == [130]
        assert "stopping after the epochs in flight" in user.sweep("logs", "small", **slurm.environment).out
        assert user.events("failed") == []
        slurm.wait_for(lambda: not slurm.tell("squeue", "--noheader"), "out of the queue")
        again = submitted(slurm, user, "--cpus", str(CORES), "--", "--mem", "900")
        comes_to_the_same_end(slurm, user, again, 0, undisturbed)
    assert (user.root.path / "slurm" / "small.job").read_text() == f"{again}\n"


def test_the_jobs_of_an_array_train_each_trial_once_searches_too_and_give_the_undisturbed_table(tmp_path: Path) -> None:
    alone, user = (User(tmp_path / name, SEARCHED) for name in ("another user's", "a user's"))
    assert alone.sweep("run", "spec.yaml", "--local").code == 0
    with running(nodes=1) as slurm:
        job = submitted(slurm, user, "--array", "2", "--cpus", "1", "--", "--mem", "450")
        for number in (1, 2):
            comes_to_the_same_end(slurm, user, f"{job}_{number}", 0, alone)
    trials = {event.trial for event in user.events("final", "pruned")}
    claimed = {name: [one for one in members if one != NOBODY] for name, members in owners(user).items()}
    searches = {name for name in claimed if name.startswith("search-")}
    assert claimed.keys() - searches == trials
    assert len(searches) == 2
    assert {len(members) for members in claimed.values()} == {1}


def test_a_job_on_two_nodes_has_a_ray_of_its_own_there_and_gives_the_undisturbed_table(
    undisturbed: User, tmp_path: Path
) -> None:
    user = User(tmp_path / "a user's")
    with running(nodes=2) as slurm:
        job = submitted(slurm, user, "--nodes", "2", "--cpus", "1")
        its_time_is_up(slurm, user, job)
        comes_to_the_same_end(slurm, user, job, 1, undisturbed)
        assert raylets(user) == []
