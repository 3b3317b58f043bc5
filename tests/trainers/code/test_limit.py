"""A user's code that does not end is broken off where it stands."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

import pytest

from tests.support.own import MYKD, Folder
from trainers.code import told
from trainers.code.limit import OverdueError, limited

SHORT = 0.2
LOOPS = f"""{MYKD}
import time, threading

def sleep():
    time.sleep(10**6)

def spin():
    while True:
        pass

def wait():
    threading.Event().wait()

def stubborn():
    try:
        spin()
    except Exception:
        pass

def deaf():
    caught = 0
    while not caught:
        try:
            spin()
        except BaseException:
            caught = 1
    time.sleep(10**6)
"""
STOOD = {
    "sleep": "time.sleep(10**6)",
    "spin": "pass",
    "wait": "threading.Event().wait()",
    "stubborn": "pass",
    "deaf": "time.sleep(10**6)",
}


@pytest.fixture
def module(folder: Folder) -> Any:
    folder.load(one=LOOPS)
    return sys.modules["one"]


@pytest.mark.parametrize("name", STOOD)
def test_it_is_broken_off_and_told_by_its_line(module: Any, folder: Folder, name: str) -> None:
    with pytest.raises(OverdueError) as error, limited(SHORT):
        getattr(module, name)()
    place, _, what = told(error.value).rpartition(": OverdueError: ")
    assert what == "did not end within 0.2 s"
    file, _, line = place.rpartition(":")
    assert file == str(folder.path / "one.py")
    assert LOOPS.splitlines()[int(line) - 1].strip() in (STOOD[name], "while True:")


def test_what_ends_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with limited(SHORT):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before
    with pytest.raises(ZeroDivisionError), limited(SHORT):
        1 / 0  # noqa: B018
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_of_two_limits_the_outer_counts() -> None:
    with pytest.raises(OverdueError, match=r"within 0\.2 s"), limited(SHORT), limited(60):
        time.sleep(60)
    with limited(0), limited(SHORT):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_somebody_else_s_alarm_goes_on() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(OverdueError), limited(SHORT):
            time.sleep(60)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.3
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with limited(30):
            time.sleep(0.05)
        deadline = time.monotonic() + 10
        while not rung and time.monotonic() < deadline:
            time.sleep(0.01)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_another_thread_runs_without_one() -> None:
    ended: list[bool] = []

    def work() -> None:
        with limited(0.01):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_whoever_debugs_may_take_his_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "gettrace", lambda: print)
    with limited(0.02):
        time.sleep(0.1)
