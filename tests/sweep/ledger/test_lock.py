"""One driver per sweep."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from sweep.ledger import lock
from trainers.errors import BusyError, InputError, StorageError

HOLDER = """
import sys, time
from pathlib import Path
from sweep.ledger import lock

with lock.exclusive(Path(sys.argv[1]), "sweep 'a'"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock; it is killed at the end."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweeps" / "a" / "run.lock"


def test_a_second_driver_is_refused_and_told_who_holds_the_lock(path: Path) -> None:
    with (
        held_elsewhere(path) as process,
        pytest.raises(BusyError) as refused,
        lock.exclusive(path, "sweep 'a'"),
    ):
        raise AssertionError("two holders")
    found = re.fullmatch(
        r"sweep 'a' is already running: process (\d+) on (\S+), since (\S+?)\. Wait for it, or stop it first",
        str(refused.value),
    )
    assert found is not None, str(refused.value)
    assert int(found[1]) == process.pid
    assert found[2] == socket.gethostname()
    assert datetime.fromisoformat(found[3]).tzinfo is not None
    assert isinstance(refused.value, InputError)


def test_the_same_process_cannot_hold_it_twice(path: Path) -> None:
    with (
        lock.exclusive(path, "sweep 'a'"),
        pytest.raises(BusyError, match=f"process {os.getpid()} "),
        lock.exclusive(path, "sweep 'a'"),
    ):
        raise AssertionError("two holders")


def test_two_sweeps_do_not_wait_for_each_other(path: Path) -> None:
    other = path.parent.with_name("b") / path.name
    with lock.exclusive(path, "sweep 'a'"), lock.exclusive(other, "sweep 'b'"):
        assert lock.holder(path) is not None
        assert lock.holder(other) is not None


def test_the_holder_is_named_while_there_is_one(path: Path) -> None:
    assert lock.holder(path) is None
    with lock.exclusive(path, "sweep 'a'"):
        assert (lock.holder(path) or "").startswith(f"process {os.getpid()} on {socket.gethostname()}, since 20")
    assert lock.holder(path) is None


def test_looking_neither_takes_nor_makes_the_lock(path: Path) -> None:
    assert lock.holder(path) is None
    assert not path.exists()
    with lock.exclusive(path, "sweep 'a'"):
        pass
    assert lock.holder(path) is None
    with lock.exclusive(path, "sweep 'a'"):
        assert lock.holder(path) is not None


def test_the_lock_is_free_after_an_error(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.exclusive(path, "sweep 'a'"):
        raise ZeroDivisionError
    with lock.exclusive(path, "sweep 'a'"):
        pass


def test_a_killed_holder_lets_go(path: Path) -> None:
    with held_elsewhere(path) as process:
        assert lock.holder(path) is not None
        process.kill()
        process.wait()
        assert lock.holder(path) is None
        with lock.exclusive(path, "sweep 'a'"):
            assert f"process {os.getpid()} " in (lock.holder(path) or "")


def test_a_longer_note_of_an_earlier_holder_is_overwritten(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text('{"pid": 123456789, "host": "' + "h" * 500 + '", "since": "long ago"}')
    with lock.exclusive(path, "sweep 'a'"):
        assert f"process {os.getpid()} on {socket.gethostname()}, " in (lock.holder(path) or "")


def test_a_holder_that_has_not_signed_yet_is_still_a_holder(path: Path) -> None:
    with lock.exclusive(path, "sweep 'a'"):
        path.write_text("")
        assert lock.holder(path) == "by a process that is just starting"


def test_a_lock_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match=r"cannot write .*file"),
        lock.exclusive(tmp_path / "file" / "run.lock", "sweep 'a'"),
    ):
        raise AssertionError("held without a file")


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK], ids=errno.errorcode.get)
def test_a_disk_without_locks_is_named_with_the_way_out(path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(
            StorageError, match=rf"{path} has no file locks \({os.strerror(code)}\).* choose a --root on a disk"
        ),
        lock.exclusive(path, "sweep 'a'"),
    ):
        raise AssertionError("held without a lock")
    assert lock.holder(path) is None
