"""The ledger in the storage: another machine goes on with it, and two drivers do not do so at once."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sweep.layout import Root
from sweep.ledger import snapshot
from sweep.ledger.label import LONGEST_PATIENCE, Label
from sweep.ledger.schema import VERSION
from sweep.ledger.snapshot import Keeper, kept, restore
from sweep.ledger.store import Event, Ledger
from trainers.errors import BusyError, InputError, StorageError
from trainers.storage.files import write_atomically

NAME = "small"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def root(tmp_path: Path, shared: Path) -> Root:
    return machine(tmp_path, shared, "one")


@pytest.fixture
def other(tmp_path: Path, shared: Path) -> Root:
    return machine(tmp_path, shared, "other")


def machine(folder: Path, shared: Path, name: str) -> Root:
    return Root.at(folder / name, str(shared))


def run(root: Root, *trials: str, name: str = NAME) -> None:
    """A driver that notes some trials, and ends."""
    with Ledger(root.sweep(name).ledger) as ledger, kept(root, name, pytest.fail):
        for trial in trials:
            ledger.append("start", trial)


def events(root: Root, name: str = NAME) -> list[Event]:
    with Ledger(root.sweep(name).ledger) as ledger:
        return list(ledger.events())


def trials(root: Root, name: str = NAME) -> list[str | None]:
    return [event.trial for event in events(root, name)]


def label(root: Root) -> Label:
    content = root.storage.read(root.sweep(NAME).snapshot_label)
    assert content is not None
    return Label(**json.loads(content))


def write_label(root: Root, **changes: object) -> None:
    """What another driver would have written."""
    path = root.sweep(NAME).snapshot_label
    write_atomically(path, json.dumps(asdict(label(root)) | changes).encode())
    root.storage.push(path, anew=True)


def take_over(root: Root, name: str, note: Callable[[str], None]) -> None:
    """A driver that begins, and does nothing else."""
    with snapshot.take_over(root, name, note):
        pass


def quiet(note: str) -> None:
    """Nobody is told."""


def test_another_machine_goes_on_with_the_same_ledger(root: Root, other: Root) -> None:
    run(root, "a", "b")
    take_over(other, NAME, pytest.fail)
    assert events(other) == events(root)
    run(other, "c")
    take_over(root, NAME, pytest.fail)
    assert trials(root) == ["a", "b", "c"]
    assert [path.name for path in root.sweep(NAME).folder.glob("ledger-aside-*")] == []


def test_the_snapshot_holds_what_was_noted_while_it_was_open(root: Root, other: Root) -> None:
    with Ledger(root.sweep(NAME).ledger) as ledger:
        ledger.append("start", "a")
        keeper = Keeper(root, NAME, pytest.fail)
        keeper.keep()
        ledger.append("start", "b")
        restore(other, NAME)
        assert trials(other) == ["a"]
        keeper.keep()
        restore(other, NAME)
        assert trials(other) == ["a", "b"]
        assert not label(root).over


def test_only_the_last_snapshots_are_kept(root: Root, other: Root) -> None:
    with Ledger(root.sweep(NAME).ledger) as ledger:
        keeper = Keeper(root, NAME, pytest.fail)
        for number in range(5):
            ledger.append("start", str(number))
            keeper.keep()
            keeper.keep()
    names = sorted(root.storage.sizes(root.sweep(NAME).snapshots))
    assert [name[:9] for name in names] == ["000000004", "000000005", "label.jso"]
    run(root, "5")
    assert len(root.storage.sizes(root.sweep(NAME).snapshots)) == 3


def test_a_ledger_that_is_ahead_stays(root: Root, other: Root) -> None:
    run(root, "a")
    with Ledger(root.sweep(NAME).ledger) as ledger:
        ledger.append("start", "b")
    restore(root, NAME)
    assert trials(root) == ["a", "b"]
    assert not other.sweep(NAME).ledger.exists()


def test_what_two_drivers_noted_apart_is_not_mixed(root: Root, other: Root) -> None:
    run(root, "a")
    restore(other, NAME)
    run(other, "b", "c")
    with Ledger(root.sweep(NAME).ledger) as ledger:  # a driver that could not reach the storage any more
        ledger.append("start", "x")
    restore(root, NAME)
    assert trials(root) == ["a", "b", "c"]
    (aside,) = root.sweep(NAME).folder.glob("ledger-aside-*.db")
    with Ledger(aside) as ledger:
        assert [event.trial for event in ledger.events()] == ["a", "x"]


def test_the_beginning_is_in_every_ledger_and_a_first_event_in_its_own_alone(root: Root, other: Root) -> None:
    run(root)
    assert (label(root).seq, label(root).time) == (0, 0.0)
    restore(other, NAME)
    assert trials(other) == []
    with Ledger(other.sweep(NAME).ledger) as ledger:
        ledger.append("start", "x")
    restore(other, NAME)
    assert trials(other) == ["x"]
    run(root, "a")
    restore(other, NAME)
    assert trials(other) == ["a"]
    (aside,) = other.sweep(NAME).folder.glob("ledger-aside-*.db")
    with Ledger(aside) as ledger:
        assert [event.trial for event in ledger.events()] == ["x"]


def test_another_sweep_of_the_same_name_is_refused(root: Root, other: Root) -> None:
    run(root, "a")
    Ledger(other.sweep(NAME).ledger).close()
    with pytest.raises(InputError, match=r"holds another sweep 'small' .* give the spec another name, or choose"):
        take_over(other, NAME, pytest.fail)


def test_without_a_name_the_latest_sweep_is_fetched(root: Root, other: Root) -> None:
    run(root, "a", name="first")
    run(root, "a", name="last")
    restore(other, None)
    assert other.names() == ["last"]
    restore(other, "first")
    assert other.names() == ["last", "first"]


def test_without_a_storage_nothing_happens(tmp_path: Path) -> None:
    alone = Root(tmp_path / "alone")
    with Ledger(alone.sweep(NAME).ledger), kept(alone, NAME, pytest.fail) as drop:
        drop(alone.path)
    take_over(alone, NAME, pytest.fail)
    restore(alone, None)
    assert {path.name for path in alone.sweep(NAME).folder.iterdir()} == {"ledger.db"}


def test_a_folder_is_forgotten_when_the_snapshot_knows_why(root: Root) -> None:
    folder = root.sweep(NAME).trial("a") / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "epoch-1").write_bytes(b"state")
    root.storage.mirror(folder)
    with Ledger(root.sweep(NAME).ledger) as ledger, kept(root, NAME, pytest.fail) as drop:
        ledger.append("final", "a")
        drop(folder)
        assert root.storage.has(folder / "epoch-1")
    assert root.storage.sizes(folder) == {}
    assert (folder / "epoch-1").exists()


def test_the_reports_are_given_at_the_end(root: Root, other: Root) -> None:
    paths = root.sweep(NAME)
    with Ledger(paths.ledger), kept(root, NAME, pytest.fail):
        write_atomically(paths.leaderboard, b"| table |")
    assert root.storage.read(paths.leaderboard) == b"| table |"
    assert {path.name for path in paths.folder.iterdir()} == {"ledger.db", "snapshots", "leaderboard.md"}


def test_a_driver_is_given_the_longer_for_a_beat_the_longer_its_snapshots_take(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience is one and a half pauses and twice the time of the last snapshot, which a pause is a multiple of."""
    with Ledger(root.sweep(NAME).ledger) as ledger:
        ledger.append("start", "a")
        keeper = Keeper(root, NAME, pytest.fail)
        monkeypatch.setattr(snapshot, "SHARE_OF_TIME", 1e9)  # the share of a pause that no snapshot fills
        started = time.monotonic()
        keeper.keep()
        twice = label(root).patience - 1.5 * snapshot.PAUSE_SECONDS
        assert 0 < twice < 2 * (time.monotonic() - started)
        monkeypatch.setattr(snapshot, "SHARE_OF_TIME", 1e-3)
        monkeypatch.setattr(snapshot, "PAUSE_SECONDS", 1e-9)
        keeper.keep()  # nothing new: the last snapshot is the same
        assert label(root).patience == pytest.approx(1.5e3 * twice / 2 + twice)
        monkeypatch.setattr(snapshot, "SHARE_OF_TIME", 1e-12)
        keeper.keep()
        assert label(root).patience == LONGEST_PATIENCE == 24 * 3600


# -- other drivers -----------------------------------------------------------------------------------------------------


@contextmanager
def beating(root: Root) -> Iterator[None]:
    """A driver on another machine that gives signs of life."""
    over = threading.Event()

    def beat() -> None:
        count = 0
        while not over.wait(0.05):
            count += 1
            write_label(root, host="elsewhere", beat=count)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_driver_that_is_at_work_elsewhere_is_not_disturbed(root: Root, other: Root) -> None:
    run(root, "a")
    write_label(root, host="elsewhere", over=False, patience=60.0)
    with beating(root), pytest.raises(BusyError, match=r"already running: process \d+ on elsewhere"):
        take_over(other, NAME, quiet)
    assert not other.sweep(NAME).ledger.exists()


def test_a_driver_that_is_silent_is_taken_for_dead(root: Root, other: Root) -> None:
    run(root, "a")
    write_label(root, host="elsewhere", over=False, patience=0.1)
    told: list[str] = []
    take_over(other, NAME, told.append)
    assert trials(other) == ["a"]
    assert [line.partition(" ran ")[2] for line in told] == ["this sweep last; listening for 0 s whether it still does"]


def test_a_driver_that_died_on_this_machine_is_known_to_be_dead(root: Root, other: Root) -> None:
    run(root, "a")
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    write_label(root, pid=int(dead.stdout), host=socket.gethostname(), over=False, patience=3600.0)
    take_over(other, NAME, pytest.fail)
    assert trials(other) == ["a"]


# -- a storage in trouble ----------------------------------------------------------------------------------------------


def test_a_storage_that_goes_away_is_told_once_and_gets_everything_later(
    root: Root, other: Root, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PAUSE_SECONDS", 0.02)
    told: list[str] = []
    with Ledger(root.sweep(NAME).ledger) as ledger:
        with kept(root, NAME, told.append):
            shared.rename(shared.with_name("away"))
            shared.write_text("no folder")
            ledger.append("start", "a")
            wait_until(lambda: bool(told))
            ledger.append("start", "b")
        assert told[0].endswith("; going on")
        assert told[1:] == ["the storage lacks the end of this sweep; the same command delivers it"]
        shared.unlink()
        shared.with_name("away").rename(shared)
    run(root)
    restore(other, NAME)
    assert trials(other) == ["a", "b"]


def wait_until(enough: object) -> None:
    assert callable(enough)
    over = threading.Event()
    for _ in range(1000):
        if enough():
            return
        over.wait(0.01)
    raise AssertionError("nothing happened for 10 s")


def test_a_storage_that_cannot_be_written_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    root = machine(tmp_path, tmp_path / "file" / "shared", "one")
    with pytest.raises(StorageError):
        root.check_writable()


def test_a_damaged_label_a_missing_snapshot_and_a_foreign_one_are_named(root: Root, other: Root) -> None:
    run(root, "a")
    path = root.sweep(NAME).snapshot_label
    write_atomically(path, b"{}")
    root.storage.push(path, anew=True)
    with pytest.raises(StorageError, match=r"has a damaged label of sweep 'small'"):
        restore(other, NAME)
    run(root, "b")
    write_label(root, file="000000009-0badc0de.db")
    with pytest.raises(StorageError, match=r"lacks 000000009-0badc0de.db of sweep 'small', which its label names"):
        restore(other, NAME)
    run(root, "c")
    write_label(root, id="0" * 32)
    with pytest.raises(StorageError, match=r"is not the one of its label"):
        restore(other, NAME)


# -- what somebody else has written into the storage -------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


BAD_LABELS: list[dict[str, Any]] = [
    {"file": "../../../../victim"},
    {"file": "../snapshots/000000001-0badc0de.db"},
    {"file": "/etc/hostname"},
    {"file": "label.json"},
    {"file": ""},
    {"file": "000000001-0badc0de.db\n"},
    {"file": 1},
    {"id": "../x"},
    {"id": None},
    {"seq": -1},
    {"seq": 1.5},
    {"time": -1.0},
    {"time": float("nan")},
    {"beat": float("inf")},
    {"host": "a\x1b[2Jb"},
    {"host": ""},
    {"pid": 0},
    {"pid": -1},
    {"pid": 2**40},
    {"patience": 1e12},
    {"patience": -1.0},
    {"over": "no"},
]


@pytest.mark.parametrize("change", BAD_LABELS, ids=str)
def test_a_label_that_no_driver_writes_is_refused_before_anything_is_done(
    root: Root, other: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(snapshot, "READ_PAUSE_SECONDS", 0)
    run(root, "a")
    (tmp_path / "victim").write_bytes(b"mine")
    write_label(root, **change)
    before = tree(tmp_path)
    with pytest.raises(StorageError, match=r"damaged label of sweep 'small'; remove sweeps/small/snapshots there"):
        take_over(other, NAME, pytest.fail)
    assert tree(tmp_path) == before


def snapshot_of(root: Root, shared: Path) -> Path:
    """The file in the storage that its label names."""
    return shared / root.sweep(NAME).snapshots.relative_to(root.path) / label(root).file


def trigger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TRIGGER gone AFTER INSERT ON events BEGIN DELETE FROM events; END")


def other_digit(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0.8125", b"0.9125"))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def earlier_one(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM events WHERE seq = (SELECT MAX(seq) FROM events)")
        database.commit()


@pytest.mark.parametrize("damage", [trigger, other_digit, cut_short, earlier_one])
def test_a_snapshot_that_is_not_what_was_given_takes_no_ledger_s_place(
    root: Root, other: Root, shared: Path, damage: Callable[[Path], None]
) -> None:
    with Ledger(root.sweep(NAME).ledger) as ledger:
        ledger.append("epoch", "a", 1, {"accuracy": 0.8125})
        ledger.append("final", "a", body={"accuracy": 0.8125})
    run(root)
    restore(other, NAME)
    before = events(other)
    run(root, "b")
    damage(snapshot_of(root, shared))
    with pytest.raises(StorageError, match=r"has a damaged 0+\d-\w+\.db of sweep 'small' .*; remove sweeps/small/snap"):
        restore(other, NAME)
    assert events(other) == before
    assert list(other.sweep(NAME).snapshots.iterdir()) == []


def test_a_snapshot_of_a_later_version_is_not_called_damaged(root: Root, other: Root, shared: Path) -> None:
    run(root)
    with closing(sqlite3.connect(snapshot_of(root, shared))) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StorageError) as caught:
        restore(other, NAME)
    assert re.search(r"\.db of sweep 'small' was written by a later version of this program; update", str(caught.value))
    assert "remove" not in str(caught.value)
    assert list(other.sweep(NAME).snapshots.iterdir()) == []


NAMES: list[tuple[str | None, dict[str, Any]]] = [
    ("../../../victim", {}),
    ("..", {}),
    (None, {"figure": "/etc/hostname"}),
    (None, {"figure": None, "page": {"file": "../../victim"}}),
    (None, {"figure": None, "page": {"file": ".."}, "teacher": "none"}),
    ("a", {"teacher": {"architecture": "resnet20", "hash": "../../victim"}}),
]


@pytest.mark.parametrize(("trial", "body"), NAMES, ids=str)
def test_a_snapshot_that_names_files_elsewhere_is_refused(
    root: Root, other: Root, trial: str | None, body: dict[str, Any]
) -> None:
    """Else a driver would give them to MLflow."""
    with Ledger(root.sweep(NAME).ledger) as ledger:
        ledger.append("report" if trial is None else "final", trial, body=body)
    run(root)
    with pytest.raises(StorageError, match="it names files that do not lie below the sweep"):
        restore(other, NAME)
    assert not other.sweep(NAME).ledger.exists()


def test_a_snapshot_is_fetched_anew_whatever_lies_in_its_place(root: Root, other: Root, shared: Path) -> None:
    run(root, "a")
    left_over = other.sweep(NAME).snapshots / label(root).file
    left_over.parent.mkdir(parents=True)
    left_over.write_bytes(bytes(snapshot_of(root, shared).stat().st_size))
    restore(other, NAME)
    assert trials(other) == ["a"]


def test_the_latest_sweep_has_the_name_of_a_sweep(root: Root, other: Root, shared: Path) -> None:
    run(root, "a", name="first")
    run(root, "a")
    (shared / "sweeps/small").rename(shared / "sweeps/-small")
    restore(other, None)
    assert other.names() == ["first"]


def test_a_driver_whose_root_was_removed_leaves_the_storage_as_it_is(root: Root, shared: Path) -> None:
    run(root, "a")
    keeper = Keeper(root, NAME, pytest.fail)
    keeper.keep()
    before = tree(shared)
    shutil.rmtree(root.path)
    with pytest.raises(StorageError, match="was removed, or replaced by another"):
        keeper.keep(over=True)
    assert tree(shared) == before
    assert not root.path.exists()
