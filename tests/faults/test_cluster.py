"""Workers and machines of a Ray cluster that die while a sweep runs on it."""

from __future__ import annotations

import random

import pytest

from tests.faults.cluster import RayCluster, kill
from tests.faults.conftest import Undisturbed
from tests.faults.harness import begin, begun_after_their_end, epochs, goes_on, results
from tests.sweep.command import User, workers

pytestmark = pytest.mark.slow

KILLS = 5


def test_workers_killed_every_few_epochs_cost_no_number(
    undisturbed: Undisturbed, cluster: RayCluster, user: User
) -> None:
    draw = random.Random(0)
    process = begin(user, "--address", cluster.address, **cluster.environment)
    killed = 0
    while killed < KILLS:
        goes_on(user, process, by=draw.randint(2, 8))
        training = sorted(workers(cluster.pid))
        killed += bool(training) and kill(draw.choice(training))
    done = user.end(process)
    assert done.code == 0, done.out + done.err
    failed = user.events("failed")
    assert len(failed) >= KILLS - 1  # one may have had no trial at that moment
    assert all("its worker died" in event.body["reason"] and event.body["again"] for event in failed)
    assert results(user) == undisturbed.results
    assert begun_after_their_end(user) == []


def test_a_machine_that_dies_costs_no_number_and_another_may_join(
    undisturbed: Undisturbed, cluster: RayCluster, user: User
) -> None:
    draw = random.Random(0)
    process = begin(user, "--address", cluster.address, **cluster.environment)
    user.wait_for(lambda: epochs(user) >= 10 and len(workers(cluster.pid)) == 2, process)
    cluster.kill_node(draw)
    user.wait_for(lambda: len(user.events("failed")) > 0, process)
    assert len(workers(cluster.pid)) == 1
    goes_on(user, process, by=draw.randint(2, 8))
    cluster.raylets.append(cluster.add_node())
    user.wait_for(lambda: len(workers(cluster.pid)) == 2, process)
    done = user.end(process)
    assert done.code == 0, done.out + done.err
    assert results(user) == undisturbed.results
    assert begun_after_their_end(user) == []
