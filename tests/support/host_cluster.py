"""A cluster as docs/cluster.md has it without containers, on hosts that share no disk: a head, workers, an object
store, an MLflow server with a login, and somebody elsewhere who hands it sweeps."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import subprocess
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from tests.support import quick_login
from tests.support.command import User
from tests.support.fault_harness import SPEC
from tests.support.host_store import URI, answers, serve
from tests.support.hosts import HOME, REPOSITORY, Host, wait_for
from tests.support.listeners import Listener, listeners
from tests.support.object_store import KEYS
from tests.support.troubled_store import REFUSED

T = TypeVar("T")
WORKERS = ("worker1", "worker2")
NAMES = ("head", "heir", *WORKERS, "store", "mlflow", "elsewhere")
STORE_BYTES = 100_000_000
"""Ray's shared memory on each host."""
SOON_DEAD = {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "2000"}
SOON_DEAD |= {"RAY_health_check_failure_threshold": "4"}
"""A head misses a host that is silent for some seconds; Ray's own settings give it most of a minute."""
HOUR = 3600
TRAINS = "ray::ResourceTrainable"
"""What a worker is called that trains."""
TRACKING = "http://mlflow:5000"


def wrong_clock(host: Host) -> dict[str, str]:
    """What makes the clock of the host's processes an hour fast; nothing where there is no C compiler."""
    if shutil.which("cc") is None:
        return {}
    source, library = REPOSITORY / "tests" / "support" / "clocks.c", HOME / "clocks.so"
    host.ask("cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl")
    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(HOUR)}


class HostCluster:
    """Starts the parts, each on its host.

    Args:
        made: hosts of :data:`NAMES`.
        logs: a folder for what the parts print.
        store: an empty database of MLflow's, which the server need not make.
    """

    def __init__(self, made: dict[str, Host], logs: Path, store: Path) -> None:
        self.hosts, self._logs = made, logs
        self._parts: dict[str, subprocess.Popen[Any]] = {}
        """What was started last on a host."""
        self.token, self.password = secrets.token_hex(32), secrets.token_hex(16)
        self._ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        self._ray |= {"RAY_USAGE_STATS_ENABLED": "0"} | KEYS
        self.login = {"MLFLOW_TRACKING_URI": TRACKING, "MLFLOW_TRACKING_USERNAME": "admin"}
        self.login |= {"MLFLOW_TRACKING_PASSWORD": self.password}
        shutil.copyfile(store, made["mlflow"].outside(HOME / "mlflow.db"))

    def begin(self) -> None:
        """All but the workers."""
        self.start_mlflow()
        self.start_head("head")
        serve(self.hosts["store"], self._logs)
        self._answers("mlflow", 5000)
        self.hosts["mlflow"].within(self._make_logins_quick)

    def _make_logins_quick(self) -> None:
        """The password stays the same; see :mod:`tests.support.quick_login`."""
        with closing(sqlite3.connect(HOME / "login.db")) as database, database:
            assert database.execute(quick_login.statement(self.password)).rowcount == 1

    def start_mlflow(self) -> None:
        ini = f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{HOME}/login.db\n"
        ini += "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        self.hosts["mlflow"].outside(HOME / "login.ini").write_text(ini)
        known = {
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{HOME}/mlflow.db",
            "MLFLOW_AUTH_CONFIG_PATH": f"{HOME}/login.ini",
            "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONWARNINGS": "ignore",
        }
        words = ["mlflow", "server", "--app-name=basic-auth", "--host=0.0.0.0", "--port=5000", "--workers=1"]
        words += [f"--artifacts-destination={HOME}/artifacts", "--allowed-hosts=mlflow:*"]
        self._start("mlflow", *words, **known)

    def start_head(self, name: str) -> None:
        known = self._ray | self.login | SOON_DEAD | {"SWEEP_STORAGE": URI, "SWEEP_ROOT": str(HOME / "runs")}
        words = ["ray", "start", "--head", "--block", "--num-cpus=0", "--dashboard-host=0.0.0.0"]
        self._start(name, *words, f"--object-store-memory={STORE_BYTES}", **known)

    def start_worker(self, name: str, head: str = "head") -> None:
        """A host's part of Ray, which joins a head."""
        self._answers(head, 6379)
        words = ["ray", "start", "--block", f"--address={head}:6379", "--num-cpus=1"]
        self._start(name, *words, f"--object-store-memory={STORE_BYTES}", **self._ray)
        agent = partial(self.hosts[name].processes, "ray::RuntimeEnvAgent")
        wait_for(f"{name} has joined", agent, self._parts[name])

    def ray_of(self, name: str) -> list[int]:
        """The processes of a host's part of Ray."""
        host = self.hosts[name]
        return host.processes("raylet") + host.processes("ray::")

    def _start(self, name: str, *command: str, **known: str) -> None:
        with (self._logs / f"{name}.txt").open("ab") as log:
            self._parts[name] = self.hosts[name].start(
                *command, env=known, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _answers(self, name: str, port: int) -> None:
        """Wait until something on a host takes connections."""
        answers(self.hosts["elsewhere"], name, port, self._parts[name])

    # -- sweeps -------------------------------------------------------------------------------------------------------

    def typed(self, *words: str, head: str = "head") -> str:
        """What a command prints that somebody types elsewhere, who has the token."""
        return self.hosts["elsewhere"].ask(
            "sweep", *words, SWEEP_ADDRESS=f"http://{head}:8265", RAY_AUTH_TOKEN=self.token, **self.login
        )

    def submit(self, head: str = "head") -> None:
        self.hosts["elsewhere"].outside(HOME / "spec.yaml").write_text(SPEC)
        self._answers(head, 8265)
        self.typed("submit", "spec.yaml", head=head)

    def seen(self, look: Callable[[User], T], head: str = "head") -> T:
        """What somebody sees of the sweep who looks at the head's disk."""
        return self.hosts[head].within(lambda: look(User(HOME, SPEC)))

    def trains(self, name: str) -> bool:
        """Whether a trial is trained on a worker at this moment."""
        return bool(self.hosts[name].processes(TRAINS))

    def refused_by_the_store(self) -> int:
        """How many requests it had no room for."""
        return (self._logs / "store.txt").read_text().count(REFUSED)

    # -- doors --------------------------------------------------------------------------------------------------------

    def listeners(self) -> dict[str, list[Listener]]:
        """Who listens, by host; but for the object store, which is none of ours."""
        return {name: listeners(host.pid) for name, host in self.hosts.items() if name != "store"}

    def knock(self, doors: list[str], authorization: str = "", *, known: bool = False) -> dict[str, dict[str, str]]:
        """What each door answers to somebody elsewhere, who is to be let in where `known`."""
        asked = {"authorization": authorization, "known": known, "doors": doors}
        (self._logs / "doors.json").write_text(json.dumps(asked))
        with (self._logs / "doors.json").open() as doors_file:
            process = self.hosts["elsewhere"].start(
                "python", "-m", "tests.support.stranger", stdin=doors_file, stdout=subprocess.PIPE, text=True
            )
            out, _ = process.communicate()
        assert process.returncode == 0
        return dict(json.loads(out))

    @cached_property
    def basic(self) -> str:
        """The header of MLflow's login."""
        return f"Basic {b64encode(f'admin:{self.password}'.encode()).decode()}"
