"""What a budget refuses, and when it ends a sweep."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sweep.cost.budget import BudgetWatch
from sweep.cost.estimate import Estimate, Pace
from sweep.cost.prices import device_seconds
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import begin, job_of, play, slot_of, small_spec
from tests.sweep.cost.test_estimate import EACH, NOON, SEARCHED, timed
from trainers.errors import InputError

# -- budgets ----------------------------------------------------------------------------------------------------------

NOTHING = Estimate(0, 0, 1, 1)


def watch_of(ledger: Ledger, compute: dict[str, Any] | None = None, **budget: Any) -> BudgetWatch:
    return BudgetWatch(build_plan(small_spec(**SEARCHED, budget=budget, compute=compute or {})), ledger)


def test_without_a_budget_nothing_is_refused_and_nothing_ends(ledger: Ledger) -> None:
    watch = watch_of(ledger)
    watch.refuse(Estimate(1e9, 0, 1, 1), NOON)
    watch.spend(1e9)
    assert watch.over(NOON) == ""


def test_trials_are_those_of_teachers_and_searches_too(ledger: Ledger) -> None:
    watch_of(ledger, max_trials=8).refuse(NOTHING, NOON)  # a teacher, two of kd, four of the search, one confirming
    with pytest.raises(InputError, match=r"small has 8 trials, and budget.max_trials is 7; raise it, or ask for less"):
        watch_of(ledger, max_trials=7).refuse(NOTHING, NOON)


def test_device_hours_are_what_was_used_and_what_is_left(ledger: Ledger, small_plan: Plan) -> None:
    timed(ledger, small_plan, slot_of(small_plan, "kd"), 1800.0, 1800.0)
    watch_of(ledger, max_device_hours=3).refuse(Estimate(7200, 0, 1, 1), NOON)
    message = r"small needs about 2.1 device hours and has had 1, and budget.max_device_hours is 3; raise it"
    with pytest.raises(InputError, match=message):
        watch_of(ledger, max_device_hours=3).refuse(Estimate(7400, 0, 1, 1), NOON)


@pytest.mark.parametrize(("compute", "share"), [({"cpus": 2}, 2), ({"cpus": 4, "gpus": 0.25}, 0.25)], ids=str)
def test_an_hour_of_training_counts_by_the_trials_devices(
    ledger: Ledger, compute: dict[str, Any], share: float
) -> None:
    watch = watch_of(ledger, compute, max_device_hours=share)
    watch.refuse(Estimate(3600, 0, 1, share), NOON)
    with pytest.raises(InputError, match="needs about"):
        watch.refuse(Estimate(3700, 0, 1, share), NOON)
    watch.spend(3599)
    assert watch.over(NOON) == ""
    watch.spend(1)
    assert watch.over(NOON) == f"budget.max_device_hours ({share:g}) is used up"


def test_what_earlier_runs_have_used_counts(ledger: Ledger, small_plan: Plan) -> None:
    timed(ledger, small_plan, slot_of(small_plan, "kd"), 3000.0)
    watch = watch_of(ledger, max_device_hours=1)
    assert watch.over(NOON) == ""
    watch.spend(600)
    assert watch.over(NOON) == "budget.max_device_hours (1) is used up"


def test_a_deadline_is_refused_when_it_would_be_missed_and_ends_what_runs(ledger: Ledger) -> None:
    watch = watch_of(ledger, deadline="2026-12-01 13:00")
    watch.refuse(Estimate(7200, 0, 2, 1), NOON)
    message = (
        r"small would run until 2026-12-01 14:00, and budget.deadline is 2026-12-01 13:00; move it, or ask for less"
    )
    with pytest.raises(InputError, match=message):
        watch.refuse(Estimate(7200, 0, 1, 1), NOON)
    assert watch.over(NOON + timedelta(minutes=59)) == ""
    assert watch.over(NOON + timedelta(minutes=60)) == "budget.deadline (2026-12-01 13:00) has come"


@pytest.mark.parametrize("written", ["2026-12-01 13:00:00Z", "2026-12-01 15:00:00+02:00", "2026-12-01T05:00:00-08:00"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_deadline_with_a_zone_is_that_moment_everywhere(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, written: str, zone: str
) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        moment = datetime.fromisoformat("2026-12-01T13:00:00+00:00").astimezone().replace(tzinfo=None)
        watch = watch_of(ledger, deadline=written)
        assert watch.over(moment - timedelta(seconds=1)) == ""
        assert "has come" in watch.over(moment)
        watch.refuse(Estimate(3600, 0, 1, 1), moment - timedelta(hours=1))
        with pytest.raises(InputError, match="would run until"):
            watch.refuse(Estimate(3601, 0, 1, 1), moment - timedelta(hours=1))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_watch_knows_the_hours_of_a_whole_played_search(root: Root, ledger: Ledger) -> None:
    plan = build_plan(small_spec(**SEARCHED, budget={"max_device_hours": 1}))
    begin(ledger, plan)
    done = play(ledger, plan, lambda slot: 80.0)
    assert len(done) == 2 + 4 + 1
    assert device_seconds(ledger) == len(done) * 3 * EACH
    watch = BudgetWatch(plan, ledger)
    watch.spend(3600 - len(done) * 3 * EACH - 1)
    assert watch.over(NOON) == ""
    watch.spend(1)
    assert watch.over(NOON)
    assert Pace(root).seconds(plan.cells[0].pair, plan.cells[0].config) == EACH
    assert {job.key for job in done} >= {job_of(plan, slot).key for slot in plan.students}
