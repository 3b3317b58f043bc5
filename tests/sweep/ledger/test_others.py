"""The ledgers of a storage's other sweeps are brought here, and none that somebody writes here is replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.ledger.lock import exclusive
from sweep.ledger.others import restore_others
from sweep.ledger.snapshot import kept, restore
from sweep.ledger.store import Ledger


@pytest.fixture
def here(tmp_path: Path) -> Root:
    return Root.at(tmp_path / "here", str(tmp_path / "shared"))


@pytest.fixture
def there(tmp_path: Path) -> Root:
    """Another machine."""
    return Root.at(tmp_path / "there", str(tmp_path / "shared"))


def run(root: Root, name: str, *trials: str) -> None:
    """A driver that notes some trials, and ends."""
    with Ledger(root.sweep(name).ledger) as ledger, kept(root, name, pytest.fail):
        for trial in trials:
            ledger.append("start", trial)


def trials(root: Root, name: str) -> list[str | None]:
    with Ledger(root.sweep(name).ledger, make=False) as ledger:
        return [event.trial for event in ledger.events()]


def test_those_that_are_not_here_are_brought(here: Root, there: Root) -> None:
    run(there, "first", "a", "b")
    run(there, "second", "c")
    run(there, "own", "d")
    assert restore_others(here, "own") == {}
    assert sorted(here.names()) == ["first", "second"]
    assert trials(here, "first") == ["a", "b"]
    assert [path.name for path in here.sweep("first").snapshots.glob("*.db")] == []


def test_one_that_has_gone_on_elsewhere_is_brought_up_to_date(here: Root, there: Root) -> None:
    run(there, "first", "a")
    restore_others(here, "own")
    run(there, "first", "b")
    restore_others(here, "own")
    assert trials(here, "first") == ["a", "b"]
    before = here.sweep("first").ledger.stat().st_ino
    restore_others(here, "own")
    assert here.sweep("first").ledger.stat().st_ino == before


def test_one_that_has_gone_on_here_and_there_stays_as_it_is(here: Root, there: Root) -> None:
    run(there, "first", "a")
    restore(here, "first")
    with Ledger(here.sweep("first").ledger) as ledger:  # of which the storage has not heard
        ledger.append("start", "mine")
    run(there, "first", "theirs")
    assert restore_others(here, "own") == {}
    assert trials(here, "first") == ["a", "mine"]
    assert list(here.sweep("first").folder.glob("ledger-aside-*")) == []


def test_another_sweep_of_that_name_stays_as_it_is(here: Root, there: Root) -> None:
    run(there, "first", "a", "b")
    with Ledger(here.sweep("first").ledger) as ledger:
        ledger.append("start", "mine")
    assert restore_others(here, "own") == {}
    assert trials(here, "first") == ["mine"]


def test_one_that_is_driven_here_stays_as_it_is(here: Root, there: Root) -> None:
    run(there, "first", "a")
    restore(here, "first")
    run(there, "first", "b")
    with exclusive(here.sweep("first").lock, "it"):
        assert restore_others(here, "own") == {}
        assert trials(here, "first") == ["a"]


def test_one_that_a_driver_begins_while_it_is_fetched_stays_as_it_is(
    here: Root, there: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(there, "first", "a")
    monkeypatch.setattr("sweep.ledger.others.holder", lambda path: None)  # as it was a moment ago
    with exclusive(here.sweep("first").lock, "it"):
        assert restore_others(here, "own") == {}
        assert here.names() == []


def test_a_damaged_one_is_told_and_the_others_come(here: Root, there: Root, tmp_path: Path) -> None:
    run(there, "first", "a")
    run(there, "second", "b")
    shutil.rmtree(tmp_path / "shared" / "sweeps" / "first" / "snapshots")
    run(there, "third", "c")
    (label,) = (tmp_path / "shared" / "sweeps" / "third").rglob(there.sweep("third").snapshot_label.name)
    label.write_text("{}")
    left_out = restore_others(here, "own")
    assert list(left_out) == ["third"]
    assert "has a damaged label of sweep 'third'" in left_out["third"]
    assert here.names() == ["second"]
