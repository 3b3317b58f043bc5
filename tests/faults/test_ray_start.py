"""Ray's own processes do not come up in the time that Ray gives them, as happens where a machine is very busy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep import machines
from tests.faults.cluster import program
from tests.sweep.command import User, children
from trainers.errors import MachineError

SPEC = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 1, warmup_epochs: 0, samples_per_class: 20}
pairs: [resnet8 -> resnet8]
methods: [scratch]
seeds: 1
tracking: {models: none}
"""


def raylets(driver: int) -> list[int]:
    return [pid for pid in children(driver) if Path(program(pid)).name == "raylet"]


@pytest.mark.slow
def test_a_ray_that_does_not_come_up_is_started_anew(user: User) -> None:
    user.write(SPEC)
    process = user.start("run", "spec.yaml")
    while not raylets(process.pid):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (first,) = raylets(process.pid)
    os.kill(first, signal.SIGSTOP)  # it is there, and does nothing

    done = user.end(process)
    assert done.code == 0, done.out + done.err
    assert done.err.count("Ray did not start and is started anew (") == 1
    assert not program(first)
    assert {event.body["state"] for event in user.events("final")} == {"finished"}


def test_a_ray_that_never_comes_up_is_one_message_and_leaves_no_process(caplog: pytest.LogCaptureFixture) -> None:
    left: list[subprocess.Popen[str]] = []

    def start() -> None:
        code = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
        left.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True))
        assert left[-1].stdout is not None
        grandchildren.append(int(left[-1].stdout.readline()))
        raise Exception("The current node timed out during startup.\nThis could happen because …")

    grandchildren: list[int] = []
    with subprocess.Popen(["sleep", "600"]) as other, pytest.raises(MachineError) as caught:
        try:
            machines._start(start)
        finally:
            survived = other.poll() is None
            other.kill()
    for process in left:
        with process:
            process.wait(timeout=0)
    assert len(left) == 3
    assert not any(program(pid) for pid in grandchildren)
    assert survived
    assert len(caplog.messages) == 2
    assert str(caught.value) == (
        "Ray did not start on this machine, 3 times in a row (Exception: The current node timed out during startup.);"
        " is it too busy with other things? --verbose shows what Ray says. Nothing is lost: the same command tries"
        " again"
    )
