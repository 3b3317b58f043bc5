"""The exit code that follows from what has ended, and how."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sweep.engine.job import Job
from sweep.exit_codes import DONE, SOME_FAILED
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.standing import exit_code
from tests.support.examples import begin, record, small_spec
from tests.support.simulation import Curve, World, run

STATES = ["failed", "diverged", "interrupted", "running", "waiting"]


def told(ledger: Ledger, plan: Plan, place: int | None = None, state: str = "finished") -> int:
    """The exit code where all trials have finished, but for one in the plan's order."""
    begin(ledger, plan)
    for number, slot in enumerate(plan.slots):
        how = state if number == place else "finished"
        if how != "waiting":
            record(ledger, plan, slot, [80.0], how)
    return exit_code(plan, ledger)


def test_a_sweep_whose_trials_have_finished_is_done(ledger: Ledger, small_plan: Plan) -> None:
    assert told(ledger, small_plan) == DONE == 0


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("place", [0, 1, -1], ids=["teacher", "first student", "last student"])
def test_one_trial_that_did_not_finish_is_not_done(ledger: Ledger, small_plan: Plan, place: int, state: str) -> None:
    assert told(ledger, small_plan, place % len(small_plan.slots), state) == SOME_FAILED == 1


# -- searches ---------------------------------------------------------------------------------------------------------


def accuracy(job: Job, epoch: int) -> float:
    return 50.0 + epoch + float(job.trial.method.params.get("w2", 0))


def broken(job: Job, epoch: int) -> float:
    if job.trial.method.params.get("w2") == 2:
        raise ValueError("no")
    return accuracy(job, epoch)


def diverged(job: Job, epoch: int) -> float:
    if job.trial.method.params.get("w2") == 2:
        raise ZeroDivisionError("loss term 'kd' became nan")
    return accuracy(job, epoch)


def all_diverged(job: Job, epoch: int) -> float:
    if "w2" in job.trial.method.params:
        raise ZeroDivisionError("loss term 'kd' became nan")
    return accuracy(job, epoch)


@pytest.mark.parametrize(
    ("curve", "code"),
    [(accuracy, DONE), (diverged, DONE), (broken, SOME_FAILED), (all_diverged, SOME_FAILED)],
    ids=["all well", "one diverged", "one broke", "nothing won"],
)
def test_bad_ends_are_part_of_a_search_but_not_broken_trials(tmp_path: Path, curve: Curve, code: int) -> None:
    search = {"trials": 4, "sampler": "grid", "grace": 1, "reduction": 2}
    plan = build_plan(small_spec(methods=["kd", {"gdkd": {"w2": {"choice": [3, 2, 4, 1]}}}], search=search, seeds=1))
    world = World(tmp_path, curve)
    run(world, plan, random.Random(0), workers=1)
    with Ledger(world.paths.ledger) as ledger:
        assert exit_code(plan, ledger) == code
