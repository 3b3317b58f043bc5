"""What Ray's session leaves in the system's temporary folder: nothing, also where a driver was killed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.engine import session


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty temporary folder of the system's, and a Ray that does not start."""

    def not_started(init: Callable[[], object]) -> None:
        return

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(session, "_start", not_started)
    log = logging.getLogger("ray.tune")
    monkeypatch.setattr(log, "level", log.level)
    return tmp_path


def of_nobody() -> int:
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    return ended.pid


def test_a_session_removes_what_killed_drivers_left_and_nothing_else(temporary: Path) -> None:
    dead, parent = of_nobody(), os.getppid()
    left = temporary / f"{session.RAY_FOLDER}{dead}-abc" / "session_1" / "logs"
    others = [f"{session.RAY_FOLDER}{parent}-abc", f"{session.RAY_FOLDER}notes", f"mine-{dead}-abc"]
    for folder in (left, *(temporary / name for name in others)):
        folder.mkdir(parents=True)
        (folder / "file").write_text("of a Ray")
    with session.session(None, verbose=False) as own:
        assert own.is_dir()
        assert sorted(path.name for path in temporary.iterdir()) == sorted([*others, own.name])
    assert sorted(path.name for path in temporary.iterdir()) == sorted(others)


def test_a_later_session_knows_the_folder_of_one_that_was_killed(temporary: Path) -> None:
    """The folder's name says whose it is."""
    with session.session(None, verbose=False) as own:
        assert own.name.startswith(f"{session.RAY_FOLDER}{os.getpid()}-")
        with session.session(None, verbose=False):
            assert own.is_dir()
