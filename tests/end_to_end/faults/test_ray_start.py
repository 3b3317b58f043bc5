"""Ray's own processes do not come up in the time that Ray gives them, as happens where a machine is very busy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sweep.engine import session
from tests.support.ray_cluster import wait_until_ended
from trainers.errors import MachineError


@pytest.mark.slow(1)
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
            session._start(start)
        finally:
            survived = other.poll() is None
            other.kill()
    for process in left:
        with process:
            process.wait(timeout=0)
    assert len(left) == 3
    wait_until_ended(grandchildren)
    assert survived
    assert len(caplog.messages) == 2
    assert str(caught.value) == (
        "Ray did not start on this machine, 3 times in a row (Exception: The current node timed out during startup.);"
        " is it too busy with other things? --verbose shows what Ray says. Nothing is lost: the same command tries"
        " again"
    )
