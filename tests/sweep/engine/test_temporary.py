"""The folder of a session's temporary files: whose it is, who may enter, and what happens when its driver is killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.engine import temporary
from sweep.engine.temporary import BOOT, FOR_RAY, LOCK, PREFIX, SOCKET_BYTES, held
from trainers.errors import InputError

HOLDS = """
import sys, time
from sweep.engine.temporary import held
with held(for_ray=True) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""
OTHER = {"host": "elsewhere", "boot": "00000000-0000-0000-0000-000000000000"}


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty temporary folder of the system's, with a short path."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def holder(system: Path) -> Iterator[subprocess.Popen[str]]:
    """Another driver, in a session of its own below the same folder; what it printed is that session's folder."""
    environment = os.environ | {"TMPDIR": str(system)}
    with subprocess.Popen([sys.executable, "-c", HOLDS], env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def folder_of(holder: subprocess.Popen[str]) -> Path:
    assert holder.stdout is not None
    return Path(holder.stdout.readline().strip())


def made(system: Path, name: str, lock: str | None) -> Path:
    """A folder with something of Ray's in it."""
    folder = system / name
    (folder / FOR_RAY / "session_1" / "logs").mkdir(parents=True)
    if lock is not None:
        (folder / LOCK).write_text(lock)
    return folder


def here() -> dict[str, str]:
    return dict(temporary._machine())


def left_after_a_session(system: Path) -> list[str]:
    with held(for_ray=True) as own:
        assert own.parent == system
    return sorted(path.name for path in system.iterdir())


# -- what is left over ------------------------------------------------------------------------------------------------


def test_the_folder_goes_with_the_session(system: Path) -> None:
    with held(for_ray=True) as own:
        assert own.name.startswith(PREFIX)
        assert list(system.iterdir()) == [own]
    assert list(system.iterdir()) == []


def test_a_folder_is_used_while_its_driver_lives_and_removed_when_that_was_killed(
    system: Path, holder: subprocess.Popen[str]
) -> None:
    """Its process number says nothing: another container, or another host, has another process of that number."""
    folder = folder_of(holder)
    assert left_after_a_session(system) == [folder.name]
    assert (folder / FOR_RAY).is_dir()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert left_after_a_session(system) == []


def test_two_sessions_of_one_process_leave_each_other_alone(system: Path) -> None:
    with held(for_ray=True) as first, held(for_ray=True) as second:
        assert first != second
        assert first.is_dir()


def test_only_what_is_known_to_be_left_is_removed(system: Path) -> None:
    made(system, f"{PREFIX}dead", json.dumps(here()))
    kept = [
        made(system, f"{PREFIX}begins", ""),  # a session that has not taken its lock yet, or can take none
        made(system, f"{PREFIX}without", None),
        made(system, f"{PREFIX}strange", "{}"),
        made(system, f"{PREFIX}elsewhere", json.dumps(OTHER)),  # some file systems tell no other host of a lock
        made(system, "mine-dead", json.dumps(here())),
    ]
    assert left_after_a_session(system) == sorted(folder.name for folder in kept)


@pytest.mark.parametrize("same", ["host", "boot"])
def test_a_machine_started_anew_and_a_container_of_the_same_are_here(system: Path, same: str) -> None:
    if not BOOT.exists():
        pytest.skip("this system does not say when it started")
    made(system, f"{PREFIX}dead", json.dumps(OTHER | {same: here()[same]}))
    assert left_after_a_session(system) == []


def test_without_locks_nothing_is_removed_and_sessions_go_on(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    made(system, f"{PREFIX}dead", json.dumps(here()))
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with held(for_ray=True) as own:
        assert (own / LOCK).read_text() == ""
        assert (system / f"{PREFIX}dead").is_dir()


# -- who may enter ----------------------------------------------------------------------------------------------------


def test_nobody_else_may_enter_whatever_ray_does_to_its_own(system: Path) -> None:
    from ray._common.utils import try_to_create_directory

    with held(for_ray=True) as own:
        try_to_create_directory(str(own / FOR_RAY))  # as Ray does when it starts
        assert (own / FOR_RAY).stat().st_mode & 0o777 == 0o777
        assert own.stat().st_mode & 0o077 == 0


# -- paths of sockets -------------------------------------------------------------------------------------------------


def longest_socket(own: Path) -> str:
    return f"{own / FOR_RAY}/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"


@pytest.mark.parametrize(("letters", "stays"), [(22, True), (23, False), (60, False)])
def test_a_long_temporary_folder_is_left_for_a_short_one(
    system: Path, monkeypatch: pytest.MonkeyPatch, letters: int, stays: bool
) -> None:
    long = system / ("x" * (letters - len(f"{system}/")))
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(temporary, "SHORT", system)
    with held(for_ray=True) as own:
        assert own.parent == (long if stays else system)
        assert len(longest_socket(own)) <= SOCKET_BYTES
    with held(for_ray=False) as own:  # where Ray runs already there are no sockets of ours
        assert own.parent == long


def test_where_no_folder_is_short_enough_the_message_names_the_cure(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = system / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(temporary, "SHORT", system / "none")
    with pytest.raises(InputError, match=r"too long a path: .* may take 22\. Set TMPDIR to a shorter one"), held(True):
        pass
