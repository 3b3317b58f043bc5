"""A Ray cluster on this machine, as a process of its own: a head without CPUs, and nodes of one CPU each.

    python -m tests.support.ray_cluster      a line on its input adds a node; the end of its input ends the cluster

It answers with a line of JSON each time.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sweep.engine.ray_internals.processes import fewer_processes
from sweep.engine.session import STARTS
from tests.support.command import LONGEST, children

STORE_BYTES = 100_000_000
"""Shared memory of each node."""
NODES = 2
GOODBYE_SECONDS = 30


class RayCluster:
    """Starts the process below, and kills parts of it."""

    def __init__(self, nodes: int = NODES) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="faults-"))  # not pytest's: a socket's path has 107 characters
        (self._folder / "ray").mkdir()
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        """What a driver needs to be let in."""
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(self._folder), "HOME": str(self._folder)}
        others = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
        self._log = (self._folder / "log.txt").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ray_cluster"],
            env=others | self.environment | quiet,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self.address: str = self._answer()["address"]
        self.raylets = [self.add_node() for _ in range(nodes)]
        """Process numbers of the nodes that are alive."""

    def add_node(self) -> int:
        """Let another node join; its raylet's process number."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._answer()["raylet"])

    def kill_node(self, draw: random.Random) -> None:
        """Kill the raylet of some node, and all that it started: as if the machine had lost its power."""
        raylet = draw.choice(self.raylets)
        self.raylets.remove(raylet)
        for pid in [raylet, *children(raylet)]:
            kill(pid)

    def kill_head(self) -> None:
        """Kill the head's control store; without it the cluster is none, and its other processes go away by and by."""
        (store,) = [pid for pid in children(self.pid) if "gcs_server" in program(pid)]
        kill(store)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        started = children(self.pid)
        try:
            self._process.communicate(timeout=GOODBYE_SECONDS)  # closes its input
        except subprocess.TimeoutExpired:
            for pid in [self.pid, *started]:
                kill(pid)
            self._process.communicate()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the cluster ended: {Path(self._log.name).read_text()}"
        return dict(json.loads(line))


def program(pid: int) -> str:
    """The file that a process runs; nothing for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode()
    except OSError:
        return ""


def wait_until_ended(pids: Iterable[int]) -> None:
    """Until the processes, which were killed or are to end by themselves, have."""
    deadline = time.monotonic() + LONGEST
    while left := {pid: running for pid in pids if (running := program(pid))}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def kill(pid: int) -> bool:
    """`kill -9`; whether the process was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def patiently(start: Callable[[], Any]) -> Any:
    """What is started; again, where Ray gives up after half a minute because the machine is busy with other tests."""
    for _ in range(STARTS - 1):
        try:
            return start()
        except Exception:  # Ray raises no narrower class
            traceback.print_exc()
    return start()


def main() -> None:
    from ray.cluster_utils import Cluster

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints goes to the log
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
    print(json.dumps({"address": cluster.address}), file=answers, flush=True)
    for _ in sys.stdin:
        node = patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
        raylet = node.all_processes["raylet"][0].process.pid
        print(json.dumps({"raylet": raylet}), file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    with fewer_processes(log_reader=False):
        main()
