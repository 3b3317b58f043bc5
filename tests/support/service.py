"""The whole service on this machine without containers: `compose.yaml`'s own commands and environment.

What is replaced is where things are: names of machines and their ports by free ones of this machine, folders by
temporary ones. What is added lets several Ray nodes share one machine. PostgreSQL is this machine's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.docker.compose import FOLDER, compose
from tests.support import quick_login
from tests.support.command import children, workers
from tests.support.ports import free_ports
from tests.support.postgres import Postgres, programs
from tests.support.ray_cluster import kill

PLAIN = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
"""All that the processes have of this one's environment."""
IMAGE = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""What the image sets."""
START_SECONDS = 600
AGENTS = 4
"""The head's, and those of three workers."""


@dataclass(frozen=True)
class Ports:
    """Free ports of this machine."""

    mlflow: int
    gcs: int
    jobs: int
    client: int
    agents: tuple[int, ...]


class Service:
    """Starts the parts, kills some, and ends them all.

    Args:
        root: below which the sweeps write.
    """

    def __init__(self, root: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="service-"))  # not pytest's: a socket's path has 107 characters
        (self.folder / "ray" / "ray").mkdir(parents=True)
        self.home.mkdir()
        subprocess.run([str(FOLDER / "make-secrets.sh"), str(self.folder / "secrets")], check=True, capture_output=True)
        self._root = root
        mlflow, gcs, jobs, client, *agents = free_ports(4 + AGENTS)
        self._ports = Ports(mlflow, gcs, jobs, client, tuple(agents))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._postgres: Postgres | None = None
        self._services = compose()["services"]

    # -- where things are -------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Of the job server."""
        return f"http://127.0.0.1:{self._ports.jobs}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self._ports.mlflow}"

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text()

    @property
    def home(self) -> Path:
        """The folder that all parts are started in."""
        return self.folder / "home"

    @property
    def token_file(self) -> Path:
        return self.folder / "secrets" / "ray_token"

    # -- start and end ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """PostgreSQL, then MLflow and the head; they are not waited for."""
        found = programs()
        assert found is not None, "no PostgreSQL on this machine, and none as a package"
        settings = self._services["postgres"]["environment"]
        assert settings["POSTGRES_INITDB_ARGS"] == "--auth=scram-sha-256"
        self._postgres = Postgres(found, settings["POSTGRES_USER"], self.secret("postgres_password"))
        self._postgres.create(settings["POSTGRES_DB"])
        self.start("mlflow")
        self.start("head")

    def wait(self, workers: int) -> None:
        """Until MLflow, the head and as many workers answer, which start one after the other: side by side they would
        take so much longer on a busy machine that Ray gives both up."""
        self._come_up(lambda: self.answer(f"{self.address}/") == 200 and self._has(1))
        for number in range(workers):
            self.start("worker", number)
            self._come_up(partial(self._has, 2 + number))
        self.wait_for("mlflow", lambda: self.answer(f"{self.mlflow}/health") == 200)

    def make_logins_quick(self) -> None:
        """The password stays the same; see :mod:`tests.support.quick_login`."""
        assert self._postgres is not None
        database = self._services["postgres"]["environment"]["POSTGRES_DB"]
        assert self._postgres.tell(database, quick_login.statement(self.secret("mlflow_password"))) == "UPDATE 1"

    def _come_up(self, enough: Callable[[], bool]) -> None:
        """Until the parts of Ray are there that have been started. One that ends is started again, as Compose would: on
        a busy machine Ray gives up after half a minute, and at once where a process of its own has not answered it."""
        deadline = time.monotonic() + START_SECONDS
        while not enough():
            for name in [name for name in self._processes if name != "mlflow"]:
                if time.monotonic() > deadline:
                    raise AssertionError(f"not all of Ray is there: {(self.folder / f'{name}.txt').read_text()}")
                if self._processes[name].poll() is not None:
                    _end_session(self._processes[name].pid)
                    role = name.rstrip("0123456789")
                    self.start(role, int(name.removeprefix(role) or 0))
            time.sleep(0.1)

    def _has(self, machines: int) -> bool:
        """Whether so many belong to the cluster."""
        try:
            nodes = json.loads(self.page("/nodes?view=summary"))["data"]["summary"]
        except OSError:  # the head is away, or too busy to answer
            return False
        return sum(node["raylet"].get("state") == "ALIVE" for node in nodes) == machines

    def start(self, role: str, number: int = 0) -> None:
        """A part, by its name in the compose file."""
        own = self._services[role]
        command = [self._here(word) for word in own["command"]] + self._crowded(role, number)
        environment = {name: self._here(value) for name, value in own["environment"].items()}
        place = {"HOME": str(self.home), "RAY_TMPDIR": str(self.folder / "ray")}
        if role == "head":
            place["SWEEP_ROOT"] = str(self._root)
        plain = {name: os.environ[name] for name in PLAIN if name in os.environ}
        plain["PATH"] = f"{Path(sys.executable).parent}:{plain['PATH']}"
        name = f"{role}{number or ''}"
        with (self.folder / f"{name}.txt").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(FOLDER / "entrypoint.sh"), *command],
                cwd=self.home,
                env=plain | IMAGE | place | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """`kill -9` of a part and all that it started, as if its machine had lost its power."""
        process = self._processes.pop(name)
        for pid in [process.pid, *children(process.pid)]:
            kill(pid)
        process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No trial makes a step, however long what is done meanwhile takes."""
        parts = [process.pid for name, process in self._processes.items() if name.startswith("worker")]
        training = [pid for part in parts for pid in workers(part)]
        try:
            _send(training, signal.SIGSTOP)
            yield
        finally:
            _send(training, signal.SIGCONT)

    def close(self) -> None:
        for name in [*self._processes]:
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._postgres is not None:
            self._postgres.close()

    def wait_for(self, name: str, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not enough():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / f"{name}.txt").read_text())
            time.sleep(0.1)

    def pids(self) -> list[int]:
        """All processes of the service but PostgreSQL's."""
        started = [process.pid for process in self._processes.values()]
        return started + [child for pid in started for child in children(pid)]

    def dumped_and_restored(self, dump: Path) -> dict[str, str]:
        """Dump MLflow's database and restore it as another, `restored`; the variables that lead there."""
        assert self._postgres is not None
        self._postgres.dump(self._services["postgres"]["environment"]["POSTGRES_DB"], dump)
        self._postgres.create("restored")
        self._postgres.restore("restored", dump)
        return self._postgres.variables

    # -- asking -----------------------------------------------------------------------------------------------------

    def answer(self, url: str, token: str = "", login: str = "") -> int:
        """The status of a page; 0 where nothing answers."""
        request = urllib.request.Request(url)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if login:
            request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=5) as page:
                return int(page.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def page(self, path: str) -> str:
        """What the job server answers to somebody with the token."""
        request = urllib.request.Request(self.address + path)
        request.add_header("Authorization", f"Bearer {self.secret('ray_token')}")
        with urllib.request.urlopen(request, timeout=5) as page:
            return str(page.read().decode())

    # -- the compose file on this machine ---------------------------------------------------------------------------

    def _here(self, word: str) -> str:
        ports = self._ports
        socket_folder = str(self._postgres.folder) if self._postgres else ""
        for there, here in {
            "http://mlflow:5000": self.mlflow,
            "--port=5000": f"--port={ports.mlflow}",
            "head:6379": f"127.0.0.1:{ports.gcs}",
            "--port=6379": f"--port={ports.gcs}",
            "--dashboard-port=8265": f"--dashboard-port={ports.jobs}",
            "0.0.0.0": "127.0.0.1",
            "/run/secrets": str(self.folder / "secrets"),
            "/artifacts": str(self.folder / "artifacts"),
            "/etc/kd-sweep": str(FOLDER),
        }.items():
            word = word.replace(there, here)
        return socket_folder if word == "postgres" else word

    def _crowded(self, role: str, number: int) -> list[str]:
        """What lets several nodes share this machine, a core for each worker."""
        if role not in ("head", "worker"):
            return []
        agent = self._ports.agents[0 if role == "head" else number + 1]
        common = ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={agent}"]
        common += ["--min-worker-port=0", "--max-worker-port=0"]
        own = [f"--ray-client-server-port={self._ports.client}"] if role == "head" else ["--num-cpus=1"]
        return common + own


def _end_session(leader: int) -> None:
    """Kill what a part that has ended by itself has left, which would be in the way of the next."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == leader:
                kill(int(stat.parent.name))


def _send(pids: list[int], number: signal.Signals) -> None:
    """A signal to those processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
