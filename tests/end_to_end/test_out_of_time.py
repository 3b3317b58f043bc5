"""What a batch system does to a run: a signal to all its processes at once, and an end of its time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.command import Done, User
from tests.support.undisturbed import undisturbed

pytestmark = pytest.mark.slow(60)

__all__ = ["undisturbed"]


def epochs(user: User) -> int:
    return len(user.events("epoch"))


def goes_on(user: User, undisturbed: User, *options: str) -> None:
    """To the numbers of one that was left alone."""
    done = user.sweep("run", "spec.yaml", *options)
    assert done.code == 0, done.out + done.err
    assert user.numbers() == undisturbed.numbers()
    assert user.leaderboard() == undisturbed.leaderboard()


def test_sigterm_to_all_processes_at_once_ends_a_run_after_the_epochs_in_flight(
    undisturbed: User, tmp_path: Path
) -> None:
    """As `timeout` sends it: to its child, and then to the whole group. Ray's processes have it as well."""
    user = User(tmp_path)
    process = user.start("run", "spec.yaml")
    user.wait_for(lambda: epochs(user) >= 2, process)
    os.kill(process.pid, signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)
    done = user.end(process)
    assert done.code == 130, done.out + done.err
    assert "stopping after the epochs in flight" in done.out
    assert "Traceback" not in done.err
    assert user.events("failed") == []
    assert user.events("interrupted")
    assert [event.body["exit_code"] for event in user.events("stop")] == [130]
    goes_on(user, undisturbed)


def test_a_run_whose_time_is_up_says_so_by_its_exit_code_and_goes_on_when_it_is_given_more(
    undisturbed: User, tmp_path: Path
) -> None:
    """Slurm's script sends the notice to this process alone; one that comes to all is as good."""
    user = User(tmp_path)
    process = user.start("run", "spec.yaml", "--until", "2999-01-01")
    user.wait_for(lambda: epochs(user) >= 2, process)
    os.killpg(process.pid, signal.SIGUSR2)
    stopped_for_want_of_time(user, user.end(process))
    assert not user.root.sweep("small").report.exists()
    goes_on(user, undisturbed)


def stopped_for_want_of_time(user: User, done: Done) -> None:
    assert done.code == 75, done.out + done.err
    assert "time that this run was given is nearly up" in done.out
    assert "time that this run was given is up" in done.out
    assert user.events("failed") == []
    assert [event.body["exit_code"] for event in user.events("stop")] == [75]
