"""`sweep ui`: MLflow's own server on the local tracking database, on this machine, for those who have its link."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from sweep.exit_codes import DONE
from sweep.layout import Root
from sweep.text import without_password
from sweep.tracking.address import own_database, quiet_mlflow, tracking_uri
from sweep.tracking.guard import PARAMETER, TOKEN
from sweep.tracking.mlflow_internals import SHARED_VIEW, tagged_experiments
from sweep.tracking.moved import follow
from sweep.tracking.view_state import address
from sweep.tracking.views import TABLE
from trainers.errors import InputError

HOST = "127.0.0.1"
LATEST = 5
"""Sweeps whose tables' addresses are printed."""
TOKEN_BYTES = 24
"""Of a token that is drawn at random."""
FIT = re.compile(r"[A-Za-z0-9_-]{16,}")
"""What a token must be that the user has set."""


def serve(root: Root, given: str | None, port: int) -> int:
    """Run the MLflow server until it is interrupted or terminated; its exit code.

    The server asks every request for a token (:mod:`sweep.tracking.guard`), which stands in the links that are printed.

    Raises:
        InputError: when nothing has been tracked yet, the port is taken, the tracking URI is a server already, or the
            user has set a token that is none.
    """
    uri = tracking_uri(root, given)
    if uri.startswith(("http:", "https:")):
        raise InputError(f"{without_password(uri)} is a server already: open it in a browser")
    if uri.startswith("sqlite:") and given is None and not root.mlflow_database.exists():
        raise InputError(f"nothing has been tracked below {root.path} yet; first: {root.typed('run SPEC')}")
    _check_free(port)
    token = _token()
    if uri == own_database(root):
        _follow(root)
    quiet_mlflow()
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # fewer processes; nothing here uses them
    _tell_addresses(uri, f"http://{HOST}:{port}/?{PARAMETER}={token}")
    # not on the command line, where every user of the machine could read a password in it
    environment = {"MLFLOW_BACKEND_STORE_URI": uri, TOKEN: token, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(_command(root, port), env=os.environ | environment)
    asked = threading.Event()

    def end(number: int, frame: object) -> None:
        asked.set()
        _end(process)

    before = signal.signal(signal.SIGTERM, end)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # a terminal's, which has reached the server too
        process.wait()
        return DONE
    finally:
        signal.signal(signal.SIGTERM, before)
    return DONE if asked.is_set() else code


def _follow(root: Root) -> None:
    """Say where artifacts were looked for, where the root has moved since."""
    for before in follow(root):
        print(f"this root was at {Path(before).parent} before; MLflow's artifacts are found here now", flush=True)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Hand SIGTERM on to the server and to what it has started, which else would keep the port."""
    whole = psutil.Process(server.pid)
    for process in [*whole.children(recursive=True), whole]:
        with suppress(psutil.NoSuchProcess):
            process.terminate()


def _token() -> str:
    """Drawn anew each time, unless the user has set one, so that links stay as they are."""
    given = os.environ.get(TOKEN)
    if given and not FIT.fullmatch(given):
        raise InputError(f"{TOKEN} must have 16 or more letters, digits, '-' or '_', found {len(given)} characters")
    return given or secrets.token_urlsafe(TOKEN_BYTES)


def _tell_addresses(uri: str, link: str) -> None:
    """Print where MLflow's page is, and the tables of the latest sweeps where they can be looked up."""
    print(f"MLflow UI at {link} (Ctrl-C ends it)", flush=True)
    if uri.startswith("sqlite:"):
        for name, page in tables(uri):
            print(f"  {name:20} {link}{page}", flush=True)
    print("a link is a password: whoever has it sees and changes what is tracked, nobody else does", flush=True)


def _command(root: Root, port: int) -> list[str]:
    server = [sys.executable, "-m", "kd_sweep.server", "server"]
    place = ["--host", HOST, "--port", str(port), "--workers", "1"]
    artifacts = ["--artifacts-destination", str(root.artifacts.absolute())]
    return server + place + artifacts + ["--uvicorn-opts", "--log-level warning"]


def tables(uri: str) -> list[tuple[str, str]]:
    """The latest sweeps in a database, by name, each with the address below the server's of its table, which opens on
    the rows and, beside them, a chart of their means a pair."""
    try:
        experiments = tagged_experiments(Path(uri.removeprefix("sqlite:///")), SHARED_VIEW + TABLE, LATEST)
    except sqlite3.DatabaseError:  # not there, or of another release: MLflow's server has a word to say on it
        return []
    return [(name, address(TABLE, experiment, charts=True)) for name, experiment in experiments]


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(f"port {port} cannot be used ({error}); choose another: sweep ui --port N") from error
