"""A Ray of our own lets nobody in who does not belong to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import made_once
from trainers import process

pytestmark = pytest.mark.slow(1)
TOLD = "told.json"

INSIDE = """
import json, os, subprocess, sys
from pathlib import Path

from sweep.engine.session import environment, session
from sweep.layout import Root
from tests.support.command import children
from trainers.process import WORKER_ENVIRONMENT

root = Root(Path("runs"))
environment(root, verbose=False, address=None)
token = os.environ["RAY_AUTH_TOKEN"]
import ray

def files(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

def holds(path):
    try:
        return token.encode() in path.read_bytes()
    except FileNotFoundError:  # a process that has ended
        return False

def words(path):
    return path.read_text().split("\\0") if path.exists() else []

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # as a job of a cluster is
with session(None, verbose=False) as temporary:
    @ray.remote
    def ask():
        return os.environ.get("RAY_AUTH_TOKEN") == token
    @ray.remote
    def settings(names):
        return {name: os.environ.get(name) for name in names}
    told = {"worker": ray.get(ask.remote()), "length": len(token)}
    told["settings"] = ray.get(settings.remote(list(WORKER_ENVIRONMENT)))
    processes = children(os.getpid())
    commands = [Path(f"/proc/{pid}/cmdline") for pid in [os.getpid(), *processes]]
    told["processes"] = len(processes)
    told["cores"] = ray.cluster_resources()["CPU"]
    told["programs"] = sorted(Path(word).name for path in commands for word in words(path)[:3])
    told["commands"] = [str(path) for path in commands if holds(path)]
    told["looked"] = len(files(temporary, root.path))
    told["files"] = [str(path) for path in files(temporary, root.path) if holds(path)]
    address = ray.get_runtime_context().gcs_address
    outside = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    told["strangers"] = {}
    for name, known in {"none": {}, "wrong": {"RAY_AUTH_TOKEN": "0" * 64}, "ours": {"RAY_AUTH_TOKEN": token}}.items():
        mode = {"RAY_AUTH_MODE": "token"} if known else {"RAY_AUTH_MODE": "disabled"}
        command = [sys.executable, "-c", f"import ray; ray.init('{address}', log_to_driver=False)"]
        told["strangers"][name] = subprocess.run(
            command, env=outside | known | mode, capture_output=True, timeout=120
        ).returncode
print("TOLD", json.dumps(told))
"""

OWN = {"MALLOC_TRIM_THRESHOLD_": "2000000"}
"""What the user has set."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a driver sees of its own Ray."""
    folder = made_once(tmp_path_factory, "own-ray", look)
    return dict(json.loads((folder / TOLD).read_text()))


def look(folder: Path) -> None:
    """Write down what a driver sees that runs in the folder."""
    folder.mkdir()
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
    done = subprocess.run(
        [sys.executable, "-c", INSIDE],
        cwd=folder,
        env=plain | OWN | {"PYTHONPATH": str(Path(__file__).parents[3]), "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "home").exists()  # Ray writes a token there where it is given none
    (folder / TOLD).write_text(done.stdout.partition("TOLD ")[2])


@pytest.mark.slow(60)
def test_driver_and_workers_share_a_token_that_stands_nowhere_else(told: dict[str, Any]) -> None:
    assert told["worker"]
    assert told["length"] == 64
    assert told["processes"] > 3
    assert told["looked"] > 10
    assert told["commands"] == []
    assert told["files"] == []


def test_nothing_is_started_that_no_sweep_uses(told: dict[str, Any]) -> None:
    programs = set(told["programs"])
    assert programs >= {"gcs_server", "raylet", "node_agent.py"}
    assert not any("DashboardAgent" in program for program in programs)
    assert not programs & {"dashboard.py", "monitor.py", "log_monitor.py"}


def test_a_ray_of_our_own_has_the_cores_that_this_process_was_given(told: dict[str, Any]) -> None:
    """Ray by itself counts the machine's."""
    assert told["cores"] == 1


def test_workers_have_what_makes_them_fast_but_for_what_the_user_has_set(told: dict[str, Any]) -> None:
    assert told["settings"] == process.WORKER_ENVIRONMENT | OWN


def test_who_has_no_token_is_not_let_in(told: dict[str, Any]) -> None:
    strangers = told["strangers"]
    assert strangers["ours"] == 0
    assert strangers["none"] != 0
    assert strangers["wrong"] != 0
