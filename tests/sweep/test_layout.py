"""Every path below one root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from trainers.errors import InputError, StorageError


def ledger_at(root: Root, name: str, mtime: float) -> None:
    Ledger(root.sweep(name).ledger).close()
    os.utime(root.sweep(name).ledger, (mtime, mtime))


def test_everything_lies_below_the_root(root: Root) -> None:
    paths = root.sweep("a")
    places = [root.teachers, root.mlflow_database, root.artifacts, root.matplotlib, root.sweeps]
    places += [paths.ledger, paths.lock, paths.spec, paths.figure, paths.leaderboard, paths.trial("0123")]
    assert all(place.is_relative_to(root.path) for place in places)
    assert len(set(places)) == len(places)
    assert paths.trial("0123") != paths.trial("4567")
    assert not root.path.exists()


def test_sweeps_are_listed_the_latest_first(root: Root) -> None:
    assert root.names() == []
    for name, mtime in (("old", 1000.0), ("new", 3000.0), ("between", 2000.0)):
        ledger_at(root, name, mtime)
    (root.sweeps / "no-ledger").mkdir()
    (root.sweeps / "foreign" / "ledger.db").mkdir(parents=True)
    assert root.names() == ["new", "between", "old"]


def test_a_write_that_is_still_in_the_log_counts_as_the_latest(root: Root) -> None:
    ledger_at(root, "old", 1000.0)
    ledger_at(root, "new", 3000.0)
    with Ledger(root.sweep("old").ledger) as ledger:
        ledger.append("stop")
        os.utime(root.sweep("old").ledger, (1000.0, 1000.0))
        assert root.names() == ["old", "new"]


def test_the_latest_sweep_is_chosen_unless_one_is_named(root: Root) -> None:
    ledger_at(root, "old", 1000.0)
    ledger_at(root, "new", 3000.0)
    assert root.choose(None) == "new"
    assert root.choose("old") == "old"


@pytest.mark.parametrize("name", ["other", "../a", ""])
def test_a_sweep_that_does_not_exist_is_refused_with_those_that_do(root: Root, name: str) -> None:
    ledger_at(root, "b", 2000.0)
    ledger_at(root, "a", 1000.0)
    with pytest.raises(InputError, match=r"there is no sweep.* below .*; sweeps there: a, b"):
        root.choose(name)


def test_an_empty_root_is_told_as_such(root: Root) -> None:
    with pytest.raises(InputError, match=r"there is no sweep below .*; no sweep has run there yet"):
        root.choose(None)


def git(folder: Path, *words: str) -> list[str]:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *words], cwd=folder, env=os.environ | own, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_writable_root_is_made_and_git_sees_nothing_of_it(root: Root) -> None:
    git(root.path.parent, "init", "--quiet")
    root.check_writable()
    assert list(root.path.iterdir()) == [root.git_ignores]
    ledger_at(root, "a", 1000.0)
    assert git(root.path.parent, "status", "--porcelain", "--untracked-files=all") == []


def test_a_folder_that_was_there_before_is_its_owners(root: Root) -> None:
    root.path.mkdir()
    root.check_writable()
    with root.newly_made():
        ledger_at(root, "a", 1000.0)
    assert list(root.path.iterdir()) == [root.sweeps]


def test_what_makes_nothing_makes_no_root(root: Root) -> None:
    with root.newly_made():
        root.names()
    assert not root.path.exists()


def test_what_another_has_git_leave_out_stays(root: Root) -> None:
    with pytest.raises(InputError, match="broke"), root.newly_made():
        root.path.mkdir()
        root.git_ignores.write_text("*.db\n")
        raise InputError("broke")
    assert root.git_ignores.read_text() == "*.db\n"


def test_a_root_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        Root(tmp_path / "file").check_writable()


def test_a_root_without_room_is_a_storage_error(root: Root) -> None:
    root.path.mkdir()
    code = f"""
import resource, signal
from pathlib import Path
from sweep.layout import Root
from trainers.errors import StorageError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Root(Path({str(root.path)!r})).check_writable()
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {root.path}")
    assert list(root.path.iterdir()) == []
