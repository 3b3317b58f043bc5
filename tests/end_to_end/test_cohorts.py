"""`compute: {cohort: 3}`: trials that share Ray's workers, with the numbers that they have alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.command import SMALL, User, workers
from tests.support.undisturbed import undisturbed

pytestmark = pytest.mark.slow(30)

__all__ = ["undisturbed"]

TOGETHER = SMALL + "compute: {cohort: 3, retries: 0}\n"


def test_a_worker_that_dies_with_three_trials_costs_none_of_them_its_only_attempt(
    tmp_path: Path, empty_store: Path, undisturbed: User
) -> None:
    user = User(tmp_path, TOGETHER).given(empty_store)
    plan = user.in_process("plan", "spec.yaml")
    assert plan.code == 0, plan.err
    process = user.start("run", "spec.yaml")

    def together() -> bool:
        """Three that are taught have begun, and one of them has told of an epoch."""
        begun = {event.trial for event in user.events("start") if event.body["label"] not in ("scratch", "teacher")}
        return any(event.trial in begun for event in user.events("epoch"))

    user.wait_for(lambda: together() and bool(workers(process.pid)), process)
    for worker in workers(process.pid):
        os.kill(worker, signal.SIGKILL)
    done = user.end(process)
    failed = [event.body for event in user.events("failed")]
    alone = {event.trial for event in user.events("failed") if not event.body["again"]}
    assert failed, done.out + done.err
    assert {body["state"] for body in failed} == {"worker-died"}
    assert len(alone) <= 1, "scratch, which had a worker to itself"
    assert done.code == len(alone), done.out + done.err
    assert user.sweep("run", "spec.yaml").code == 0
    assert user.numbers() == undisturbed.numbers()
    assert user.leaderboard() == undisturbed.leaderboard()
