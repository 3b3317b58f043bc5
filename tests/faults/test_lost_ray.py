"""Ray itself dies while a sweep runs on it: the head of a cluster, and this machine's part of a Ray of our own."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.cluster import RayCluster, kill, program
from tests.faults.conftest import Undisturbed
from tests.faults.harness import begin, begun_after_their_end, goes_on, results
from tests.sweep.command import Done, User, children, workers

pytestmark = pytest.mark.slow

NOTHING_LOST = "; nothing is lost. The same command goes on from here"


def ends_well(user: User, done: Done, message: str) -> None:
    """One message, exit code 1, and a ledger that knows of the end."""
    assert done.code == 1, done.out + done.err
    assert done.out.count(f"{message}{NOTHING_LOST}") == 1
    assert "Traceback" not in done.out + done.err
    assert "Fatal" not in done.err
    assert user.events("stop")[-1].body == {"exit_code": 1}


def test_a_sweep_whose_ray_dies_ends_and_goes_on_on_another(undisturbed: Undisturbed, user: User) -> None:
    process = begin(user)
    goes_on(user, process, by=3)
    (raylet,) = [pid for pid in children(process.pid) if Path(program(pid)).name == "raylet"]
    for pid in (raylet, *workers(process.pid)):  # which might come to the end of the sweep before they miss it
        kill(pid)
    ends_well(user, user.end(process), "Ray has died on this machine")

    with closing(RayCluster(nodes=1)) as cluster:
        process = begin(user, "--address", cluster.address, **cluster.environment)
        goes_on(user, process, by=3)
        cluster.kill_head()
        ends_well(user, user.end(process), f"the Ray cluster at {cluster.address} is gone")
        os.killpg(cluster.pid, signal.SIGKILL)  # it would try for long to end in good order

    done = user.end(begin(user))
    assert done.code == 0, done.out + done.err
    assert results(user) == undisturbed.results
    assert begun_after_their_end(user) == []
