"""The exit code that follows from what has ended, and how."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.engine.job import Job
from sweep.exit_codes import DONE, SOME_FAILED
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.standing import done_and_left, ended, exit_code, standing, trials_of
from tests.support.examples import begin, record, small_spec, teacher_of
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


# -- parts of it ------------------------------------------------------------------------------------------------------


def told_variously(ledger: Ledger, plan: Plan) -> None:
    """The teacher and the first student finished, the next diverged, failed and runs; the others wait."""
    begin(ledger, plan)
    for slot, how in zip(plan.slots, ("finished", "finished", "diverged", "failed", "running"), strict=False):
        record(ledger, plan, slot, [80.0], how)


def test_what_ended_for_good_is_done_and_the_other_trials_have_their_epochs_left(
    ledger: Ledger, small_plan: Plan
) -> None:
    told_variously(ledger, small_plan)
    assert len(small_plan.slots) == 9
    assert small_plan.epochs == 9 * 3
    assert done_and_left(small_plan, ledger) == (3, 6 * 3)
    assert done_and_left(replace(small_plan, slots=small_plan.slots[1:4]), ledger) == (2, 3)


def test_a_part_of_a_plan_has_its_own_trials_alone(ledger: Ledger, small_plan: Plan) -> None:
    told_variously(ledger, small_plan)
    part = replace(small_plan, slots=small_plan.slots[2:5])
    assert [trial.slot for trial in trials_of(small_plan, ledger)] == list(small_plan.slots)
    assert [(trial.slot, trial.state) for trial in trials_of(part, ledger)] == list(
        zip(part.slots, ("diverged", "failed", "running"), strict=True)
    )


def test_a_slot_is_over_where_its_trial_with_the_stored_teacher_has_ended(ledger: Ledger, small_plan: Plan) -> None:
    told_variously(ledger, small_plan)
    (teacher,) = small_plan.teachers
    stored = {teacher.id: teacher_of(teacher)}
    scratch, taught = (slot.id for slot in small_plan.slots[1:3])
    assert standing(small_plan, stored, ledger).slots == {teacher.id, scratch, taught}
    assert standing(small_plan, stored, ledger).trials == 3
    other = {teacher.id: stored[teacher.id].model_copy(update={"hash": "0" * 16})}
    assert standing(small_plan, other, ledger).slots == {teacher.id, scratch}
    assert standing(small_plan, {}, ledger).slots == {scratch}
    assert standing(small_plan, stored, None).slots == {teacher.id}


def test_a_teacher_that_is_no_longer_stored_has_ended_only_if_it_can_have_no_weights(
    ledger: Ledger, small_plan: Plan
) -> None:
    told_variously(ledger, small_plan)
    (teacher,) = small_plan.teachers
    students = set(ledger.finals()) - {teacher.id}
    assert len(students) == 2
    assert ended(small_plan, {teacher.id: teacher_of(teacher)}, ledger) == {teacher.id, *students}
    assert ended(small_plan, {}, ledger) == students


def test_a_teacher_that_diverged_has_ended(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    (teacher,) = small_plan.teachers
    record(ledger, small_plan, teacher, [10.0], "diverged")
    assert ended(small_plan, {}, ledger) == {teacher.id}


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
