"""A driver that is killed, and run again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.faults.conftest import Undisturbed
from tests.faults.harness import SPEC, begin, begun_after_their_end, epochs, goes_on, kill_driver, results
from tests.sweep.command import LONGEST, User, children
from trainers.checkpoint import KEEP, Checkpoints

pytestmark = pytest.mark.slow

KILLS = 4
EARLY = 4
"""An epoch after which a trial goes on for a while."""
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


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> User:
    """Somebody whose driver was killed while two students were trained."""
    user = User(tmp_path_factory.mktemp("killed"), SPEC)
    process = begin(user)
    user.wait_for(lambda: two_students_in_the_middle(user), process)
    started = children(process.pid)
    kill_driver(user, process)
    deadline = time.monotonic() + LONGEST
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < deadline, "Ray's processes outlive the driver"
        time.sleep(0.05)
    return user


@pytest.fixture
def user(user: User, killed: User) -> User:
    """The same, to do with as one likes."""
    shutil.copytree(killed.root.path, user.root.path)
    return user


def test_a_driver_killed_again_and_again_gives_the_undisturbed_table(undisturbed: Undisturbed, user: User) -> None:
    draw = random.Random(6)
    for _ in range(KILLS - 1):
        begun = len(user.events("plan"))
        process = begin(user)
        if draw.random() < 0.5:  # while it starts
            user.wait_for(lambda: len(user.events("plan")) > begun, process)  # noqa: B023
            time.sleep(draw.uniform(0, LATEST))
        else:
            goes_on(user, process, by=draw.randint(1, 10))
            time.sleep(draw.uniform(0, LATEST / 10))
        kill_driver(user, process)
    assert len({event.trial for event in user.events("interrupted")}) >= KILLS - 2
    done = user.end(begin(user))
    assert done.code == 0, done.out + done.err
    assert results(user) == undisturbed.results
    assert begun_after_their_end(user) == []
    assert user.sweep("sync", "small").code == 0
    client = MlflowClient(f"sqlite:///{user.root.mlflow_database}")
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    started = {event.trial for event in user.events("start")}
    assert sorted(run.data.tags["sweep.key"] for run in runs) == sorted(["sweep", *started])
    pruned = {event.trial for event in user.events("pruned")} - {event.trial for event in user.events("final")}
    assert {run.data.tags["sweep.key"] for run in runs if run.info.status != "FINISHED"} == pruned


def test_torn_checkpoints_cost_an_epoch_and_no_number(undisturbed: Undisturbed, user: User) -> None:
    draw = random.Random(0)
    before = epochs(user)
    torn = checkpoints(user)
    for folder, (_, newest) in torn.items():
        whole = Checkpoints(folder).newest()
        newest.write_bytes(newest.read_bytes()[: draw.randrange(newest.stat().st_size)])
        left = Checkpoints(folder).newest()
        assert whole is not None
        assert left is not None
        assert left["history"] == whole["history"][:-1]
    assert len(torn) == 2
    done = user.end(begin(user, "--verbose"))
    assert done.code == 0, done.out + done.err
    for _, newest in torn.values():
        assert f"{newest.name} is damaged" in done.out + done.err
    assert epochs(user) > before
    assert results(user) == undisturbed.results
    assert begun_after_their_end(user) == []
