"""The small scripts that run in place of Ray's do what Ray's would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import _raylet

from sweep.engine.ray_internals import node_agent, worker_start
from sweep.engine.ray_internals.processes import AGENT, SETUP, lighter
from tests.support.division import wait_until
from tests.support.ray_cluster import program, wait_until_ended

RAY_SETUP = Path(ray.__file__).parent / SETUP
TELL = "import json, os, sys; print(json.dumps([sys.executable, sys.argv[1:], dict(os.environ)]))"
VARIABLES = {"A_WORD": "it's", "A_LIST": 'a "b" \\ c\n', "EMPTY": ""}
PART = {"command_prefix": [], "env_vars": {}, "py_executable": sys.executable}


def become(script: list[str], worker: Path, context: dict[str, Any]) -> Any:
    """What a worker finds."""
    asked = [f"{worker_start.CONTEXT}{json.dumps(context)}", worker_start.LANGUAGE]
    done = subprocess.run(
        [sys.executable, *script, str(worker), "--port=1", "a b", "$HOME", *asked],
        env=os.environ | {"KNOWN": "known"},
        capture_output=True,
        text=True,
        check=True,
    )
    executable, arguments, environment = json.loads(done.stdout)
    return executable, arguments, {name: value for name, value in environment.items() if name not in ("_", "SHLVL")}


@pytest.mark.slow(2)
@pytest.mark.parametrize(
    "context",
    [
        pytest.param(PART | {"env_vars": VARIABLES}, id="variables"),
        pytest.param(PART, id="nothing"),
        pytest.param(PART | {"env_vars": {"MORE": "${KNOWN}:more:${UNKNOWN}"}}, id="of others"),
        pytest.param(PART | {"command_prefix": ["A_PREFIX=1"]}, id="a prefix"),
    ],
)
def test_a_worker_finds_what_ray_s_own_script_gives_it(context: dict[str, Any], tmp_path: Path) -> None:
    worker = tmp_path / "tell.py"
    worker.write_text(TELL)
    theirs = become([str(RAY_SETUP)], worker, context)
    assert become([worker_start.__file__, str(RAY_SETUP)], worker, context) == theirs
    assert theirs[1] == ["--port=1", "a b", "$HOME"]


@pytest.mark.parametrize(
    ("context", "here"),
    [
        (PART | {"env_vars": VARIABLES}, True),
        (PART | {"env_vars": {"MORE": "$KNOWN"}}, False),
        (PART | {"command_prefix": ["A_PREFIX=1"]}, False),
        (PART | {"something_new": 1}, False),
    ],
)
def test_what_it_does_not_know_it_leaves_to_ray(context: dict[str, Any], here: bool) -> None:
    asked = [f"{worker_start.CONTEXT}{json.dumps(context)}", worker_start.LANGUAGE]
    assert (worker_start.command(["program.py", *asked]) is not None) == here
    assert worker_start.command(["program.py", asked[0], "--language=JAVA"]) is None
    assert worker_start.command(["program.py", asked[1]]) is None


def test_an_agent_says_that_it_listens_nowhere_and_ends_with_its_node(tmp_path: Path) -> None:
    """A shell stands for the node; the files are those that Ray looks for, named for the node."""
    node_id = "0f" * 28
    command = [sys.executable, node_agent.__file__, f"--node-id={node_id}", f"--session-dir={tmp_path}", "--head"]
    start = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); sys.stdin.read()"
    written = {tmp_path / _raylet.get_port_filename(node_id, port) for port in node_agent.PORTS}
    with subprocess.Popen(
        [sys.executable, "-c", start, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdout is not None
        agent = int(node.stdout.readline())
        wait_until(lambda: set(tmp_path.iterdir()) == written, [node])
        assert {file.read_text() for file in written} == {"-1"}
        assert program(agent) == sys.executable
        node.kill()
    wait_until_ended([agent])


def test_the_ports_are_those_that_ray_asks_for() -> None:
    names = (
        _raylet.METRICS_AGENT_PORT_NAME,
        _raylet.METRICS_EXPORT_PORT_NAME,
        _raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME,
    )
    assert names == node_agent.PORTS


@pytest.mark.parametrize("folder", ["/opt/python", "/opt/my python"])
def test_a_node_s_command_names_the_small_scripts(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__file__", f"{folder}/ray/__init__.py")

    def quoted(*words: str) -> str:
        return subprocess.list2cmdline(words)

    agent, setup = f"{folder}/ray/{AGENT}", f"{folder}/ray/{SETUP}"
    worker = f"--python_worker_command={quoted('python', setup, 'worker.py')}"
    assert lighter(f"--dashboard_agent_command={quoted('python', '-u', agent, '--x=1')}") == (
        f"--dashboard_agent_command={quoted('python', '-u', node_agent.__file__, '--x=1')}"
    )
    assert lighter(worker) == f"--python_worker_command={quoted('python', worker_start.__file__, setup, 'worker.py')}"
    assert lighter("--node_id=1") == "--node_id=1"
