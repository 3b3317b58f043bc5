"""What Ray's callback and scheduler make of a trial's end: given up, finished, broken, or stopped by the user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RaySystemError

from sweep.cost.budget import BudgetWatch
from sweep.engine.attempts import Attempts
from sweep.engine.job import Job
from sweep.engine.ray_callback import LOOK_SECONDS
from sweep.engine.ray_search import StopAfterEpoch
from sweep.engine.recorder import LAST_SECONDS, NEARLY_UP, Recorder
from sweep.engine.until import Until
from sweep.engine.vigil import LEAST_FIRST_SECONDS, LEAST_SECONDS, Vigil
from sweep.ledger.store import Kind
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import epoch_body, small_spec, teacher_of
from tests.support.simulation import Driver, Killed, World, driver
from trainers.errors import BusyError

EPOCHS = 4


def searched_plan(**search: Any) -> Plan:
    asked = {"trials": 4, "sampler": "grid", "grace": 2, "reduction": 2} | search
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8}
    method = {"gdkd": {"w2": {"choice": [6, 5, 1, 4, 3, 2]}}}
    return build_plan(small_spec(methods=["kd", method], recipe=recipe, search=asked, seeds=1))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return searched_plan()


@pytest.fixture
def world(tmp_path: Path, plan: Plan) -> World:
    world = World(tmp_path, lambda job, epoch: 50.0 + epoch + job.trial.method.params.get("w2", 0))
    world.teachers |= {slot.id: teacher_of(slot) for slot in plan.teachers}
    return world


@pytest.fixture
def sweep(world: World, plan: Plan) -> Iterator[Driver]:
    """A sweep whose four search trials run, one epoch each behind them."""
    with driver(world, plan) as one:
        for _ in range(4):
            job = one.start()
            assert job is not None
            one.step(job.key)
        yield one


def search_jobs(sweep: Driver) -> list[Job]:
    return [job for job in sweep.queue.live if job.slot.stage == "search"]


def kinds(sweep: Driver, job: Job) -> list[Kind]:
    return [event.kind for event in sweep.ledger.events(trial=job.key)]


def poor_one(sweep: Driver) -> Job:
    """A trial whose next epoch, the rung, a better one has reached already."""
    good, poor, *_ = search_jobs(sweep)
    sweep.step(good.key)
    return poor


def test_a_trial_that_its_search_gives_up_ends_there(sweep: Driver, world: World) -> None:
    poor = poor_one(sweep)
    assert (world.paths.trial(poor.key) / "checkpoints").exists()
    sweep.step(poor.key)
    assert kinds(sweep, poor) == ["ask", "start", "epoch", "epoch", "pruned"]
    assert poor not in sweep.queue.live
    assert not (world.paths.trial(poor.key) / "checkpoints").exists()
    (event,) = [event for event in sweep.ledger.events("pruned") if event.trial == poor.key]
    assert (event.body["epochs"], event.body["last"]["epoch"]) == (2, 2)
    assert f"given up {poor.slot.name} after epoch 2" in sweep.out.getvalue()


def test_a_trial_that_goes_on_is_left_alone(sweep: Driver) -> None:
    good = search_jobs(sweep)[0]
    sweep.step(good.key)
    assert kinds(sweep, good) == ["ask", "start", "epoch", "epoch"]
    assert good in sweep.queue.live


def test_a_trial_that_ends_with_the_epoch_that_would_have_ended_it_has_finished(world: World) -> None:
    world.curve = lambda job, epoch: job.trial.method.params.get("w2", 0.0) if epoch == EPOCHS else 0.0
    plan = searched_plan(pruner="median", grace=1, trials=6)
    with driver(world, plan) as one:
        jobs = [job for _ in range(6) if (job := one.start()) is not None]
        for job in jobs:
            assert job.slot.stage == "search"
            for _ in range(EPOCHS):
                one.step(job.key)
            assert kinds(one, job)[-1] == "final"
        assert {asked.state for asked in one.searches.of(jobs[0].key)[0].asked} == {"finished"}


def test_ctrl_c_in_the_step_that_gives_a_trial_up_leaves_it_given_up(sweep: Driver) -> None:
    poor = poor_one(sweep)
    good = next(job for job in search_jobs(sweep) if job != poor)
    sweep.recorder.stop_requested = True
    sweep.step(poor.key)
    sweep.step(good.key)
    assert kinds(sweep, poor)[-1] == "pruned"
    assert kinds(sweep, good)[-1] == "interrupted"
    assert poor not in sweep.queue.live
    assert good not in sweep.queue.live


def test_ctrl_c_in_the_last_step_leaves_the_trial_finished(sweep: Driver) -> None:
    good = search_jobs(sweep)[0]
    for _ in range(EPOCHS - 2):
        sweep.step(good.key)
    sweep.recorder.stop_requested = True
    sweep.step(good.key)
    assert kinds(sweep, good)[-1] == "final"


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_a_resumed_trial_that_was_given_up_an_epoch_before_it_broke_is_given_up(sweep: Driver, state: str) -> None:
    poor = poor_one(sweep)
    end = {"state": state, "reason": "no", "log": "", "done": True}
    sweep.tell(poor.key, end | {"epochs": [epoch_body(epoch, 1.0, 1.0) for epoch in (1, 2)]})
    assert kinds(sweep, poor) == ["ask", "start", "epoch", "epoch", "pruned"]


def test_epochs_beyond_the_one_that_gave_a_resumed_trial_up_do_not_count(sweep: Driver) -> None:
    poor = poor_one(sweep)
    given_up = 0
    while not sweep.searches.given_up(poor.key):
        given_up += 1
        sweep.queue.report(poor.key, [epoch_body(given_up, 1.0, 1.0)])
    told = [epoch_body(epoch, 1.0, 1.0) for epoch in range(1, given_up + 2)]
    sweep.tell(poor.key, {"epochs": told, "done": False})
    assert [event.epoch for event in sweep.ledger.events("epoch", trial=poor.key)] == list(range(1, given_up + 1))
    assert kinds(sweep, poor)[-1] == "pruned"


def test_a_resumed_trial_that_was_given_up_but_came_to_its_end_keeps_its_result(sweep: Driver) -> None:
    poor = poor_one(sweep)
    epochs = [epoch_body(epoch, 1.0, 1.0) for epoch in range(1, EPOCHS + 1)]
    sweep.tell(poor.key, {"state": "finished", "epochs": epochs, "done": True})
    assert kinds(sweep, poor)[-1] == "final"
    assert sweep.searches.given_up(poor.key)


def test_a_trial_that_breaks_is_tried_again_and_then_counts_as_failed(sweep: Driver) -> None:
    job = search_jobs(sweep)[0]
    broken = {"state": "failed", "reason": "no", "log": "", "epochs": [], "done": True}
    sweep.tell(job.key, broken)
    assert kinds(sweep, job)[-1] == "failed"
    assert not sweep.searches.given_up(job.key)
    assert sweep.start() == job
    sweep.tell(job.key, broken)
    assert [event.body["again"] for event in sweep.ledger.events("failed")] == [True, False]
    assert sweep.searches.given_up(job.key)
    assert sweep.searches.of(job.key)[0].asked[0].state == "failed"


def test_a_trial_that_would_break_again_is_not_tried_again(sweep: Driver) -> None:
    job = search_jobs(sweep)[0]
    sweep.tell(job.key, {"state": "failed", "reason": "no", "log": "", "epochs": [], "done": True, "vain": True})
    assert [event.body["again"] for event in sweep.ledger.events("failed")] == [False]
    assert sweep.searches.given_up(job.key)


def test_where_an_attempt_ran_is_noted_whatever_its_end(sweep: Driver) -> None:
    first, second = search_jobs(sweep)[:2]
    place = {"ran_on": {"host": "there"}, "done": True}
    sweep.tell(first.key, place | {"state": "failed", "reason": "no", "log": "", "epochs": []})
    sweep.tell(second.key, place | {"state": "diverged", "reason": "no", "epochs": []})
    noted = [(event.kind, event.body.get("ran_on")) for event in sweep.ledger.events("failed", "final")]
    assert noted[-2:] == [("failed", {"host": "there"}), ("final", {"host": "there"})]


def test_one_that_is_given_up_stopped_or_loses_its_worker_says_where_it_ran(sweep: Driver) -> None:
    hosts = {job.key: {"host": f"host {number}"} for number, job in enumerate(search_jobs(sweep))}
    for job in search_jobs(sweep):
        sweep.tell(job.key, sweep.world.step(job, False) | {"ran_on": hosts[job.key]})
    left = search_jobs(sweep)[0]
    sweep.recorder.interrupt_live()
    sweep.recorder.broke(left.key, "worker-died", "its process is gone")
    noted = [event for event in sweep.ledger.events("pruned", "failed", "interrupted") if event.trial in hosts]
    assert {event.kind for event in noted} == {"pruned", "failed", "interrupted"}
    assert [event.body.get("ran_on") for event in noted] == [hosts[event.trial or ""] for event in noted]


def test_an_attempt_that_has_come_nowhere_does_not_say_where_an_earlier_one_ran(sweep: Driver) -> None:
    job = search_jobs(sweep)[0]
    place = {"ran_on": {"host": "there"}}
    sweep.tell(job.key, place | {"state": "failed", "reason": "no", "log": "", "epochs": [], "done": True})
    while (begun := sweep.start()) is not None and begun.key != job.key:
        pass
    sweep.recorder.broke(job.key, "worker-died", "its process is gone")
    assert [event.body.get("ran_on") for event in sweep.ledger.events("failed")] == [{"host": "there"}, None]


@pytest.mark.parametrize("state", ["failed", "out-of-memory"])
def test_the_ledger_says_how_an_attempt_broke(sweep: Driver, state: str) -> None:
    job = search_jobs(sweep)[0]
    sweep.tell(job.key, {"state": state, "reason": "no", "log": "log.txt", "epochs": [], "done": True})
    (event,) = sweep.ledger.events("failed")
    assert event.body == {"state": state, "reason": "no", "log": "log.txt", "again": True}
    assert f"{state}: {job.slot.name}: no (log: log.txt); trying again" in sweep.out.getvalue()


# -- the ledger first -------------------------------------------------------------------------------------------------

NOTED: dict[str, Kind] = {"finished": "final", "diverged": "final", "failed": "failed", "pruned": "pruned"}
"""What the ledger calls a trial's end."""


def told_end(sweep: Driver, state: str) -> Job:
    """The trial that comes to such an end, told by its worker or made by its search or the user."""
    job = poor_one(sweep) if state == "pruned" else search_jobs(sweep)[0]
    epochs = range(2, EPOCHS + 1 if state == "finished" else 3)
    report: dict[str, Any] = {"epochs": [epoch_body(epoch, 1.0, 1.0) for epoch in epochs], "done": False}
    if state in ("finished", "diverged", "failed"):
        report |= {"state": state, "reason": "no", "log": "", "done": True}
    sweep.recorder.stop_requested = state == "interrupted"
    sweep.tell(job.key, report)
    return job


def is_killed_before(sweep: Driver, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the driver be killed before it can write such an event."""
    append = sweep.ledger.append

    def mortal(noted: Kind, *more: Any, **others: Any) -> bool:
        if noted == kind:
            raise Killed
        return append(noted, *more, **others)

    monkeypatch.setattr(sweep.ledger, "append", mortal)


@pytest.mark.parametrize("state", ["finished", "diverged", "failed", "interrupted"])
def test_the_queue_hears_of_an_end_when_the_ledger_has_it(
    sweep: Driver, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """What follows from an end, as another trial's start, must not be noted before it."""
    before = list(sweep.queue.live)
    is_killed_before(sweep, NOTED.get(state, "interrupted"), monkeypatch)
    with pytest.raises(Killed):
        told_end(sweep, state)
    assert sweep.queue.live == before
    monkeypatch.undo()
    assert told_end(sweep, state) not in sweep.queue.live


@pytest.mark.parametrize("state", ["finished", "diverged", "pruned"])
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "noted"])
def test_checkpoints_go_when_the_ledger_has_the_end(
    sweep: Driver, world: World, monkeypatch: pytest.MonkeyPatch, state: str, killed: bool
) -> None:
    """A driver that is killed before it could note the end has lost nothing: the trial goes on from them."""
    dropped: list[Path] = []
    sweep.recorder._drop = dropped.append
    folders = {world.paths.trial(job.key) / "checkpoints" for job in search_jobs(sweep)}
    if killed:
        is_killed_before(sweep, NOTED[state], monkeypatch)
        with pytest.raises(Killed):
            told_end(sweep, state)
        gone = []
    else:
        gone = [world.paths.trial(told_end(sweep, state).key) / "checkpoints"]
    assert {folder for folder in folders if not folder.exists()} == set(gone)
    assert dropped == gone


# -- the budget -------------------------------------------------------------------------------------------------------

EACH = epoch_body(1, 1.0)["seconds"]


def watched(sweep: Driver, **budget: Any) -> Recorder:
    """The sweep's recorder, where the spec has a budget."""
    plan = replace(sweep.plan, budget=budget)
    sweep.recorder._watch = BudgetWatch(plan, sweep.ledger)
    return sweep.recorder


def test_a_budget_that_is_used_up_stops_the_run(sweep: Driver) -> None:
    four_epochs = 4 * EACH
    recorder = watched(sweep, max_device_hours=(four_epochs + EACH / 2) / 3600)
    recorder.tick()
    assert not recorder.stopped()
    good, other, *_ = search_jobs(sweep)
    sweep.step(good.key)
    recorder.tick()
    assert recorder.stopped()
    sweep.step(other.key)  # its epoch counts, and is its last in this run
    assert kinds(sweep, other)[-2:] in (["epoch", "interrupted"], ["epoch", "pruned"])
    assert sweep.queue.live
    assert other not in sweep.queue.live


@pytest.mark.parametrize(("deadline", "stops"), [("2020-01-01 00:00", True), ("9999-01-01 00:00", False)])
def test_a_deadline_that_has_come_stops_the_run(sweep: Driver, deadline: str, stops: bool) -> None:
    recorder = watched(sweep, deadline=deadline)
    recorder.tick()
    assert recorder.stopped() == stops


def test_epochs_that_a_resumed_trial_tells_of_again_cost_nothing(sweep: Driver) -> None:
    recorder = watched(sweep, max_device_hours=5.5 * EACH / 3600)  # four epochs are in the ledger
    good, other, *_ = search_jobs(sweep)
    for _ in range(3):
        sweep.tell(good.key, {"epochs": [epoch_body(epoch, 60.0, 60.0) for epoch in (1, 2)], "done": False})
        recorder.tick()
        assert not recorder.stopped()
    sweep.tell(other.key, {"epochs": [epoch_body(2, 60.0, 60.0)], "done": False})
    recorder.tick()
    assert recorder.stopped()


def test_a_start_says_which_devices_the_trial_has(sweep: Driver) -> None:
    """A trial that ran out of memory gets a larger share of a GPU, and is paid for as that."""
    sweep.queue.plan = replace(sweep.plan, compute=sweep.plan.compute | {"gpus": 0.25})
    sweep.queue._attempts = Attempts(sweep.queue.retries, 0.25)
    recorder = watched(sweep, max_device_hours=1)
    job = search_jobs(sweep)[0]
    sweep.tell(job.key, {"state": "out-of-memory", "reason": "no", "log": "", "epochs": [], "done": True})
    while (again := sweep.start()) is not None and again.key != job.key:
        pass
    assert again is not None
    last = list(sweep.ledger.events("start", trial=job.key))[-1]
    assert last.body["devices"] == 0.5
    assert recorder._watch is not None
    before = recorder._watch._used
    sweep.tell(job.key, {"epochs": [epoch_body(2, 1.0, 1.0)], "done": False})
    assert recorder._watch._used - before == EACH * 0.5


# -- workers that stand still ------------------------------------------------------------------------------------------


class Clock:
    """Stands still until it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(sweep: Driver) -> Clock:
    """By which the sweep's recorder goes."""
    clock = Clock()
    sweep.recorder.vigil = Vigil(None, clock)
    for job in sweep.queue.live:
        sweep.recorder.vigil.begun(job)
    return clock


@pytest.fixture
def killed(sweep: Driver, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the trials whose workers were killed, in that order; each trial's worker is its key here."""
    keys: list[str] = []
    monkeypatch.setattr(ray, "kill", keys.append)
    for key, trial in sweep.trials.items():
        trial.temporary_state.ray_actor = key
    return keys


def passes(sweep: Driver, clock: Clock, seconds: float) -> None:
    """Time, in Ray Tune's steps."""
    for _ in range(int(seconds / LOOK_SECONDS)):
        clock.now += LOOK_SECONDS
        sweep.callback.on_step_end(0, list(sweep.trials.values()))


def test_a_worker_that_stands_still_is_killed_and_its_trial_tried_again(
    sweep: Driver, clock: Clock, killed: list[str]
) -> None:
    still, *others = search_jobs(sweep)
    for job in (still, *others):
        sweep.tell(job.key, {"epochs": [epoch_body(1, 1.0, 1.0)], "done": False})
    for seconds in (49, *[50] * 71):
        passes(sweep, clock, seconds)
        for job in others:
            sweep.tell(job.key, {"epochs": [epoch_body(1, 1.0, 1.0)], "done": False})
    assert killed == []
    passes(sweep, clock, 1)
    assert killed == [still.key]
    assert still in sweep.queue.live  # until Ray tells of the death
    sweep.callback.on_trial_error(0, [], sweep.trials[still.key])
    (event,) = sweep.ledger.events("failed")
    assert (event.trial, event.body["state"], event.body["again"]) == (still.key, "hung", True)
    assert "told of no epoch for 1:00 h" in event.body["reason"]
    assert f"hung: {still.slot.name}: its worker told of no epoch" in sweep.out.getvalue()
    assert sweep.start() == still
    assert sweep.callback._hung == {}  # should its next worker die, that is another death


@pytest.mark.parametrize(("workers", "looks"), [(1, 0), (2, 3)])
def test_devices_below_a_dead_worker_are_given_back(
    sweep: Driver, clock: Clock, monkeypatch: pytest.MonkeyPatch, workers: int, looks: int
) -> None:
    """A trial of several workers has them reserved by an actor that dies some time after it."""
    asked: list[None] = []

    def release() -> int:
        asked.append(None)
        raise RaySystemError("the head is away for a moment")

    monkeypatch.setattr("sweep.engine.ray_callback.release_left", release)
    sweep.queue.plan = replace(sweep.plan, compute=sweep.plan.compute | {"workers": workers})
    passes(sweep, clock, 3)
    assert asked == []
    dead = search_jobs(sweep)[0].key
    sweep.callback._hung[dead] = "it stood still"
    sweep.callback.on_trial_error(0, [], sweep.trials[dead])
    passes(sweep, clock, 3)
    assert len(asked) == looks
    assert sweep.recorder.fatal is None


def test_a_worker_whose_death_ray_does_not_tell_of_is_killed_again(
    sweep: Driver, clock: Clock, killed: list[str]
) -> None:
    still = search_jobs(sweep)[0]
    sweep.tell(still.key, {"epochs": [epoch_body(1, 1.0, 1.0)], "done": False})
    passes(sweep, clock, LEAST_FIRST_SECONDS + LEAST_SECONDS + 2)
    assert killed.count(still.key) == 2


def test_a_worker_that_does_not_take_up_a_trial_is_killed(sweep: Driver, clock: Clock, killed: list[str]) -> None:
    """As one that stood still while it was idle: of its trial's start nothing is heard."""
    still = search_jobs(sweep)[0]
    sweep.recorder.vigil.left(still.key)
    passes(sweep, clock, LEAST_SECONDS)
    assert killed == []
    passes(sweep, clock, 1)
    assert killed == [still.key]


def test_a_trial_that_waits_inside_ray_for_its_devices_is_left_alone(
    sweep: Driver, clock: Clock, killed: list[str]
) -> None:
    waits = search_jobs(sweep)[0]
    sweep.recorder.vigil.left(waits.key)
    sweep.trials[waits.key].temporary_state.ray_actor = None
    passes(sweep, clock, 3 * LEAST_SECONDS)
    assert killed == []


@pytest.mark.parametrize("longest", [5.0, 300.0])
def test_a_deadline_ends_what_runs_though_no_epoch_comes(
    sweep: Driver, clock: Clock, killed: list[str], longest: float
) -> None:
    """An epoch in flight gets the time of the longest so far, or a minute; what came before the first is no part."""
    passes(sweep, clock, 1000)
    sweep.tell(search_jobs(sweep)[0].key, {"epochs": [epoch_body(1, 1.0, 1.0)], "done": False})
    passes(sweep, clock, longest)
    sweep.tell(search_jobs(sweep)[0].key, {"epochs": [epoch_body(1, 1.0, 1.0)], "done": False})
    recorder = watched(sweep, deadline="2020-01-01 00:00")
    sweep.stopper._at_once = recorder.out_of_time
    assert not sweep.stopper.stop_all()
    passes(sweep, clock, 1)
    assert recorder.stopped()
    passes(sweep, clock, max(longest, LAST_SECONDS) - 1)
    assert not sweep.stopper.stop_all()
    passes(sweep, clock, 1)
    assert sweep.stopper.stop_all()
    assert killed == []


def test_a_user_s_stop_waits_for_the_epochs_in_flight(sweep: Driver, clock: Clock) -> None:
    """Who does not want to wait asks once more."""
    sweep.recorder.stop("stopping")
    assert "stopping" not in sweep.out.getvalue()  # a signal's handler may have come in the middle of a write
    passes(sweep, clock, 3 * LEAST_SECONDS)
    assert sweep.out.getvalue().count("stopping") == 1
    assert not sweep.recorder.out_of_time()


# -- the time that a run was given -----------------------------------------------------------------------------------


def given(sweep: Driver, clock: Clock, seconds: float) -> Recorder:
    """A sweep that has so much time, of which a tenth is kept for its own end."""
    recorder = sweep.recorder
    recorder._until = Until(seconds, clock=lambda: clock.now)
    sweep.stopper = StopAfterEpoch(recorder.stopped, recorder.out_of_time, recorder.foresee)
    return recorder


def told_of(sweep: Driver, clock: Clock, seconds: float) -> None:
    """An epoch of a search's trial, which took so long."""
    passes(sweep, clock, seconds)
    body = epoch_body(1, 1.0, 1.0) | {"seconds": seconds}
    sweep.tell(search_jobs(sweep)[0].key, {"epochs": [body], "done": False})


def test_no_epoch_begins_that_cannot_end_in_the_time_that_is_left(sweep: Driver, clock: Clock) -> None:
    """Of 1000 s 100 are the run's own; an epoch takes 300."""
    recorder = given(sweep, clock, 1000)
    told_of(sweep, clock, 300)
    passes(sweep, clock, 299)
    assert not recorder.stopped()
    live = {job.key for job in sweep.queue.live}
    passes(sweep, clock, 2)
    assert recorder.stopped()
    assert recorder.time_up
    assert NEARLY_UP in sweep.out.getvalue()
    assert {job.key for job in sweep.queue.live} == live, "what is in its epoch ends it"
    told_of(sweep, clock, 20)
    assert len(sweep.queue.live) == len(live) - 1
    assert not sweep.stopper.stop_all()


def test_the_very_first_epoch_says_how_long_the_second_would_take(sweep: Driver, clock: Clock) -> None:
    recorder = given(sweep, clock, 1000)
    first = search_jobs(sweep)[0]
    told_of(sweep, clock, 500)
    assert recorder.time_up
    assert first not in sweep.queue.live
    assert kinds(sweep, first)[-1] == "interrupted"


def test_an_epoch_that_takes_longer_than_any_before_is_broken_off_in_time(sweep: Driver, clock: Clock) -> None:
    recorder = given(sweep, clock, 1000)
    told_of(sweep, clock, 10)
    passes(sweep, clock, 880)
    assert recorder.stopped()
    assert not sweep.stopper.stop_all()
    passes(sweep, clock, 11)
    assert sweep.stopper.stop_all()


def test_a_run_that_is_given_no_time_is_stopped_by_none(sweep: Driver, clock: Clock) -> None:
    told_of(sweep, clock, 500)
    passes(sweep, clock, 10_000)
    assert not sweep.recorder.stopped()


def test_a_sweep_that_another_driver_has_taken_over_ends_with_that_message(sweep: Driver) -> None:
    why = ""
    recorder = Recorder(sweep.world.paths, sweep.ledger, sweep.queue, sweep.recorder._display, lost=lambda: why)
    recorder.tick()
    assert not recorder.stopped()
    why = "somebody has taken it over"
    recorder.tick()
    assert recorder.stopped()
    assert isinstance(recorder.fatal, BusyError)
    assert str(recorder.fatal) == why
