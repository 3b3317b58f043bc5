"""The database below a root: made whole, or not at all."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.tracking.address import own_database
from sweep.tracking.mlflow_internals import has_tables, make_whole
from sweep.tracking.sync import sync
from tests.support.boards import tell
from tests.support.command import LONGEST
from trainers.errors import StorageError

MAKE = """
import sys
from pathlib import Path

from sweep.tracking.address import quiet_mlflow
from sweep.tracking.mlflow_internals import make_whole

quiet_mlflow()
make_whole(Path(sys.argv[1]))
"""


@pytest.mark.slow(30)
def test_a_driver_killed_while_the_database_is_made_leaves_none_behind(tmp_path: Path) -> None:
    place = tmp_path / "runs" / "mlflow.db"
    making = subprocess.Popen([sys.executable, "-W", "ignore", "-c", MAKE, str(place)])
    try:
        half = until(lambda: next((file for file in half_made(place.parent) if has_tables(file)), None))
    finally:
        making.kill()
        making.wait()
    assert half != place
    assert not place.exists()
    subprocess.run([sys.executable, "-W", "ignore", "-c", MAKE, str(place)], check=True)
    with closing(sqlite3.connect(place)) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]


def half_made(folder: Path) -> list[Path]:
    """Databases beside their place."""
    return list(folder.glob(".mlflow.db.*/mlflow.db"))


def until(look: Callable[[], Path | None]) -> Path:
    """What `look` finds, asked again and again."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        seen = look()
        if seen is not None:
            return seen
    raise AssertionError(f"MLflow began no database within {LONGEST} s")


def test_a_database_that_is_there_stays(empty_store: Path, tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"
    shutil.copyfile(empty_store, place)
    before = place.read_bytes()
    make_whole(place)
    assert place.read_bytes() == before


def test_one_that_an_earlier_release_left_half_made_is_told_with_the_way_out(
    root: Root, ledger: Ledger, small_plan: Plan, opened_store: Path
) -> None:
    tell(ledger, small_plan)
    shutil.copyfile(opened_store, root.mlflow_database)
    with closing(sqlite3.connect(root.mlflow_database)) as database:  # as a driver leaves it that is killed early
        database.execute("DELETE FROM alembic_version")
        database.execute("DROP TABLE latest_metrics")
        database.commit()
    with pytest.raises(StorageError, match=r"mlflow\.db was left half made .*; move it away, and sweep sync fills"):
        sync(root, small_plan.name, own_database(root))
