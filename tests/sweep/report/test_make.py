"""The files that a run leaves at its end: one that cannot be written costs none of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep import report
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.report.make import make_reports
from sweep.report.outputs import MOST_TOLD, Outputs
from tests.support.examples import begin, record
from trainers.errors import StorageError

FILES = ("leaderboard.md", "figure.png", "report.html")


@pytest.fixture
def told(ledger: Ledger, small_plan: Plan) -> Ledger:
    """A ledger with results."""
    begin(ledger, small_plan)
    for slot in small_plan.slots:
        record(ledger, small_plan, slot, [80.0, 90.0 - slot.seed])
    return ledger


@pytest.mark.parametrize("foreign", FILES)
def test_a_folder_in_the_place_of_one_file_costs_none_of_the_others(
    told: Ledger, paths: SweepPaths, foreign: str
) -> None:
    (paths.folder / foreign / "of somebody").mkdir(parents=True)
    (line,) = make_reports(paths, told)
    assert line == f"cannot write {paths.folder / foreign}: Is a directory"
    assert [name for name in FILES if (paths.folder / name).is_file()] == [name for name in FILES if name != foreign]
    event = told.latest("report")
    assert event is not None
    assert event.body["unwritten"] == [foreign]
    assert event.body["figure"] == (None if foreign == "figure.png" else "figure.png")
    assert ("page" in event.body) == (foreign != "report.html")
    assert "| kd |" in event.body["markdown"]


@pytest.mark.slow(1)
def test_what_could_not_be_written_is_written_when_its_place_is_free(told: Ledger, paths: SweepPaths) -> None:
    paths.report.mkdir()
    assert len(make_reports(paths, told)) == 1
    paths.report.rmdir()
    assert make_reports(paths, told) == []
    event = told.latest("report")
    assert event is not None
    assert "unwritten" not in event.body
    assert event.body["page"]["file"] == "report.html"


@pytest.mark.slow(1)
def test_figures_that_cannot_be_written_cost_neither_the_page_nor_each_other(
    told: Ledger, paths: SweepPaths, tmp_path: Path
) -> None:
    foreign = paths.figures / "curves-test-resnet20-resnet8.png"
    foreign.mkdir(parents=True)
    (paths.figures / "old.png").mkdir()
    with pytest.raises(StorageError) as failed:
        report.write(told, paths.report, paths.figures)
    assert str(failed.value) == f"cannot write {foreign}: Is a directory; everything else is written"
    assert paths.report.is_file()
    assert foreign.with_suffix(".pdf").is_file()
    assert len([file for file in paths.figures.iterdir() if file.is_file()]) == 5


def test_of_many_that_cannot_be_written_the_first_are_told() -> None:
    outputs = Outputs()
    for number in range(MOST_TOLD + 2):
        with outputs.one(Path(f"{number}.png")):
            raise StorageError(f"cannot write {number}.png")
    assert outputs.told[0] == "cannot write 0.png"
    assert outputs.told[MOST_TOLD:] == ["nor 2 other files"]
    with pytest.raises(ValueError, match="a slip"), outputs.one(Path("other.png")):
        raise ValueError("a slip")
