"""The measures of large sweeps run, and what they count in bytes is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale import measures
from benchmarks.scale.__main__ import line
from benchmarks.scale.material import PAIRS, SEEDS, grid
from benchmarks.scale.measures import MEASURES, Found
from sweep.plan.expand import build_plan


def found(tmp_path: Path, name: str, trials: int) -> Found:
    """One measure in this process."""
    found = Found()
    (tmp_path / f"{name}-{trials}").mkdir()
    MEASURES[name](tmp_path / f"{name}-{trials}", trials, found)
    return found


def test_a_grid_has_about_as_many_trials_as_are_asked_for() -> None:
    plan = build_plan(grid(200))
    assert len(plan.students) == 200
    assert (len({slot.pair for slot in plan.students}), len(plan.seeds)) == (len(PAIRS), SEEDS)


def test_a_plan_takes_as_many_bytes_a_trial_however_long_and_none_when_it_is_the_same(tmp_path: Path) -> None:
    few, many = (found(tmp_path, "plan", trials) for trials in (400, 800))
    own = (many.sizes["MB in the ledger"] - few.sizes["MB in the ledger"]) / (many.trials - few.trials)
    assert own < 1300 / 1e6
    assert few.sizes["MB of the same plan again"] == many.sizes["MB of the same plan again"] == 0


@pytest.mark.slow(1)
def test_an_epoch_more_takes_few_bytes_of_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for epochs in (40, 80):
        monkeypatch.setattr(measures, "REPORT_EPOCHS", epochs)
        (tmp_path / str(epochs)).mkdir()
        taken.append(epochs * found(tmp_path / str(epochs), "ledger", 50).sizes["bytes of an epoch and metric"])
    assert 15 < (taken[1] - taken[0]) / 40 < 25


@pytest.mark.parametrize("name", ["resume", "driver", "search"])
def test_a_measure_runs_and_counts_its_trials(tmp_path: Path, name: str) -> None:
    small = found(tmp_path, name, 50)
    assert small.trials == (55 if name == "resume" else 50)  # its teachers as well
    assert small.cpu > 0


def test_a_line_tells_how_the_time_of_a_trial_has_grown() -> None:
    few, many = Found(100, 1.0, 10.0, {"MB": 2.0}), Found(200, 4.0, 20.0, {"MB": 4.0})
    assert line(few, None) == "| 100 | 1.00 | 10 | 2 |  |"
    assert line(many, few) == "| 200 | 4.00 | 20 | 4 | 2.00 |"
