"""What the rest of a plan will cost, and what a budget allows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sweep.cost.budget import BudgetWatch
from sweep.cost.estimate import COPIES, Estimate, Pace, disk_bytes, estimate
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from tests.support.examples import SPEC, begin, epoch_body, job_of, play, record, slot_of, small_spec
from trainers.errors import InputError
from trainers.models import build

NOON = datetime(2026, 12, 1, 12, 0)
SEARCHED: dict[str, Any] = {
    "methods": ["kd", {"gdkd": {"k": {"range": [2, 9]}}}],
    "search": {"trials": 4, "sampler": "grid", "pruner": "none"},
}
EACH = 2.0
"""Seconds of a made-up epoch (see `epoch_body`)."""


def timed(ledger: Ledger, plan: Plan, slot: Slot, *seconds: float) -> None:
    """A trial whose epochs took so long."""
    key = record(ledger, plan, slot, state="running")
    for epoch, each in enumerate(seconds, start=1):
        ledger.append("epoch", key, epoch, epoch_body(epoch, 90.0) | {"seconds": each})


# -- pace -------------------------------------------------------------------------------------------------------------


def test_a_pace_is_the_median_of_the_trials_that_were_timed(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    kd, other = slot_of(small_plan, "kd"), slot_of(small_plan, "kd", 1)
    timed(ledger, small_plan, kd, 1.0, 3.0)
    assert Pace(root).seconds(kd.pair, kd.config) == 2.0
    timed(ledger, small_plan, other, 6.0)
    assert Pace(root).seconds(kd.pair, kd.config) == 4.0


def test_another_method_on_the_same_networks_says_what_is_not_known_better(
    root: Root, ledger: Ledger, small_plan: Plan
) -> None:
    kd, dhkd = slot_of(small_plan, "kd"), slot_of(small_plan, "dhkd α=1")
    timed(ledger, small_plan, dhkd, 5.0)
    assert Pace(root).seconds(kd.pair, kd.config) == 5.0
    timed(ledger, small_plan, kd, 2.0)
    assert Pace(root).seconds(kd.pair, kd.config) == 2.0
    assert Pace(root).seconds(dhkd.pair, dhkd.config) == 5.0


def test_what_has_no_teacher_says_nothing_of_what_has_one(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    scratch, kd, teacher = slot_of(small_plan, "scratch"), slot_of(small_plan, "kd"), small_plan.teachers[0]
    timed(ledger, small_plan, scratch, 1.0)
    assert Pace(root).seconds(kd.pair, kd.config) is None
    assert Pace(root).seconds(teacher.pair, teacher.config) is None
    timed(ledger, small_plan, teacher, 7.0)
    assert Pace(root).seconds(teacher.pair, teacher.config) == 7.0
    assert Pace(root).seconds(scratch.pair, scratch.config) == 1.0


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"recipe": SPEC["recipe"] | {"lr": 0.01, "epochs": 9, "weight_decay": 0}}, True),
        ({"methods": [{"kd": {"alpha": 0.3}}]}, True),
        ({"seeds": [7]}, True),
        ({"name": "other"}, True),
        ({"recipe": SPEC["recipe"] | {"batch_size": 16}}, False),
        ({"recipe": SPEC["recipe"] | {"samples_per_class": 9}}, False),
        ({"recipe": SPEC["recipe"] | {"precision": "bf16"}}, False),
        ({"dataset": {"digits": {"image_size": 9}}}, False),
        ({"pairs": ["resnet20 -> resnet14"]}, False),
        ({"pairs": ["resnet14 -> resnet8"]}, False),
    ],
    ids=str,
)
def test_only_what_takes_as_long_is_judged_by_it(
    root: Root, ledger: Ledger, small_plan: Plan, changes: dict[str, Any], known: bool
) -> None:
    timed(ledger, small_plan, slot_of(small_plan, "kd"), 3.0)
    plan = build_plan(small_spec(**({"methods": ["kd"], "seeds": 1} | changes)))
    (slot,) = plan.students
    assert Pace(root).seconds(slot.pair, slot.config) == (3.0 if known else None)


def test_every_sweep_below_a_root_is_remembered(root: Root, small_plan: Plan) -> None:
    kd = slot_of(small_plan, "kd")
    assert Pace(root).seconds(kd.pair, kd.config) is None
    for name, seconds in (("a", 1.0), ("b", 5.0)):
        with Ledger(root.sweep(name).ledger) as ledger:
            timed(ledger, small_plan, kd, seconds)
    assert Pace(root).seconds(kd.pair, kd.config) == 3.0


def test_a_trial_that_began_and_did_no_epoch_has_no_pace(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    kd = slot_of(small_plan, "kd")
    record(ledger, small_plan, kd, state="failed")
    assert Pace(root).seconds(kd.pair, kd.config) is None


# -- estimates --------------------------------------------------------------------------------------------------------


def test_what_is_left_is_summed_over_trials(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    timed(ledger, small_plan, small_plan.teachers[0], 10.0)
    for label, seconds in (("scratch", 1.0), ("kd", 2.0), ("dhkd α=1", 4.0)):
        timed(ledger, small_plan, slot_of(small_plan, label), seconds)
    whole = estimate(small_plan, set(), {}, root)
    assert (whole.seconds, whole.unknown) == (3 * (10 + 2 * 1 + 2 * 2 + 4 * 4), 0)
    over = {small_plan.teachers[0].id, slot_of(small_plan, "kd").id}
    assert estimate(small_plan, over, {}, root).seconds == 3 * (2 * 1 + 2 + 4 * 4)
    assert estimate(small_plan, {slot.id for slot in small_plan.slots}, {}, root).seconds == 0


def test_what_was_never_timed_is_counted(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    assert estimate(small_plan, set(), {}, root).unknown == 9
    timed(ledger, small_plan, slot_of(small_plan, "kd"), 2.0)
    left = estimate(small_plan, set(), {}, root)
    assert (left.seconds, left.unknown) == (6 * 3 * 2.0, 3)  # the teacher and scratch


def test_searches_count_by_what_they_have_left(root: Root, ledger: Ledger) -> None:
    plan = build_plan(small_spec(**SEARCHED))
    (cell,) = plan.cells
    timed(ledger, plan, cell.slot({"k": 3}, "search", 0), 2.0)
    slots = {slot.id for slot in plan.slots}
    for tried, trials in ((0, 5), (3, 2), (5, 0), (6, 0)):
        assert estimate(plan, slots, {cell.id: tried}, root).seconds == trials * 3 * 2.0


def test_a_trial_that_stands_under_two_pairs_is_paid_for_once(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    timed(ledger, small_plan, slot_of(small_plan, "scratch"), 2.0)
    plan = build_plan(small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"], methods=["scratch"], seeds=1))
    assert len(plan.students) == 2
    assert estimate(plan, set(), {}, root).seconds == 3 * 2.0


def test_devices_are_cores_or_shares_of_gpus(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for compute, room, share in (({"cpus": 3}, 2, 3), ({"cpus": 1, "gpus": 0.5}, 4, 0.5), ({"cpus": 9}, 0, 9)):
        left = estimate(build_plan(small_spec(compute=compute)), set(), {}, root)
        assert (left.room, left.share) == (room, share)


def test_an_estimate_in_words() -> None:
    assert Estimate(0, 0, 2, 1).text(NOON) == "cost: nothing left to run"
    assert Estimate(0, 3, 2, 1).text(NOON) == (
        "cost: not known yet, as no epoch of these trials was timed below this root"
    )
    assert Estimate(7200, 0, 2, 1).text(NOON) == "cost: about 2 device hours, 1:00 h on this machine, until 13:00"
    assert Estimate(7200, 4, 4, 0.25).text(NOON) == (
        "cost: about 0.5 device hours, 30:00 min on this machine, until 12:30;"
        " and 4 trials of a kind that was not timed yet"
    )
    assert Estimate(86400, 0, 1, 1).text(NOON).endswith("until 2026-12-02 12:00")


# -- disk -------------------------------------------------------------------------------------------------------------


def test_the_disk_holds_every_trials_weights_and_the_checkpoints_of_the_live_ones(
    monkeypatch: pytest.MonkeyPatch, small_plan: Plan
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    size = {
        name: 4 * sum(p.numel() for p in build(name, num_classes=10).parameters()) for name in ("resnet20", "resnet8")
    }
    live = COPIES * 3 * size["resnet20"]
    assert disk_bytes(small_plan, 10) == size["resnet20"] + 8 * size["resnet8"] + live
    searched = build_plan(small_spec(**SEARCHED))
    assert disk_bytes(searched, 10) == size["resnet20"] + (2 + 5) * size["resnet8"] + live


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
    assert ledger.seconds_trained() == len(done) * 3 * EACH
    watch = BudgetWatch(plan, ledger)
    watch.spend(3600 - len(done) * 3 * EACH - 1)
    assert watch.over(NOON) == ""
    watch.spend(1)
    assert watch.over(NOON)
    assert Pace(root).seconds(plan.cells[0].pair, plan.cells[0].config) == EACH
    assert {job.key for job in done} >= {job_of(plan, slot).key for slot in plan.students}
