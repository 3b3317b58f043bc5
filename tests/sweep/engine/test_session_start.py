"""What Ray is given when a session starts, and how it is left; tests/sweep/engine/test_session.py starts one."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._common.utils import load_class
from ray.exceptions import AuthenticationError

from kd_sweep import find_ours_first
from sweep.engine.ray_internals.settings import NO_MEMORY_MONITOR
from sweep.engine.session import environment, put_back, session
from sweep.layout import Root
from trainers.errors import InputError
from trainers.process import WORKER_ENVIRONMENT

CREDENTIALS = {
    "MLFLOW_TRACKING_URI": "https://me:hidden@there:5000",
    "MLFLOW_TRACKING_USERNAME": "hidden",
    "MLFLOW_TRACKING_PASSWORD": "hidden",
    "MLFLOW_TRACKING_TOKEN": "hidden",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH": "/hidden.pem",
    "MLFLOW_BACKEND_STORE_URI": "postgresql://me:hidden@there/db",
}
CLUSTER = "ray-head:6379"
(MONITOR,) = NO_MEMORY_MONITOR


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What Ray was started with, each time; nothing starts."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "init", lambda **options: calls.append(options))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield calls


def begun(address: str | None, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The options of one session's start."""
    with session(address, verbose=False):
        (options,) = calls
    return options


@pytest.mark.parametrize("address", [None, CLUSTER])
def test_workers_find_our_packages_before_they_take_up_the_drivers_folder(
    address: str | None, started: list[dict[str, Any]]
) -> None:
    """tests/end_to_end/test_own_modules.py has such a folder; this is how Ray finds what it calls in a worker."""
    hook = begun(address, started)["runtime_env"]["worker_process_setup_hook"]
    assert load_class(hook) is find_ours_first


@pytest.mark.parametrize("address", [None, CLUSTER])
def test_workers_see_nothing_of_mlflows_address_and_credentials(
    address: str | None, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine they inherit the driver's environment but for what Ray is told of it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    told = begun(address, started)["runtime_env"]["env_vars"]
    seen = {name: value for name, value in (os.environ | told).items() if value}
    assert seen.keys() & CREDENTIALS.keys() == set()
    assert [name for name, value in seen.items() if "hidden" in value] == []


@pytest.mark.parametrize("address", [None, CLUSTER])
def test_workers_get_what_makes_them_fast_but_for_what_the_user_has_set(
    address: str | None, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in WORKER_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    own = {"MALLOC_TRIM_THRESHOLD_": "2000000", "SWEEP_CACHE": "/cache"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    told = begun(address, started)["runtime_env"]["env_vars"]
    expected = WORKER_ENVIRONMENT | own
    assert {name: told.get(name) for name in expected} == expected


def test_a_ray_of_our_own_is_local_and_has_no_dashboard(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever cluster the environment names."""
    monkeypatch.setenv("RAY_ADDRESS", CLUSTER)
    options = begun(None, started)
    assert options["address"] == "local"
    assert options["include_dashboard"] is False


def test_ray_s_files_lie_in_a_folder_that_only_we_may_enter(started: list[dict[str, Any]]) -> None:
    """Ray opens its own to all users. Ray Tune's lies beside that, with pickles in it."""
    with session(None, verbose=False) as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert Path(started[0]["_temp_dir"]).parent == folder


def test_a_ray_of_our_own_takes_no_more_cores_than_it_was_given(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.session.cores", lambda: 5)
    assert begun(None, started)["num_cpus"] == 5


@pytest.mark.parametrize(
    ("limit", "before", "right"),
    [(None, {}, None), (2**30, {}, "0"), (2**30, {MONITOR: "250"}, "250")],
    ids=["machine", "job", "job-of-one-who-knows-better"],
)
def test_ray_does_not_watch_the_memory_of_a_machine_that_a_job_shares(
    limit: int | None, before: dict[str, str], right: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.session.job_memory", lambda: limit)
    others = {name: value for name, value in os.environ.items() if name != MONITOR}
    monkeypatch.setattr(os, "environ", others | before)
    with put_back():
        environment(Root(tmp_path), verbose=False, address=None)
        assert os.environ.get(MONITOR) == right
    assert os.environ.get(MONITOR) == before.get(MONITOR)


def test_a_cluster_is_joined_at_its_address(started: list[dict[str, Any]]) -> None:
    """With no settings of a head: Ray refuses them where a cluster is running already."""
    options = begun(CLUSTER, started)
    assert options["address"] == CLUSTER
    assert options.keys() & {"include_dashboard", "object_store_memory", "num_cpus"} == set()


def test_a_python_that_ray_cannot_start_is_refused_at_once(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers' command is taken apart at spaces, and Ray would try again for ever."""
    monkeypatch.setattr(sys, "executable", "/home/me/my papers/.venv/bin/python")
    with (
        pytest.raises(InputError, match=r"a space in it \(/home/me/my papers/\.venv/bin/python\)"),
        session(None, verbose=False),
    ):
        pass
    assert started == []
    begun(CLUSTER, started)  # whose workers have a Python of their own


class Cycle:
    """Garbage that only the collector frees, such as Ray Tune leaves, with references to objects of Ray's in it."""

    def __init__(self) -> None:
        self.me = self


def test_no_thread_collects_garbage_while_ray_goes_down(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference of Ray's that is freed in that moment would end the process without a word."""
    seen = []
    before = weakref.ref(Cycle())

    def shutdown() -> None:
        during = weakref.ref(Cycle())
        with ThreadPoolExecutor(1) as other:
            other.submit(lambda: [[] for _ in range(100_000)]).result()
        seen.append((before(), during() is not None))

    monkeypatch.setattr(ray, "shutdown", shutdown)
    begun(None, started)
    assert seen == [(None, True)]
    assert gc.isenabled()


def test_all_runs_of_a_process_have_one_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads it once: with another one its own head would not let a second Ray of this process in."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    tokens = set()
    for _ in range(2):
        environment(Root(tmp_path), verbose=False, address=None)
        tokens.add(os.environ["RAY_AUTH_TOKEN"])
    assert [len(token) for token in tokens] == [64]


@pytest.mark.parametrize("before", [{}, {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "a cluster's"}])
def test_the_token_of_a_ray_that_has_ended_stays_in_no_environment(
    before: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {name: value for name, value in os.environ.items() if name not in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    monkeypatch.setattr(os, "environ", others | before)
    with pytest.raises(KeyboardInterrupt), put_back():
        environment(Root(tmp_path), verbose=False, address=None)
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        raise KeyboardInterrupt
    assert {name: os.environ[name] for name in os.environ if name.startswith("RAY_AUTH")} == before
    assert "RAY_prestart_worker_first_driver" not in os.environ


@pytest.mark.slow(1)
def test_a_cluster_that_lets_nobody_in_wants_a_token_or_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads its token once: a process that has run a Ray of its own has no other for a cluster."""

    def refused(**options: Any) -> None:
        raise AuthenticationError("no")

    monkeypatch.setattr(ray, "init", refused)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    token = cache(lambda: "own")
    monkeypatch.setattr("sweep.engine.session._own_token", token)
    with pytest.raises(InputError, match="it wants its token"), session(CLUSTER, verbose=False):
        pass
    token()
    with pytest.raises(InputError, match="join the cluster from another process"), session(CLUSTER, verbose=False):
        pass


@pytest.mark.parametrize(("address", "deaf"), [(None, True), (CLUSTER, False)])
def test_processes_of_a_ray_of_our_own_do_not_hear_sigterm_and_this_one_does(
    address: str | None, deaf: bool, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch system sends it to all of a job's processes at once; what a process blocks, those that it starts do."""
    blocked: list[bool] = []

    def init(**options: Any) -> None:
        blocked.append(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    monkeypatch.setattr(ray, "init", init)
    with session(address, verbose=False):
        assert blocked == [deaf]
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
