"""The order of the slots that wait, and what it costs to hand them out."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sweep.engine.queue import TrialQueue
from sweep.engine.waiting import Waiting
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from tests.support.counting import instructions
from tests.support.examples import small_spec, teacher_of


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"], seeds=3))


def test_slots_keep_the_order_of_a_list(plan: Plan) -> None:
    draw, out = random.Random(0), list(plan.slots)
    waiting, listed = Waiting(), list[Slot]()
    for _ in range(400):
        what = draw.choice(["first", "last", "remove", "remove", "sort", "keep"])
        if what in ("first", "last") and out:
            slot = out.pop(draw.randrange(len(out)))
            (waiting.put_first if what == "first" else waiting.append)(slot)
            listed.insert(0 if what == "first" else len(listed), slot)
        elif what == "remove" and listed:
            out.append(listed.pop(draw.randrange(len(listed))))
            waiting.remove(out[-1])
        elif what == "sort":
            waiting.sort(key=lambda slot: slot.seed)
            listed.sort(key=lambda slot: slot.seed)
        elif what == "keep" and draw.random() < 0.1:
            seed = draw.randrange(3)
            gone = waiting.keep(lambda slot: slot.seed != seed)  # noqa: B023
            assert gone == [slot for slot in listed if slot.seed == seed]
            out, listed = [*out, *gone], [slot for slot in listed if slot.seed != seed]
        assert list(waiting) == listed
        assert (len(waiting), waiting.ids) == (len(listed), {slot.id for slot in listed})
        there = {None, plan.teachers[0].id}
        able = [slot for slot in listed if slot.teacher in there]
        assert list(waiting.able(there.__contains__)) == able
        early = [slot for slot in able if slot.stage != "confirm"]
        assert list(waiting.able(there.__contains__, confirming=False)) == early
        for slot in plan.slots:
            assert waiting.of(slot.id) is next((other for other in listed if other.id == slot.id), None)


def test_what_does_not_wait_cannot_be_taken_out(plan: Plan) -> None:
    waiting = Waiting(plan.slots[:2])
    with pytest.raises(KeyError):
        waiting.remove(plan.slots[2])
    with pytest.raises(KeyError):
        waiting.remove(replace(plan.slots[0], pair="another"))
    assert len(waiting) == 2


def test_handing_out_a_job_is_as_much_work_however_many_wait() -> None:
    few, many = (_handing_out(alphas) for alphas in (20, 80))
    assert many < 1.05 * few


def _handing_out(alphas: int) -> int:
    """Instructions for twelve jobs of a plan, from their turn to their end; the first teacher is yet to be trained."""
    kd = {"kd": {"alpha": [place / alphas for place in range(alphas)]}}
    plan = build_plan(small_spec(methods=[kd], pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"], baseline="kd"))
    waits, there = plan.teachers
    queue = TrialQueue(plan, {there.id: teacher_of(there)}, set())
    assert (first := queue.next()) is not None and first.slot == waits

    def work() -> None:
        for _ in range(12):
            job = queue.next()
            assert job is not None and job.slot.teacher == there.id
            queue.finished(job.key)

    return instructions(work)


def test_what_is_done_leaves_the_queue_in_as_much_work_a_slot_however_many_there_are() -> None:
    few, many = (_beginning(alphas) for alphas in (10, 40))
    assert many < 1.05 * few


def _beginning(alphas: int) -> float:
    """Instructions for each slot of a run that goes on with the first half of its trials."""
    kd = {"kd": {"alpha": [place / alphas for place in range(alphas)]}}
    plan = build_plan(small_spec(methods=[kd], baseline="kd"))
    known = {slot.id: teacher_of(slot) for slot in plan.teachers}
    trials = [slot.trial(known[slot.teacher] if slot.teacher else None) for slot in plan.students]
    done = {trial.key for trial in trials[len(trials) // 2 :]}
    return instructions(lambda: TrialQueue(plan, known, done)) / len(trials)
