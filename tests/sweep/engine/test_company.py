"""Which trials share a worker, and what becomes of them where it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.tune.experiment import Trial

from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.engine.ray_callback import LOOK_SECONDS
from sweep.engine.vigil import LEAST_FIRST_SECONDS, Vigil
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import epoch_body, small_spec, teacher_of
from tests.support.members import member
from tests.support.simulation import Driver, World, driver

RECIPE = {"base": "digits", "epochs": 3, "samples_per_class": 8}


def plan_of(most: int = 3, **changes: Any) -> Plan:
    methods = ["scratch", {"kd": {"alpha": [0.5, 1, 2, 4]}}, "dhkd"]
    compute = {"cohort": most} | changes.pop("compute", {})
    return build_plan(small_spec(**{"methods": methods, "recipe": RECIPE, "seeds": 2, "compute": compute} | changes))


def queue_of(plan: Plan) -> TrialQueue:
    return TrialQueue(plan, {slot.id: teacher_of(slot) for slot in plan.teachers}, set())


def handed_out(queue: TrialQueue, room: int) -> list[list[Job]]:
    """All that can start now, worker by worker."""
    found = []
    while jobs := queue.next_together(room):
        found.append(jobs)
    return found


def shown(groups: list[list[Job]]) -> list[list[tuple[str, int]]]:
    return [[(job.slot.label, job.slot.seed) for job in jobs] for jobs in groups]


def test_trials_of_one_teacher_and_seed_go_together(small: Plan) -> None:
    assert shown(handed_out(queue_of(small), room=1)) == [
        [("scratch", 0)],
        [("kd α=0.5", 0), ("kd α=1", 0), ("kd α=2", 0)],
        [("kd α=4", 0), ("dhkd", 0)],
        [("scratch", 1)],
        [("kd α=0.5", 1), ("kd α=1", 1), ("kd α=2", 1)],
        [("kd α=4", 1), ("dhkd", 1)],
    ]


@pytest.fixture(scope="module")
def small() -> Plan:
    return plan_of()


@pytest.mark.parametrize("room", [2, 4, 12, 100])
def test_no_worker_goes_without_for_another_s_company(small: Plan, room: int) -> None:
    groups = handed_out(queue_of(small), room)
    assert sum(map(len, groups)) == 12
    assert len(groups) >= min(room, 12)


@pytest.mark.parametrize(
    ("trials", "room", "sizes"), [(5, 2, [3, 2]), (7, 2, [4, 3]), (8, 3, [3, 3, 2]), (2, 3, [1, 1])]
)
def test_workers_have_as_many_trials_as_one_another(trials: int, room: int, sizes: list[int]) -> None:
    alphas = [1 + place for place in range(trials)]
    queue = queue_of(plan_of(9, methods=[{"kd": {"alpha": alphas}}], seeds=1))
    assert [len(jobs) for jobs in handed_out(queue, room)] == sizes


def test_who_is_nearly_through_soon_takes_its_part_of_those_that_wait() -> None:
    queue = queue_of(plan_of(3, methods=[{"kd": {"alpha": [1, 2, 3, 4, 5, 6, 7, 8]}}], seeds=1))
    first, second = queue.next_together(2), queue.next_together(2)
    assert [len(first), len(second)] == [3, 3]
    for job in first:
        queue.finished(job.key)
    for job in second:
        queue.report(job.key, [epoch_body(epoch, 50.0) for epoch in (1, 2, 3)])
    assert len(queue.next_together(2)) == 1, "and the other one soon the other"


def test_no_driver_goes_without_for_another_s_company(tmp_path: Path) -> None:
    """Where several divide a plan, each has as much room."""
    plan = plan_of(6, methods=[{"kd": {"alpha": [0.5, 1, 2, 4]}}, "dhkd"], seeds=1)
    world = World(tmp_path, lambda job, epoch: 50.0 + epoch)
    world.teachers |= {slot.id: teacher_of(slot) for slot in plan.teachers}
    with member(world, plan) as one, member(world, plan) as other:
        one.start()
        other.start()
        assert [len(driver.queue.live) for driver in (one, other)] == [3, 2]


def test_the_live_ones_have_as_many_workers_as_there_are_groups(small: Plan) -> None:
    queue = queue_of(small)
    groups = handed_out(queue, room=1)
    assert queue.running == len(groups) == 6
    for job in groups[1][:2]:
        queue.finished(job.key)
    assert queue.running == 6
    queue.finished(groups[1][2].key)
    assert queue.running == 5


def test_a_trial_has_its_worker_to_itself_by_default() -> None:
    assert {len(jobs) for jobs in handed_out(queue_of(plan_of(1)), room=1)} == {1}
    assert "cohort" not in plan_of(1).compute, "plans of before are no other ones"


def test_teachers_and_trials_of_searches_have_their_worker_to_themselves() -> None:
    searched = {"gdkd": {"w2": {"range": [1, 8], "step": 1}}}
    plan = plan_of(methods=[searched, "kd"], search={"trials": 3, "sampler": "random"}, seeds=1)
    queue = TrialQueue(plan, {}, set())
    (teacher,) = handed_out(queue, room=1)
    assert [job.slot.stage for job in teacher] == ["teacher"]
    queue.finished(teacher[0].key, teacher_of(teacher[0].slot))
    stages = [{job.slot.stage for job in jobs} for jobs in handed_out(queue, room=1)]
    assert stages == [{"search"}, {"search"}, {"search"}, {"confirm"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": RECIPE | {"compile": True}},
        {"pairs": ["resnet20 -> resnet8", "resnet14 -> resnet8"], "methods": ["kd"]},
        {"methods": ["kd"], "seeds": 4},
        {"methods": ["kd"], "recipe": RECIPE | {"lr": [0.1, 0.2]}, "seeds": 1},
    ],
    ids=["compiled", "two teachers", "seeds", "recipes"],
)
def test_strangers_do_not_share_a_worker(changes: dict[str, Any]) -> None:
    assert {len(jobs) for jobs in handed_out(queue_of(plan_of(**changes)), room=1)} == {1}


def test_students_of_one_teacher_do_whatever_they_are() -> None:
    plan = plan_of(pairs=["resnet20 -> resnet8", "resnet20 -> resnet14"], methods=["kd"], seeds=1)
    (jobs,) = handed_out(queue_of(plan), room=1)
    assert {job.trial.model for job in jobs} == {"resnet8", "resnet14"}


def test_those_that_others_have_leave_room_for_those_that_wait_behind_them() -> None:
    queue = queue_of(plan_of(methods=[{"kd": {"alpha": [0.5, 1, 2, 4, 8]}}], seeds=1))
    theirs = {"kd α=1", "kd α=2"}
    queue.claim = lambda job: job.slot.label not in theirs
    assert shown([queue.next_together(1)]) == [[("kd α=0.5", 0), ("kd α=4", 0), ("kd α=8", 0)]]
    assert queue.waiting == 2


# -- a worker that breaks --------------------------------------------------------------------------------------------


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Driver]:
    """Three alphas of kd on one worker, an epoch behind each; no retries."""
    plan = plan_of(methods=[{"kd": {"alpha": [0.5, 1, 2]}}], seeds=1, compute={"retries": 0})
    world = World(tmp_path, lambda job, epoch: 50.0 + epoch)
    world.teachers |= {slot.id: teacher_of(slot) for slot in plan.teachers}
    with driver(world, plan, workers=1) as one:
        first = one.start()
        assert first is not None
        one.step(first.key)
        assert len(one.queue.live) == 3
        yield one


def test_one_that_broke_alone_is_tried_again_alone() -> None:
    """Nobody else is to lose what it has done by it."""
    queue = queue_of(plan_of(methods=[{"kd": {"alpha": [0.5, 1, 2]}}], seeds=1))
    groups = handed_out(queue, room=3)
    assert [len(jobs) for jobs in groups] == [1, 1, 1]
    for (job,) in groups:
        assert queue.failed(job.key, worker=True)
    assert [len(jobs) for jobs in handed_out(queue, room=1)] == [1, 1, 1]


def dies(sweep: Driver, job: Job) -> None:
    """The worker of a trial."""
    sweep.callback.on_trial_error(0, [], sweep.trials[job.key])
    assert sweep.recorder.fatal is None


def to_the_end(sweep: Driver) -> None:
    while sweep.queue.live or sweep.start() is not None:
        sweep.step(sweep.queue.live[0].key)
    assert {event.body["state"] for event in sweep.ledger.events("final")} == {"finished"}
    assert len(sweep.ledger.finals()) == 1 + 3, "the teacher's was there"


def test_all_on_a_worker_that_dies_are_tried_again_alone_at_no_cost(
    sweep: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "error_file", None)  # Ray Tune has nothing to say
    live = sweep.queue.live
    dies(sweep, live[0])
    failed = list(sweep.ledger.events("failed"))
    assert [event.trial for event in failed] == [job.key for job in live]
    assert {(event.body["state"], event.body["again"]) for event in failed} == {("worker-died", True)}
    sweep.start()
    (alone,) = sweep.queue.live
    dies(sweep, alone)
    *_, last = sweep.ledger.events("failed")
    assert (last.trial, last.body["again"]) == (alone.key, False), "by itself it has failed"
    while sweep.queue.live or sweep.start() is not None:
        sweep.step(sweep.queue.live[0].key)
    assert len(sweep.ledger.finals()) == 1 + 2


def test_the_time_that_a_worker_gets_is_that_of_all_of_its_trials(
    sweep: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where one is tried again alone, that of one."""
    monkeypatch.setattr(Trial, "error_file", None)
    now = [0.0]
    sweep.recorder.vigil = Vigil(None, lambda: now[0])
    for job in sweep.queue.live:
        sweep.recorder._started(job)
        sweep.recorder.vigil.heard(job, 7.0)
    assert sweep.recorder.vigil.longest(sweep.queue.live) == 3 * 7.0
    dies(sweep, sweep.queue.live[0])
    sweep.start()
    assert sweep.recorder.vigil.longest(sweep.queue.live) == 7.0


def test_a_worker_that_stands_still_is_killed_for_all_of_them(sweep: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    now, killed = [0.0], []
    sweep.recorder.vigil = Vigil(None, lambda: now[0])
    monkeypatch.setattr(ray, "kill", killed.append)
    live = sweep.queue.live
    trial = sweep.trials[live[0].key]
    trial.temporary_state.ray_actor = "the worker"
    for job in live:
        sweep.recorder.vigil.begun(job)
        sweep.recorder.vigil.heard(job, 1.0)
    while not killed and now[0] < 3 * LEAST_FIRST_SECONDS:
        now[0] += LOOK_SECONDS
        sweep.callback.on_step_end(0, [trial])
    now[0] += LOOK_SECONDS
    sweep.callback.on_step_end(0, [trial])
    assert killed == ["the worker"], "once"
    sweep.callback.on_trial_error(0, [], trial)
    assert [event.body["state"] for event in sweep.ledger.events("failed")] == ["hung"] * 3
    to_the_end(sweep)


def test_what_a_worker_still_says_of_one_that_is_on_another_by_now_is_not_heard(sweep: Driver) -> None:
    """One of three runs out of memory, and is tried again while the others go on."""
    first, *others = sweep.queue.live
    old = sweep.trials[first.key]
    broken = {"state": "out-of-memory", "reason": "no", "log": "", "epochs": [], "done": True}
    sweep.callback.on_trial_result(0, [], old, {"reports": [(first.key, broken)], "done": False})
    assert sweep.queue.live == others
    assert sweep.start() == first
    assert sweep.trials[first.key] is not old
    sweep.callback.on_trial_complete(0, [], old)
    assert sweep.queue.live == [first], "the others were stopped"
    interrupted = [event.trial for event in sweep.ledger.events("interrupted")]
    assert interrupted == [job.key for job in others]
    sweep.callback.on_trial_error(0, [], old)
    assert sweep.queue.live == [first]
    assert len(list(sweep.ledger.events("failed"))) == 1
