"""The sweep that these tests disturb, and what they compare."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

from tests.support.command import Done, User, children
from tests.support.ray_cluster import program

SPEC = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 24, warmup_epochs: 0, samples_per_class: 20, test_per_class: 20}
teachers: {recipe: {samples_per_class: null, epochs: 2}}
pairs: [resnet14 -> resnet8]
methods: [scratch, kd, {dhkd: {alpha: {range: [0.1, 10], log: true}, head: nonlinear}}]
seeds: 2
search: {trials: 4, deterministic: true, grace: 2}
compute: {retries: 20}
tracking: {models: none}
"""
"""A teacher, six trials of the table, and a search of four whose pruner gives some up. It has so many epochs that the
sweep is not at its end before all that is to go wrong has gone wrong."""


def begin(user: User, *options: str, **environment: str) -> subprocess.Popen[str]:
    return user.start("run", "spec.yaml", *options, **environment)


def epochs(user: User) -> int:
    """How many epochs the ledger has."""
    return len(user.events("epoch")) if user.root.sweep("small").ledger.exists() else 0


def goes_on(user: User, process: subprocess.Popen[str], by: int) -> None:
    """Wait until the sweep has so many more epochs."""
    goal = epochs(user) + by
    user.wait_for(lambda: epochs(user) >= goal, process)


def kill_driver(user: User, process: subprocess.Popen[str]) -> Done:
    os.kill(process.pid, signal.SIGKILL)
    return user.end(process)


def raylets(driver: int) -> list[int]:
    """Those of a Ray of the driver's own."""
    return [pid for pid in children(driver) if Path(program(pid)).name == "raylet"]


def results(user: User) -> str:
    """All that must be the same whatever happened on the way: the table byte for byte, and every epoch's numbers."""
    done = user.in_process("leaderboard", "small", "--format", "json")
    assert done.code == 0, done.err
    lines = [json.dumps([*where, numbers], sort_keys=True) for where, numbers in sorted(user.numbers().items())]
    return "\n".join([done.out, *lines])


def begun_after_their_end(user: User) -> list[str]:
    """Trials that were started although they had ended for good, or whose end was noted twice."""
    ended: Counter[str] = Counter()
    wrong = []
    for event in user.events("start", "final"):
        trial = event.trial or ""
        if trial in ended:
            wrong.append(f"{event.kind} {trial}")
        if event.kind == "final":
            ended[trial] += 1
    return wrong
