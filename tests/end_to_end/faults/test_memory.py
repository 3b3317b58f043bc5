"""A machine so busy that Ray starts late, and so short of memory that Ray ends the workers."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.command import User
from tests.support.fault_harness import begin, raylets
from tests.support.ray_cluster import wait_until_ended

pytestmark = pytest.mark.slow(100)

LONG = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 1000, warmup_epochs: 0}
pairs: [resnet14 -> resnet8]
methods: [scratch]
baseline: scratch
seeds: 1
compute: {retries: 2}
"""
"""A trial that does not end by itself."""
SHORT = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "4000"}
"""Ray looks every four seconds, and takes a thousandth of the memory for all there is."""


def test_a_ray_that_starts_late_and_ends_workers_for_want_of_memory_is_not_the_end(user: User) -> None:
    user.write(LONG)
    process = begin(user, **SHORT)
    user.wait_for(lambda: len(raylets(process.pid)) == 1, process)
    (first,) = raylets(process.pid)
    os.kill(first, signal.SIGSTOP)  # it is there, and does nothing, as where a machine is very busy
    user.wait_for(lambda: raylets(process.pid) not in ([], [first]), process)
    wait_until_ended([first])
    done = user.end(process)
    assert done.err.count("Ray did not start and is started anew (") == 1
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.out + done.err, done.out + done.err
    failed = user.events("failed")
    assert [event.body["again"] for event in failed] == [True, True, False]
    assert {event.body["state"] for event in failed} == {"out-of-memory"}
    assert all("running low on memory" in event.body["reason"] for event in failed)
    assert "1 out-of-memory" in done.out
    assert done.out.count("a smaller recipe.batch_size") == 4  # once an attempt, and in the list at the end
