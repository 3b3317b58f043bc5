"""A sweep whose Ray dies, whose cluster loses workers and machines, and whose cluster dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from contextlib import closing

import pytest

from tests.end_to_end.faults.conftest import Undisturbed
from tests.support.command import Done, User, workers
from tests.support.fault_harness import SPEC, begin, begun_after_their_end, goes_on, raylets, results
from tests.support.ray_cluster import RayCluster, kill

pytestmark = pytest.mark.slow(285)

KILLS = 2
MINUTES = 1
"""Without an epoch, after which a worker is hung; its start and a first epoch take seconds."""
NOTHING_LOST = "; nothing is lost. The same command goes on from here"


def ends_well(user: User, done: Done, message: str) -> None:
    """One message, exit code 1, and a ledger that knows of the end."""
    assert done.code == 1, done.out + done.err
    assert done.out.count(f"{message}{NOTHING_LOST}") == 1
    assert "Traceback" not in done.out + done.err, done.out + done.err
    assert "Fatal" not in done.err
    assert user.events("stop")[-1].body == {"exit_code": 1}


def test_a_sweep_outlives_workers_machines_its_cluster_and_its_ray(undisturbed: Undisturbed, user: User) -> None:
    """One story, of one sweep: the start of each Ray takes longer than the training."""
    our_own_ray_dies(user)
    with closing(RayCluster()) as cluster:
        workers_machines_and_the_cluster_die(cluster, user)
    done = user.end(begin(user, "--local"))  # with its own Ray dead and the cluster gone
    assert done.code == 0, done.out + done.err
    assert results(user) == undisturbed.results
    assert begun_after_their_end(user) == []


def our_own_ray_dies(user: User) -> None:
    user.write(SPEC.replace("retries: 20", f"retries: 20, max_epoch_minutes: {MINUTES}"))
    process = begin(user)
    goes_on(user, process, by=3)
    all_workers_stand_still(user, process)
    (raylet,) = raylets(process.pid)
    kill_all(raylet, *workers(process.pid))
    ends_well(user, user.end(process), "Ray has died on this machine")


def all_workers_stand_still(user: User, process: subprocess.Popen[str]) -> None:
    stopped = workers(process.pid)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    user.wait_for(lambda: "hung" in states(user), process)
    goes_on(user, process, by=1)


def states(user: User) -> set[str]:
    """In which attempts have broken."""
    return {event.body["state"] for event in user.events("failed")}


def kill_all(*processes: int) -> None:
    """Workers too, which might come to the end of the sweep before they miss their Ray."""
    for pid in processes:
        kill(pid)


def workers_machines_and_the_cluster_die(cluster: RayCluster, user: User) -> None:
    draw = random.Random(0)
    process = begin(user, "--address", cluster.address, **cluster.environment)
    killed = 0
    while killed < KILLS:
        goes_on(user, process, by=draw.randint(2, 4))
        training = sorted(workers(cluster.pid))
        killed += bool(training) and kill(draw.choice(training))
    user.wait_for(lambda: len(workers(cluster.pid)) == 2, process)
    failed = user.events("failed")
    died = [event for event in failed if event.body["state"] != "hung"]
    assert len(died) >= KILLS - 1  # one may have had no trial at that moment

    goes_on(user, process, by=2)
    cluster.kill_node(draw)
    user.wait_for(lambda: len(user.events("failed")) > len(failed), process)
    goes_on(user, process, by=2)  # on the other
    assert all("its worker" in event.body["reason"] and event.body["again"] for event in user.events("failed"))
    assert states(user) == {"hung", "worker-died"}
    cluster.raylets.append(cluster.add_node())
    user.wait_for(lambda: len(workers(cluster.pid)) == 2, process)

    cluster.kill_head()
    kill_all(*workers(cluster.pid))
    ends_well(user, user.end(process), f"the Ray cluster at {cluster.address} is gone")
    os.killpg(cluster.pid, signal.SIGKILL)  # it would try for long to end in good order
