"""Commands that are processes as any, forked off one that has imported torch, MLflow and all of ours.

Importing them takes a command longer than most of what a test has it do. Ray and matplotlib are not among what is
imported: they read the command's environment when they are. What Python itself takes from its environment at its start
is the same for all commands of one process that tests, and so is the seed by which it orders sets of words.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

PROBE_SECONDS = 0.02
AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "OMP_", "MKL_", "TORCH", "MLFLOW_")
"""How variables begin that a Python reads at its start, or what is imported here."""
NUMBER = 4
"""Bytes of a number that is told."""
SERVER = """\
import gc, json, os, runpy, signal, socket, sys, threading, warnings

before = dict(os.environ)
import torch
import sweep.cli.app, sweep.divided, sweep.run, trainers.fit, trainers.data.sources.digits
set_by_ours = {name: value for name, value in os.environ.items() if name not in before}

from sweep.tracking.address import quiet_mlflow
quiet_mlflow()
with warnings.catch_warnings(action="ignore"):  # what MLflow and SQLAlchemy say of each other
    import mlflow.store.tracking.sqlalchemy_store
import optuna, pandas, scipy.stats
assert threading.active_count() == 1, threading.enumerate()
assert not {"ray", "matplotlib"} & sys.modules.keys()
gc.collect()
gc.freeze()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
asking = socket.socket(fileno=int(sys.argv[1]))

def run(asked, out, err):
    os.setsid()
    os.chdir(asked["cwd"])
    for number, file in ((1, out), (2, err)):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(set_by_ours | asked["env"])
    sys.path[0] = asked["cwd"]
    sys.argv[1:] = asked["words"]
    sys.orig_argv[1:] = ["-m", asked["module"], *asked["words"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)

def tell(ended, number):
    os.write(ended, number.to_bytes(%(NUMBER)d, "little"))

while asked := socket.recv_fds(asking, %(MOST)d, 3):
    message, (out, err, ended), *_ = asked if asked[0] else sys.exit()
    if os.fork():
        for file in (out, err, ended):
            os.close(file)
        continue
    # This process is there as long as the command is, and says how it has ended.
    asking.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = os.fork()
    if not command:
        os.close(ended)
        run(json.loads(message), out, err)
        sys.exit()
    os.close(out)
    os.close(err)
    tell(ended, command)
    tell(ended, os.waitpid(command, 0)[1])
    os._exit(0)
"""
MOST = 100_000
"""Bytes of what is asked for."""


class Prepared(subprocess.Popen[str]):
    """A command like one that :class:`subprocess.Popen` has started, in a session of its own.

    Args:
        words: the module that is the program, and its arguments.
        cwd: the folder to start in.
        env: all of its environment.
        encoding: of what it prints; None: this process's.
    """

    def __init__(self, words: Sequence[str], cwd: Path, env: Mapping[str, str], encoding: str | None = None) -> None:
        self._asked: dict[str, Any] = {"module": words[0], "words": words[1:], "cwd": str(cwd), "env": dict(env)}
        self._ended = -1
        (out, out_there), (err, err_there) = os.pipe(), os.pipe()
        self._there = out_there, err_there
        super().__init__([sys.executable, "-m", *words], text=True, encoding=encoding)
        self.stdout, self.stderr = (_reading(file, encoding) for file in (out, err))

    def _execute_child(self, *_: Any) -> None:
        """Instead of starting a program."""
        self._ended, ended_there = os.pipe()
        files = (*self._there, ended_there)
        _server(self._asked["env"]).ask(self._asked, files)
        for file in files:
            os.close(file)
        self.pid = self._told()
        self._child_created = True

    def _told(self) -> int:
        told = os.read(self._ended, NUMBER)
        assert len(told) == NUMBER, "the process that commands are forked off has ended"
        return int.from_bytes(told, "little")

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self.returncode is None and _is_readable(self._ended):
            self.returncode = os.waitstatus_to_exitcode(self._told())
            os.close(self._ended)
        return self.returncode

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended. Raises TimeoutExpired after so many seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(PROBE_SECONDS)
        assert self.returncode is not None
        return self.returncode


def _reading(file: int, encoding: str | None) -> TextIO:
    return os.fdopen(file, encoding=encoding)


def _is_readable(file: int) -> bool:
    return bool(select.select([file], [], [], 0)[0])


class Server:
    """The one process that all commands of this one are forked off; it ends with this one."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._here, there = socket.socketpair(type=socket.SOCK_SEQPACKET)
        code = SERVER % {"NUMBER": NUMBER, "MOST": MOST}
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, str(there.fileno())],
                env=env,
                pass_fds=[there.fileno()],
                start_new_session=True,
            )
        atexit.register(self.end)

    def ask(self, asked: Mapping[str, Any], files: Sequence[int]) -> None:
        """Have a command begun, to which the files are handed."""
        with self._lock:
            socket.send_fds(self._here, [json.dumps(asked).encode()], files)

    def end(self) -> None:
        self._here.close()
        self._process.wait()


_servers: list[Server] = []
_making = threading.Lock()


def _server(env: Mapping[str, str]) -> Server:
    with _making:
        if not _servers:
            _servers.append(Server(env))
    return _servers[0]
