"""Several runs that divide a sweep, as the folder that they share tells of them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from tests.support.command import LONGEST, SMALL, User

SEARCHED = SMALL.replace(
    "kd, {dhkd: {alpha: [0.5, 2],", "{kd: {temperature: {range: [1, 8]}}}, {dhkd: {alpha: {range: [0.1, 10]},"
)
SEARCHED += "search: {trials: 4, deterministic: true, grace: 2}\n"
"""A search of each of two methods, and two trials beside them."""


@pytest.fixture
def user(empty_store: Path, tmp_path: Path) -> User:
    return User(tmp_path / "a user's").given(empty_store)


def divided(user: User) -> Path:
    return user.root.sweep("small").divided


def owners(user: User) -> dict[str, list[str]]:
    """Who has claimed each trial, one after the other."""
    claims = sorted(path for path in (divided(user) / "claims").glob("[!.]*") if not path.name.startswith("table"))
    found: dict[str, list[str]] = {}
    for path in claims:
        found.setdefault(path.name.rpartition(".")[0], []).append(path.read_text())
    return found


def member(user: User, process: Popen[str]) -> str:
    """The name under which a process claims; empty where it has not begun."""
    for path in (divided(user) / "members").glob("[!.]*.json"):
        if json.loads(path.read_text())["pid"] == process.pid:
            return path.stem
    return ""


def ended(user: User) -> set[str]:
    return {path.stem for path in (divided(user) / "ended").glob("[!.]*.json")}


def trains(user: User, process: Popen[str]) -> list[str]:
    """What a process has claimed and not ended, and has come an epoch further with."""
    name = member(user, process)
    claimed = [key for key, names in owners(user).items() if name and names[-1] == name]
    return [key for key in claimed if key not in ended(user) and begun(user, key)]


def begun(user: User, key: str) -> bool:
    return any((user.root.sweep("small").trial(key) / "checkpoints").glob("epoch-*"))


def wait_until(enough: Callable[[], object], processes: list[Popen[str]]) -> None:
    deadline = time.monotonic() + LONGEST
    while not enough():
        assert time.monotonic() < deadline
        assert None in [process.poll() for process in processes], [process.communicate() for process in processes]
        time.sleep(0.02)


@contextmanager
def standing_still(process: Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def caught(user: User, process: Popen[str]) -> list[str]:
    """What a process has in work while it stands still; it stays so where that is something."""
    process.send_signal(signal.SIGSTOP)
    found = trains(user, process)
    if not found:
        process.send_signal(signal.SIGCONT)
    return found
