"""What the rest of a plan will cost, and what a budget allows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from sweep.cost.estimate import COPIES, Estimate, Pace, _room, disk_bytes, estimate
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from tests.support.examples import SPEC, epoch_body, record, slot_of, small_spec
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
    monkeypatch.setattr("sweep.cost.estimate.cores", lambda: 8)
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
    monkeypatch.setattr("sweep.cost.estimate.cores", lambda: 3)
    size = {
        name: 4 * sum(p.numel() for p in build(name, num_classes=10).parameters()) for name in ("resnet20", "resnet8")
    }
    live = COPIES * 3 * size["resnet20"]
    assert disk_bytes(small_plan, 10) == size["resnet20"] + 8 * size["resnet8"] + live
    searched = build_plan(small_spec(**SEARCHED))
    assert disk_bytes(searched, 10) == size["resnet20"] + (2 + 5) * size["resnet8"] + live


def test_the_live_ones_are_those_of_every_cohort_and_no_more_than_there_are(
    monkeypatch: pytest.MonkeyPatch, small_plan: Plan
) -> None:
    monkeypatch.setattr("sweep.cost.estimate.cores", lambda: 2)
    teacher = 4 * sum(p.numel() for p in build("resnet20", num_classes=10).parameters())
    one = disk_bytes(small_plan, 10)
    for cohort, live in ((3, 6), (64, 9)):
        plan = build_plan(small_spec(compute={"cohort": cohort}))
        assert disk_bytes(plan, 10) - one == COPIES * (live - 2) * teacher


@pytest.mark.parametrize(("gpus", "each", "fit"), [(8, 0.3, 24), (4, 0.7, 4), (2, 0.25, 8), (8, 3, 2), (1, 1 / 3, 3)])
def test_a_share_of_a_gpu_never_spans_two(gpus: int, each: float, fit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("sweep.cost.estimate.cores", lambda: 100)
    assert _room(build_plan(small_spec(compute={"gpus": each}))) == fit
