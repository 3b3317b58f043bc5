"""Every epoch of every trial, read back from the Parquet file."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results import export as exports
from sweep.results.export import export
from tests.support.examples import begin, record, slot_of, small_spec
from trainers.errors import InputError, StorageError


@pytest.fixture
def told(ledger: Ledger, small_plan: Plan) -> Ledger:
    """A teacher, a trial that finished, one that failed, and one that is no longer planned."""
    begin(ledger, small_plan)
    record(ledger, small_plan, small_plan.teachers[0], [90.0, 95.0], val_accs=[80.0, 81.0])
    record(ledger, small_plan, slot_of(small_plan, "dhkd α=0.5", 1), [70.0, 71.0, 72.0])
    record(ledger, small_plan, slot_of(small_plan, "kd"), [60.0], state="failed")
    record(ledger, small_plan, slot_of(small_plan, "scratch"), [50.0])
    begin(ledger, build_plan(small_spec(methods=["kd"])))
    return ledger


def test_every_epoch_is_one_line(told: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "epochs.parquet"
    assert export(told, path) == 7
    table = pd.read_parquet(path)
    assert len(table) == 7
    assert [file.name for file in path.parent.iterdir()] == ["epochs.parquet"]
    dhkd = table[table["label"] == "dhkd α=0.5"]
    assert dhkd["epoch"].tolist() == [1, 2, 3]
    assert dhkd["test_acc"].tolist() == [70.0, 71.0, 72.0]
    assert dhkd["term.ce"].tolist() == [1.5, 0.75, 0.5]
    assert dhkd["val_acc"].isna().all()
    first = dhkd.iloc[0]
    assert (first["sweep"], first["stage"], first["method"], first["recipe"], first["seed"], first["state"]) == (
        *("small", "confirm", "dhkd", "digits", 1, "finished"),
    )
    assert (first["pair"], first["teacher"], first["student"]) == ("resnet20→resnet8", "resnet20", "resnet8")
    assert json.loads(first["config"])["method"]["params"]["alpha"] == 0.5
    assert abs(first["time"].timestamp() - next(told.events("epoch")).time) < 60
    assert table.groupby("label")["state"].first().to_dict() == {
        "dhkd α=0.5": "finished",
        "kd": "failed",
        "scratch": "finished",
        "teacher": "finished",
    }
    teacher = table[table["stage"] == "teacher"]
    assert teacher["student"].unique().tolist() == ["resnet20"]
    assert teacher["teacher"].isna().all()


def test_the_file_is_the_same_however_trials_were_scheduled_and_batched(
    tmp_path: Path, small_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for name, turn, at_once in (("a", 1, 256), ("b", -1, 2)):
        monkeypatch.setattr(exports, "TRIALS_AT_ONCE", at_once)
        with Ledger(tmp_path / "small" / f"{name}.db") as ledger:
            begin(ledger, small_plan)
            for slot in small_plan.students[::turn]:
                record(ledger, small_plan, slot, [80.0 + slot.seed, 81.0])
            export(ledger, tmp_path / f"{name}.parquet")
        tables.append(pq.read_table(tmp_path / f"{name}.parquet").drop_columns("time"))
    assert tables[0].to_pylist() == tables[1].to_pylist()
    assert tables[0].schema == tables[1].schema


def test_columns_are_documented(told: Ledger, tmp_path: Path) -> None:
    export(told, tmp_path / "epochs.parquet")
    text = (Path(__file__).parents[3] / "docs" / "leaderboard.md").read_text()
    section = text.partition("## Every epoch")[2]
    names = {name.partition(".")[0] for name in pq.read_schema(tmp_path / "epochs.parquet").names}
    assert {name for name in names if f"`{name}" not in section} == set()


def test_without_an_epoch_there_is_nothing_to_export(ledger: Ledger, small_plan: Plan, tmp_path: Path) -> None:
    begin(ledger, small_plan)
    with pytest.raises(InputError, match="holds no epoch yet"):
        export(ledger, tmp_path / "epochs.parquet")
    assert list(tmp_path.glob("*.parquet")) == []


def test_a_file_that_cannot_be_written_leaves_nothing_behind(told: Ledger, tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file, no folder")
    with pytest.raises(StorageError, match="cannot write"):
        export(told, tmp_path / "full" / "epochs.parquet")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        export(told, tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
