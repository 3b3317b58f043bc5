"""What runs next: teachers before their students, and no barrier in between."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.engine.job import Job, share
from sweep.engine.queue import TrialQueue
from sweep.layout import Root
from sweep.ledger.neighbours import Whole
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.plan.teachers import stored_teachers
from sweep.results.standing import ended
from tests.support.examples import begin, epoch_body, record, slot_of, small_spec, teacher_of
from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig


@pytest.fixture(scope="module")
def two_teachers() -> Plan:
    """One seed of kd and dhkd for two pairs, and of what needs no teacher."""
    return build_plan(
        small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet32"], methods=["kd", "dhkd", "scratch"], seeds=1)
    )


def taken(queue: TrialQueue) -> list[Job]:
    """All jobs that can start now."""
    jobs = []
    while (job := queue.next()) is not None:
        jobs.append(job)
    return jobs


def stored(plan: Plan) -> dict[str, TeacherConfig]:
    return {slot.id: teacher_of(slot) for slot in plan.teachers}


def all_keys(plan: Plan) -> set[str]:
    """The keys of all trials, with the made-up teachers."""
    queue = TrialQueue(plan, stored(plan), set())
    return {job.key for job in taken(queue)} | {slot.id for slot in plan.teachers}


def test_teachers_start_first_and_with_them_what_needs_none(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, {}, set())
    jobs = taken(queue)
    assert [job.slot.stage for job in jobs[:2]] == ["teacher", "teacher"]
    assert {job.slot.method for job in jobs[2:]} == {"scratch"}
    assert not queue.exhausted
    assert queue.waiting == 4
    assert queue.live == jobs


def test_students_of_a_ready_teacher_do_not_wait_for_another_teacher(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, {}, set())
    first, second, *_ = taken(queue)
    teacher = teacher_of(first.slot)
    queue.finished(first.key, teacher)
    jobs = taken(queue)
    assert {job.slot.pair for job in jobs} == {"resnet20→resnet8"}
    assert [job.trial.teacher for job in jobs] == [teacher, teacher]
    assert queue.job(second.key) == second


def test_a_stored_teacher_is_not_trained_again(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, stored(two_teachers), set())
    jobs = taken(queue)
    assert all(job.slot.stage != "teacher" for job in jobs)
    assert len(jobs) == len(two_teachers.students)
    assert queue.waiting == 0


def test_trials_that_ended_in_an_earlier_run_are_skipped(two_teachers: Plan) -> None:
    done = taken(TrialQueue(two_teachers, stored(two_teachers), set()))[:2]
    queue = TrialQueue(two_teachers, stored(two_teachers), {job.key for job in done})
    assert not {job.key for job in taken(queue)} & {job.key for job in done}
    assert len(queue.live) == len(two_teachers.students) - 2


def test_a_plan_that_is_done_is_exhausted_after_one_look(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, stored(two_teachers), all_keys(two_teachers))
    assert queue.next() is None
    assert queue.exhausted


def test_a_failed_trial_is_tried_again_at_once_and_given_up_after_its_retries() -> None:
    plan = build_plan(small_spec(methods=["scratch"], baseline="scratch", seeds=3, compute={"retries": 2}))
    queue = TrialQueue(plan, {}, set())
    job = queue.next()
    assert job is not None
    for _ in range(2):
        assert queue.failed(job.key)
        assert queue.next() == job
    assert not queue.failed(job.key)
    rest = taken(queue)
    assert len(rest) == 2
    assert job not in rest


def test_what_would_fail_again_is_given_up_at_once() -> None:
    plan = build_plan(small_spec(methods=["scratch"], baseline="scratch", seeds=2, compute={"retries": 2}))
    queue = TrialQueue(plan, {}, set())
    job = queue.next()
    assert job is not None
    assert not queue.failed(job.key, vain=True)
    assert job not in taken(queue)


def test_a_trial_that_ran_out_of_memory_is_tried_again_behind_all_others() -> None:
    plan = build_plan(small_spec(methods=["scratch"], baseline="scratch", seeds=3, compute={"retries": 1}))
    queue = TrialQueue(plan, {}, set())
    job = queue.next()
    assert job is not None
    assert queue.failed(job.key, crowded=True)
    *others, last = taken(queue)
    assert len(others) == 2
    assert job not in others
    assert last == job
    assert not queue.failed(job.key, crowded=True)


def test_a_trial_that_ran_out_of_a_gpu_s_memory_gets_twice_the_share_until_it_has_all_of_it() -> None:
    compute = {"retries": 1, "gpus": 0.25}
    plan = build_plan(small_spec(methods=["scratch"], baseline="scratch", seeds=1, compute=compute))
    queue = TrialQueue(plan, {}, set())
    shares = []
    job = queue.next()
    while job is not None:
        shares.append(share(plan.compute["gpus"], job.crowded))
        queue.failed(job.key, crowded=True)
        job = queue.next()
    assert shares == [0.25, 0.5, 1, 1]  # the last one is the retry that every failed trial has
    assert queue.exhausted


@pytest.mark.parametrize(("gpus", "crowded", "got"), [(0, 3, 0), (0.5, 0, 0.5), (0.3, 1, 0.6), (0.3, 2, 1), (4, 2, 4)])
def test_a_share_grows_to_a_whole_gpu_at_most(gpus: float, crowded: int, got: float) -> None:
    assert share(gpus, crowded) == got


def test_retries_are_counted_per_trial() -> None:
    plan = build_plan(small_spec(methods=["scratch"], baseline="scratch", seeds=2, compute={"retries": 1}))
    queue = TrialQueue(plan, {}, set())
    first, second = taken(queue)
    assert queue.failed(first.key)
    assert queue.failed(second.key)
    assert {job.key for job in taken(queue)} == {first.key, second.key}
    assert not queue.failed(first.key)
    assert not queue.failed(second.key)
    assert queue.exhausted


def test_without_retries_a_failed_trial_is_given_up() -> None:
    plan = build_plan(small_spec(methods=["scratch"], baseline="scratch", seeds=1, compute={"retries": 0}))
    queue = TrialQueue(plan, {}, set())
    (job,) = taken(queue)
    assert not queue.failed(job.key)
    assert queue.exhausted


@pytest.mark.parametrize("how", ["failed", "diverged"])
def test_students_of_a_teacher_that_came_to_nothing_are_lost_and_named(two_teachers: Plan, how: str) -> None:
    queue = TrialQueue(two_teachers, {}, set())
    first, second, *others = taken(queue)
    if how == "diverged":
        queue.finished(first.key)
    else:
        assert queue.failed(first.key)
        assert queue.lost == []
        assert queue.next() == first
        assert not queue.failed(first.key)
    assert [slot.name for slot in queue.lost] == ["resnet20→resnet8 · kd · seed 0", "resnet20→resnet8 · dhkd · seed 0"]
    queue.finished(second.key, teacher_of(second.slot))
    students = taken(queue)
    assert {job.slot.pair for job in students} == {"resnet14→resnet32"}
    for job in (*others, *students):
        queue.finished(job.key)
    assert queue.exhausted


def test_an_interrupted_trial_leaves_and_stays_away(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, stored(two_teachers), set())
    first, *rest = taken(queue)
    queue.interrupted(first.key)
    assert queue.next() is None
    assert queue.live == rest


def test_only_live_trials_can_be_asked_for(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, stored(two_teachers), set())
    job = queue.next()
    assert job is not None
    assert queue.job(job.key) == job
    queue.finished(job.key)
    with pytest.raises(KeyError):
        queue.job(job.key)


def test_a_teacher_that_diverged_in_an_earlier_run_leaves_nobody_waiting(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, {}, {two_teachers.teachers[0].id})
    while (jobs := taken(queue)) or queue.live:
        for job in jobs or queue.live:
            queue.finished(job.key, teacher_of(job.slot) if job.slot.stage == "teacher" else None)
    assert queue.exhausted


def test_a_teacher_that_was_removed_from_the_store_is_trained_again(
    root: Root, ledger: Ledger, small_plan: Plan
) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, small_plan.teachers[0], [90.0])
    _, queue = prepared(root, ledger)
    assert [job.slot.stage for job in taken(queue)][:1] == ["teacher"]


def test_a_run_again_starts_only_what_is_missing(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "scratch", 0), [90.0])
    record(ledger, small_plan, slot_of(small_plan, "scratch", 1), [90.0], state="interrupted")
    plan, queue = prepared(root, ledger)
    assert plan == small_plan
    assert [job.slot.name for job in taken(queue)] == [
        "teacher resnet20 · seed 0",
        "resnet20→resnet8 · scratch · seed 1",
    ]


# -- whatever happens ---------------------------------------------------------------------------------------------

RECIPE = Recipe(epochs=1)


def made_slot(number: int, teacher: Slot | None, stage: str = "confirm") -> Slot:
    config = TrialConfig(
        dataset=DatasetConfig(name="digits"),
        model="resnet8",
        method=MethodConfig(name="kd" if teacher else "scratch"),
        recipe=RECIPE,
        seed=number,
    )
    return Slot(
        id=config.key,
        stage="teacher" if stage == "teacher" else "confirm",
        pair="resnet20",
        method=config.method.name,
        label=config.method.name,
        varied={},
        recipe="digits",
        seed=number,
        config=config.model_dump(mode="json"),
        teacher=teacher.id if teacher else None,
    )


@st.composite
def made_plans(draw: st.DrawFn) -> Plan:
    """Up to three teachers; up to eight students of any of them, or of none."""
    teachers = [made_slot(number, None, "teacher") for number in range(draw(st.integers(0, 3)))]
    whose = draw(st.lists(st.sampled_from([None, *teachers]), max_size=8))
    students = [made_slot(100 + number, teacher) for number, teacher in enumerate(whose)]
    return Plan(
        name="made",
        description="",
        dataset="digits",
        protocol="validation",
        baseline="kd",
        compute={"cpus": 1, "gpus": 0.0, "retries": draw(st.integers(0, 2))},
        slots=(*teachers, *students),
    )


def some_of(names: list[str]) -> st.SearchStrategy[set[str]]:
    return st.sets(st.sampled_from(names)) if names else st.just(set())


@given(made_plans(), st.data())
def test_whatever_happens_the_queue_ends_and_hands_out_nothing_too_often(plan: Plan, data: st.DataObject) -> None:
    ready = data.draw(some_of([slot.id for slot in plan.teachers]), "stored")
    before = data.draw(some_of([slot.id for slot in plan.students if slot.teacher is None]), "ended before")
    queue = TrialQueue(plan, {slot.id: teacher_of(slot) for slot in plan.teachers if slot.id in ready}, before)
    known = set(ready)
    handed: Counter[str] = Counter()
    over: set[str] = set()
    for _ in range(len(plan.slots) * (queue.retries + 1) * 2 + 1):
        if queue.exhausted:
            break
        job = queue.next() if data.draw(st.booleans(), "take one") or not queue.live else None
        if job is not None:
            handed[job.slot.id] += 1
            assert job.key not in over
            assert job.key not in before
            assert job.slot.teacher is None or job.slot.teacher in known
            assert handed[job.slot.id] <= 1 + queue.retries
            continue
        if not queue.live:
            continue
        job = data.draw(st.sampled_from(queue.live), "one ends")
        how = data.draw(st.sampled_from(["finished", "diverged", "failed"]), "how")
        if how == "failed":
            if not queue.failed(job.key):
                over.add(job.key)
        else:
            over.add(job.key)
            teacher = teacher_of(job.slot) if how == "finished" and job.slot.stage == "teacher" else None
            queue.finished(job.key, teacher)
            known |= {job.slot.id} if teacher else set()
    assert queue.exhausted
    assert queue.next() is None
    expected = {slot.id for slot in plan.slots} - ready - before
    assert set(handed) | {slot.id for slot in queue.lost} == expected
    assert not set(handed) & {slot.id for slot in queue.lost}


def prepared(root: Root, ledger: Ledger) -> tuple[Plan, TrialQueue]:
    """The small sweep's plan and queue, as a run makes them."""
    plan = build_plan(small_spec())
    teachers = stored_teachers(plan, root)
    return plan, TrialQueue(plan, teachers, ended(plan, teachers, ledger))


# -- a plan that others divide ---------------------------------------------------------------------------------------


def test_what_others_have_claimed_waits_and_all_else_goes_on(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, stored(two_teachers), set())
    others = {"kd"}
    queue.claim = lambda job: job.slot.method not in others
    assert {job.slot.method for job in taken(queue)} == {"dhkd", "scratch"}
    assert queue.held_elsewhere
    assert queue.waiting == 2
    for job in queue.live:
        queue.finished(job.key)
    assert not queue.exhausted
    others.clear()
    assert {job.slot.method for job in taken(queue)} == {"kd"}
    assert not queue.held_elsewhere


def test_what_another_has_ended_is_not_claimed_and_its_teacher_is_ready(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, {}, set())
    trained, asked = two_teachers.teachers[0], []
    final = {"state": "finished", "teacher": teacher_of(trained).model_dump()}
    queue.take = lambda job: Whole({}, [], final, Path()) if job.key == trained.id else None
    queue.takes_teachers = True

    def claim(job: Job) -> bool:
        asked.append(job.key)
        return job.slot.stage != "teacher"

    queue.claim = claim
    jobs = taken(queue)
    assert trained.id not in asked
    assert queue.teachers == {trained.id: teacher_of(trained)}
    assert Counter(job.slot.teacher for job in jobs) == {trained.id: 2, None: 2}
    assert queue.lost == []


def searched(**search: Any) -> Plan:
    """A search under each of two pairs, and nothing else."""
    return build_plan(
        small_spec(
            pairs=["resnet20 -> resnet8", "resnet14 -> resnet32"],
            methods=[{"gdkd": {"w2": {"range": [1, 8], "step": 1}}}],
            search={"trials": 3, "deterministic": True} | search,
            seeds=1,
        )
    )


def test_a_search_s_trial_that_is_tried_again_waits_while_another_pair_s_teacher_ends() -> None:
    plan = searched()
    first, second = plan.teachers
    queue = TrialQueue(plan, {first.id: teacher_of(first)}, set())
    teacher, trial = queue.next(), queue.next()
    assert teacher is not None
    assert trial is not None
    assert queue.failed(trial.key)
    queue.finished(teacher.key, teacher_of(second))
    again = queue.next()
    assert again is not None
    assert again.key == trial.key


def test_a_search_s_trial_that_others_train_waits_and_its_end_is_theirs() -> None:
    plan = searched()
    queue = TrialQueue(plan, stored(plan), set())
    queue.claim = lambda job: False
    assert queue.next() is None
    assert queue.held_elsewhere
    asked = [search for search in queue.searches.all if search.asked]
    assert [search.asked[0].state for search in asked] == ["running"] * len(asked) != []
    final = {"state": "diverged", "epochs": 1, "seconds": 1.0, "last": epoch_body(1, 10.0, 90.0)}
    ended = {search.keys[0] for search in asked}
    queue.take = lambda job: Whole({}, [], final, Path()) if job.key in ended else None
    assert queue.next() is None
    assert [search.asked[0].state for search in asked] == ["failed"] * len(asked)
    assert all(len(search.asked) == 2 for search in asked), "they go on"


def test_a_teacher_that_diverged_elsewhere_loses_its_students(two_teachers: Plan) -> None:
    queue = TrialQueue(two_teachers, {}, set())
    trained = two_teachers.teachers[0]
    queue.take = lambda job: Whole({}, [], {"state": "diverged"}, Path()) if job.key == trained.id else None
    queue.takes_teachers = True
    queue.take_over()
    assert {slot.teacher for slot in queue.lost} == {trained.id}
    assert {job.slot.teacher for job in taken(queue)} == {None}
