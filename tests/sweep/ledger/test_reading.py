"""A ledger that can be read and not written, as somebody who is no administrator finds it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.ledger.reading import only_readable
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.examples import begin
from tests.support.read_only import archived, powerless
from trainers.errors import StorageError


@pytest.fixture
def told(tmp_path: Path, small_plan: Plan) -> Path:
    """The folder of a ledger that was closed."""
    with Ledger(tmp_path / "told" / "ledger.db") as ledger:
        begin(ledger, small_plan)
    return tmp_path / "told"


def test_what_was_closed_can_be_read_where_nothing_can_be_written(told: Path) -> None:
    with archived(told) as folder, powerless():
        assert only_readable(folder / "ledger.db")
        with Ledger(folder / "ledger.db") as ledger:
            assert [event.kind for event in ledger.events()] == ["sweep", "plan"]
            assert ledger.id
            with pytest.raises(StorageError, match="readonly"):
                ledger.append("stop")
        assert sorted(file.name for file in folder.iterdir()) == ["ledger.db"]


def test_a_file_that_cannot_be_written_in_a_folder_that_can_is_read_too(told: Path) -> None:
    with archived(told) as folder:
        folder.chmod(0o777)
        with powerless(), Ledger(folder / "ledger.db") as ledger:
            assert ledger.latest("plan") is not None


def test_events_that_only_the_log_holds_are_not_left_out_silently(told: Path, small_plan: Plan) -> None:
    """A driver that was killed leaves them there."""
    copy = told.with_name("copy")
    with Ledger(told / "ledger.db") as ledger:
        ledger.append("stop", body={"exit_code": 0})
        copy.mkdir()
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copyfile(told / name, copy / name)
    assert (copy / "ledger.db-wal").stat().st_size > 0
    with archived(copy) as folder, powerless(), pytest.raises(StorageError, match="copy the sweep's whole folder"):
        Ledger(folder / "ledger.db")
    with Ledger(copy / "ledger.db") as ledger:
        assert ledger.latest("stop") is not None


def test_an_empty_log_hides_no_event(told: Path) -> None:
    (told / "ledger.db-wal").touch()
    with archived(told) as folder, powerless(), Ledger(folder / "ledger.db") as ledger:
        assert [event.kind for event in ledger.events()] == ["sweep", "plan"]


def test_a_running_drivers_log_is_read_with_the_rest(told: Path) -> None:
    with Ledger(told / "ledger.db") as ledger:
        ledger.append("stop", body={"exit_code": 0})
        assert (told / "ledger.db-shm").exists()
        with archived(told) as folder, powerless(), Ledger(folder / "ledger.db") as seen:
            assert seen.latest("stop") is not None


def test_one_that_may_be_written_is_opened_to_be_written(told: Path) -> None:
    assert not only_readable(told / "ledger.db")
    assert not only_readable(told / "none.db")
    with Ledger(told / "ledger.db") as ledger:
        assert ledger.append("stop")


def plan_of(ledger: Ledger, read: Callable[[], object]) -> str:
    """How SQLite goes about what is read."""
    statements: list[str] = []
    ledger._db.set_trace_callback(statements.append)
    read()
    ledger._db.set_trace_callback(None)
    return " ".join(str(row) for row in ledger._db.execute(f"EXPLAIN QUERY PLAN {statements[-1]}"))


def test_a_walk_through_all_epochs_sorts_nothing(tmp_path: Path) -> None:
    """Their bodies are most of a ledger: sorting them takes as long as reading them, and as much memory."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert "TEMP B-TREE" not in plan_of(ledger, lambda: list(ledger.events("start", "epoch", "final")))
        assert "TEMP B-TREE" not in plan_of(ledger, lambda: list(ledger.events("start", "epoch")))
        assert "TEMP B-TREE" not in plan_of(ledger, lambda: list(ledger.events("epoch", trial="a")))
        assert "by_kind" in plan_of(ledger, lambda: list(ledger.events("failed", "final")))
        assert "COVERING INDEX" in plan_of(ledger, ledger.epochs_done)


def test_a_folder_in_the_ledgers_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(StorageError, match=r"ledger\.db cannot be used: a folder stands in its place; move it away"):
        Ledger(tmp_path / "ledger.db")
