"""The `sweep` command as a user runs it: in a process of its own, in an empty folder."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from sweep.cli import main
from sweep.layout import Root
from sweep.ledger.store import Event, Kind, Ledger
from tests.support.prepared import AT_START, Prepared
from trainers.result import EpochResult

LONGEST = 600
"""Seconds after which a command is taken for hanging."""

SMALL = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 4, warmup_epochs: 0, samples_per_class: 20, test_per_class: 20}
teachers: {recipe: {samples_per_class: null, epochs: 2}}
pairs: [resnet14 -> resnet8]
methods: [scratch, kd, {dhkd: {alpha: [0.5, 2], head: nonlinear}}]
seeds: 2
tracking: {models: none}
"""
"""A real sweep of nine trials that takes seconds, less Ray's start."""


PROGRAM = "sweep.cli"
TYPED = ("-m", PROGRAM)
"""What Python runs for `sweep` where somebody types it."""
STORE = "mlflow.db"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first of all processes that test makes, and all share.

    Args:
        factory: of temporary folders.
        name: the folder's.
        make: fills the folder, which is not there yet.
    """
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    made = folder.with_suffix(".made")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one who failed
            make(folder)
            made.touch()
    return folder


def empty_store(factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow made and nothing has been written to; making one takes seconds, copying it none."""

    def make(folder: Path) -> None:
        folder.mkdir()
        open_store(folder / STORE)

    return made_once(factory, "empty-store", make) / STORE


def open_store(path: Path) -> None:
    """Have MLflow open a database, which it makes where there is none; quietly, also while it is imported."""
    from sweep.tracking.address import quiet_mlflow

    quiet_mlflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow and SQLAlchemy say of each other
        from mlflow import MlflowClient

        MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()


def repeated(epoch: dict[str, Any]) -> dict[str, Any]:
    """Those of an epoch's numbers that must repeat digit by digit: by which two results of one are equal."""
    cost = {field.name for field in fields(EpochResult) if not field.compare}
    return {name: number for name, number in epoch.items() if name not in cost}


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


class User:
    """A folder with a spec in it, and somebody who types `sweep …` there."""

    def __init__(self, folder: Path, spec: str = SMALL) -> None:
        self.folder = folder
        self.program: tuple[str, ...] = ()
        """What Python runs for `sweep`; nothing: a module, in a fork of a process that has imported most of it."""
        self.module = PROGRAM
        self.encoding: str | None = None
        """Of what a command prints; None: the test's own."""
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.write(spec)

    def write(self, spec: str) -> None:
        (self.folder / "spec.yaml").write_text(spec)

    def given(self, store: Path) -> User:
        """With a database of MLflow's, which they need not make, below the root."""
        self.root.path.mkdir(exist_ok=True)
        shutil.copyfile(store, self.root.mlflow_database)
        return self

    @property
    def root(self) -> Root:
        return Root(self.folder / "runs")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Begin a command in a process group of its own."""
        if not self.program and not any(name.startswith(AT_START) for name in environment):
            return Prepared([self.module, *arguments], self.folder, self.environment() | environment, self.encoding)
        return subprocess.Popen(
            [sys.executable, *(self.program or ("-m", self.module)), *arguments],
            cwd=self.folder,
            env=self.environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding=self.encoding,
            start_new_session=True,
        )

    def environment(self) -> dict[str, str]:
        """Of a command: this process's, less what is set for Ray and MLflow, and a home of its own."""
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_", "MLFLOW_"))
        }
        return inherited | {"HOME": str(self.home)}

    def end(self, process: subprocess.Popen[str]) -> Done:
        """Wait for a command; one that hangs is killed with all that it started."""
        try:
            out, err = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"still running after {LONGEST} s\n{out}\n{err}") from None
        return Done(process.returncode, out, err)

    def sweep(self, *arguments: str, **environment: str) -> Done:
        """Run a command to its end."""
        return self.end(self.start(*arguments, **environment))

    def in_process(self, *arguments: str, **environment: str) -> Done:
        """The same in this process, which has imported torch and MLflow: most of what a short command takes.

        For commands without Ray and without code of the user's, where it is not the process that is tested.
        """
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            patch.dict(os.environ, self.environment() | environment, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as end,
        ):
            main(list(arguments))
        return Done(int(end.value.code or 0), out.getvalue(), err.getvalue())

    def events(self, *kinds: Kind, name: str = "small") -> list[Event]:
        with closing(Ledger(self.root.sweep(name).ledger)) as ledger:
            return list(ledger.events(*kinds))

    def numbers(self, name: str = "small") -> dict[tuple[str, int], dict[str, Any]]:
        """Every epoch's numbers that must repeat digit by digit, by trial and epoch."""
        return {
            (event.trial or "", event.epoch or 0): repeated(event.body) for event in self.events("epoch", name=name)
        }

    def leaderboard(self, name: str = "small") -> list[dict[str, Any]]:
        done = self.in_process("leaderboard", name, "--format", "json")
        assert done.code == 0, done.err
        return list(json.loads(done.out))

    def wait_for(self, enough: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Until `enough`, or until the command has ended (which is then shown)."""
        deadline = time.monotonic() + LONGEST
        while not (self.root.sweep("small").ledger.exists() and enough()):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"ended too early: {process.communicate()}")
            time.sleep(0.05)


def children(pid: int) -> list[int]:
    """All living descendants of a process."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, look = [], [pid]
    while look:
        below = parents.get(look.pop(), [])
        found += below
        look += below
    return found


def workers(pid: int) -> list[int]:
    """The Ray workers below a driver that are running a trial."""
    found = []
    for child in children(pid):
        try:
            title = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"TrialTrainable" in title or b"ResourceTrainable" in title:
            found.append(child)
    return found
