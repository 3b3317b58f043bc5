"""What old seconds cost: what they cost when they were trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.cost.budget import BudgetWatch
from sweep.cost.estimate import Estimate
from sweep.cost.prices import device_seconds, devices_of
from sweep.ledger.bodies import start_body
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.examples import begin, epoch_body, job_of, slot_of
from tests.sweep.cost.test_estimate import NOON
from trainers.errors import InputError

EACH = epoch_body(1, 1.0)["seconds"]


def with_compute(plan: Plan, **compute: Any) -> Plan:
    return replace(plan, compute=plan.compute | compute)


def train(ledger: Ledger, plan: Plan, label: str, epochs: range, devices: float | None) -> None:
    """A trial is taken up, and does epochs."""
    job = job_of(plan, slot_of(plan, label))
    ledger.append("start", job.key, body=start_body(job.slot, job.trial, devices))
    for epoch in epochs:
        ledger.append("epoch", job.key, epoch, epoch_body(epoch, 1.0))


@pytest.mark.parametrize(
    ("compute", "devices"),
    [
        ({"cpus": 2, "gpus": 0, "workers": 1}, 2),
        ({"cpus": 2, "gpus": 0.25, "workers": 1}, 0.25),
        ({"cpus": 2, "gpus": 1, "workers": 4}, 4),
        ({"cpus": 2, "gpus": 0}, 2),
    ],
    ids=str,
)
def test_devices_are_gpus_or_else_cpus_of_all_workers(compute: dict[str, Any], devices: float) -> None:
    assert devices_of(compute) == devices


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "from the plan"])
def test_seconds_are_priced_by_what_their_trial_had_then(ledger: Ledger, small_plan: Plan, noted: bool) -> None:
    """A start from before its devices were noted is priced by the plan that was run then."""
    first, second = with_compute(small_plan, cpus=4), with_compute(small_plan, cpus=1)
    begin(ledger, first)
    train(ledger, first, "kd", range(1, 3), 4.0 if noted else None)
    train(ledger, first, "scratch", range(1, 2), 4.0 if noted else None)
    begin(ledger, second)
    train(ledger, second, "kd", range(3, 4), 1.0 if noted else None)
    assert device_seconds(ledger) == EACH * (4 * 3 + 1)


def test_a_budget_does_not_forget_what_earlier_runs_cost(ledger: Ledger, small_plan: Plan) -> None:
    """Fewer cores for each trial from now on make nothing cheaper that was trained before."""
    budget = {"max_trials": None, "max_device_hours": 6.5 * EACH / 3600, "deadline": None}
    now = replace(with_compute(small_plan, cpus=1), budget=budget)
    begin(ledger, with_compute(small_plan, cpus=4))
    train(ledger, small_plan, "kd", range(1, 2), 4.0)
    watch = BudgetWatch(now, ledger)
    watch.refuse(Estimate(2 * EACH, 0, 1, 1), NOON)
    with pytest.raises(InputError, match="max_device_hours"):
        watch.refuse(Estimate(3 * EACH, 0, 1, 1), NOON)
    watch.spend(EACH)
    assert watch.over(NOON) == ""
    watch.spend(EACH, 2.0)
    assert "is used up" in watch.over(NOON)


def test_nothing_was_trained_in_an_empty_ledger(ledger: Ledger) -> None:
    assert device_seconds(ledger) == 0
