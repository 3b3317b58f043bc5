"""A driver that is killed, and run again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.end_to_end.faults.conftest import Undisturbed
from tests.support.command import User, children
from tests.support.fault_harness import begin, begun_after_their_end, kill_driver, results
from tests.support.ray_cluster import wait_until_ended
from tests.support.tracked import client_of
from trainers.storage.checkpoint import KEEP, Checkpoints

pytestmark = pytest.mark.slow(190)

EARLY = 16
"""An epoch after which a trial goes on for a while: it has 24."""
LATEST = 3.0
"""Seconds after the moment that is waited for, at most, in which the driver is killed."""


def checkpoints(user: User) -> dict[Path, list[Path]]:
    """Of each trial that has some, by folder; the newest last."""
    found = {folder: sorted(folder.glob("epoch-*.pt")) for folder in user.root.sweep("small").folder.glob("trials/*/*")}
    return {folder: files for folder, files in found.items() if files}


def two_students_in_the_middle(user: User) -> bool:
    """Whether the teacher is ready, and the two trials that run have all the checkpoints that are kept."""
    ready = any("teacher" in event.body for event in user.events("final"))
    newest = [int(files[-1].name.split("-")[1]) for files in checkpoints(user).values() if len(files) == KEEP]
    return ready and len(newest) == 2 and max(newest) <= EARLY


def tear(user: User) -> list[Path]:
    """Cut off a part of every trial's newest checkpoint; those files."""
    draw = random.Random(0)
    torn = checkpoints(user)
    for folder, (_, newest) in torn.items():
        whole = Checkpoints(folder).newest()
        newest.write_bytes(newest.read_bytes()[: draw.randrange(newest.stat().st_size)])
        left = Checkpoints(folder).newest()
        assert whole is not None
        assert left is not None
        assert left["history"] == whole["history"][:-1]
    return [newest for _, newest in torn.values()]


def test_a_driver_killed_twice_and_torn_checkpoints_give_the_undisturbed_table(
    undisturbed: Undisturbed, user: User
) -> None:
    process = begin(user)
    user.wait_for(lambda: two_students_in_the_middle(user), process)
    started = children(process.pid)
    kill_driver(user, process)
    wait_until_ended(started)

    begun = len(user.events("sweep"))
    process = begin(user)
    user.wait_for(lambda: len(user.events("sweep")) > begun, process)
    time.sleep(random.Random(6).uniform(0, LATEST))  # while Ray starts
    kill_driver(user, process)

    torn = tear(user)  # costs an epoch, and no number
    assert len(torn) == 2
    done = user.end(begin(user, "--verbose"))
    for newest in torn:
        assert f"{newest.name} is damaged" in done.out + done.err
    assert done.code == 0, done.out + done.err
    assert len({event.trial for event in user.events("interrupted")}) >= 2
    assert results(user) == undisturbed.results
    assert begun_after_their_end(user) == []
    assert user.sweep("sync", "small").code == 0
    client = client_of(f"sqlite:///{user.root.mlflow_database}")
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    begun_ever = {event.trial for event in user.events("start")}
    assert sorted(run.data.tags["sweep.key"] for run in runs) == sorted(["sweep", *begun_ever])
    pruned = {event.trial for event in user.events("pruned")} - {event.trial for event in user.events("final")}
    assert {run.data.tags["sweep.key"] for run in runs if run.info.status != "FINISHED"} == pruned
