"""A machine short of memory, where Ray ends the workers."""

from __future__ import annotations

import pytest

from tests.faults.harness import begin
from tests.sweep.command import User

pytestmark = pytest.mark.slow

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


def test_workers_that_ray_ends_for_want_of_memory_are_results_and_not_the_end(user: User) -> None:
    user.write(LONG)
    done = user.end(begin(user, **SHORT))
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.out + done.err
    failed = user.events("failed")
    assert [event.body["again"] for event in failed] == [True, True, False]
    assert {event.body["state"] for event in failed} == {"out-of-memory"}
    assert all("running low on memory" in event.body["reason"] for event in failed)
    assert "1 out-of-memory" in done.out
    assert done.out.count("a smaller recipe.batch_size") == 4  # once an attempt, and in the list at the end
