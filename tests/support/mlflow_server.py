"""A real MLflow server, to kill."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

from tests.support.ports import free_port

START_SECONDS = 300
"""A server that takes longer is taken for dead."""


class TrackingServer:
    """`mlflow server` on a free port of this machine.

    Args:
        folder: of its database and artifacts.
        store: an empty database, which it need not make.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder = folder
        shutil.copyfile(store, self._database)
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Run it, and wait until it answers."""
        self._log = (self._folder / "server.txt").open("a")
        database = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{self._database}", "PYTHONWARNINGS": "ignore"}
        less = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--artifacts-destination", str(self._folder / "artifacts")]
        self._process = subprocess.Popen(
            command, env=os.environ | database | less, stdout=self._log, stderr=self._log, start_new_session=True
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._folder / "server.txt").read_text())
            time.sleep(0.1)

    def kill(self) -> None:
        """`kill -9` of the server and its workers."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def stored(self) -> int:
        """How many runs and points of metrics the database holds."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            counted = database.execute("SELECT (SELECT COUNT(*) FROM runs) + (SELECT COUNT(*) FROM metrics)")
            return int(counted.fetchone()[0])

    @property
    def _database(self) -> Path:
        return self._folder / "server.db"

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
