"""What becomes of a trial that its search pauses: in the queue, the ledger, and on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sweep.engine.job import Job
from sweep.ledger.store import Kind
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results import read
from tests.support.examples import epoch_body, small_spec, teacher_of
from tests.support.simulation import Driver, World, driver

EPOCHS = 9
SEARCHED = {"gdkd": {"w2": {"range": [1, 8], "step": 1}, "k": {"choice": [3, 5, 7]}}}


def plan_of(*fixed: dict[str, dict[str, int]], trials: int = 24) -> Plan:
    search = {"sampler": "curves", "trials": trials, "pauses": True}
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8}
    return build_plan(small_spec(methods=["kd", *fixed, SEARCHED], recipe=recipe, search=search, seeds=1))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, lambda job, epoch: 50.0 + epoch + job.trial.method.params.get("w2", 0))


@pytest.fixture
def sweep(world: World) -> Iterator[Driver]:
    """A sweep of whose search four trials run."""
    with ready(world, plan_of()) as one:
        begin_search(one)
        yield one


def ready(world: World, plan: Plan) -> AbstractContextManager[Driver]:
    world.teachers |= {slot.id: teacher_of(slot) for slot in plan.teachers}
    return driver(world, plan, workers=4)


def begin_search(sweep: Driver, most: int = 4) -> None:
    for _ in range(most):
        assert sweep.start() is not None


def first(sweep: Driver) -> Job:
    return next(job for job in sweep.queue.live if job.slot.stage == "search")


def kinds(sweep: Driver, job: Job) -> list[Kind]:
    return [event.kind for event in sweep.ledger.events(trial=job.key)]


def state(sweep: Driver, job: Job) -> str:
    trials = read.trials(sweep.ledger)[1]
    return next(trial.state for trial in trials if trial.slot.id == job.slot.id)


def test_a_trial_that_pauses_keeps_its_checkpoint_and_makes_room(sweep: Driver, world: World) -> None:
    job = first(sweep)
    sweep.step(job.key)
    assert kinds(sweep, job) == ["ask", "start", "epoch", "paused", "interrupted"]
    assert job not in sweep.queue.live
    assert (world.paths.trial(job.key) / "checkpoints").exists()
    assert state(sweep, job) == "paused"
    assert f"paused {job.slot.name}, as its search expects more of others" in sweep.out.getvalue()
    other = sweep.start()
    assert other is not None
    assert other.key != job.key
    assert not sweep.queue.exhausted


def test_a_trial_that_is_taken_up_again_goes_on_where_it_was(sweep: Driver, world: World) -> None:
    job = first(sweep)
    while "resumed" not in kinds(sweep, job):
        sweep.step(sweep.queue.live[0].key)
        sweep.start()
    assert kinds(sweep, job)[-2:] == ["resumed", "start"]
    assert state(sweep, job) == "running"
    sweep.step(job.key)
    assert world.trained[job.key, 1] == world.trained[job.key, 2] == 1


def test_what_a_resumed_trial_tells_beyond_its_pause_is_told_again_later(sweep: Driver) -> None:
    """The driver was killed before it heard of the epochs of a trial that meanwhile came to its end."""
    job = first(sweep)
    epochs = [epoch_body(epoch, 1.0, 1.0) for epoch in range(1, EPOCHS + 1)]
    sweep.tell(job.key, {"state": "finished", "done": True, "epochs": epochs})
    assert kinds(sweep, job) == ["ask", "start", "epoch", "paused", "interrupted"]
    assert state(sweep, job) == "paused"


@pytest.mark.slow(9)
def test_a_slot_of_the_plan_that_is_the_same_trial_runs_to_its_end(world: World) -> None:
    """Its search has it paused for all that, and hears of the rest when it takes it up."""
    with ready(world, plan_of({"gdkd": {"w2": 8, "k": 5}})) as one:
        begin_search(one)
        job = next(job for job in one.queue.live if job.trial.method.params.get("w2") == 8)
        assert job.slot.stage == "confirm"
        for _ in range(EPOCHS):
            one.step(job.key)
        assert kinds(one, job) == ["ask", "start", "epoch", "paused", *["epoch"] * (EPOCHS - 1), "final"]
        (search,) = one.searches.all
        assert [search.keys[number] for number in search.paused] == [job.key]
        assert list(search.asked[search.paused[0]].epochs) == [1]
        while not one.queue.exhausted:
            while len(one.queue.live) < 4 and one.start() is not None:
                pass
            if one.queue.live:
                one.step(one.queue.live[0].key)
        assert [kind for kind in kinds(one, job) if kind == "start"] == ["start"]
        assert search.asked[search.keys.index(job.key)].state == "finished"


@pytest.mark.slow(3)
def test_what_is_never_taken_up_again_is_given_up_in_the_end(sweep: Driver, world: World) -> None:
    while not sweep.queue.exhausted:
        while len(sweep.queue.live) < 4 and sweep.start() is not None:
            pass
        if sweep.queue.live:
            sweep.step(sweep.queue.live[0].key)
    (search,) = sweep.searches.all
    assert search.paused == []
    given_up = [key for key, asked in zip(search.keys, search.asked, strict=True) if asked.state == "pruned"]
    assert given_up
    noted = {event.trial: event.body for event in sweep.ledger.events("pruned")}
    assert set(noted) == set(given_up)
    for key in given_up:
        assert (noted[key]["state"], noted[key]["cells"]) == ("pruned", [search.cell.id])
        assert noted[key]["epochs"] == search.heard(key)
        assert not (world.paths.trial(key) / "checkpoints").exists()
    assert sweep.out.getvalue().count("given up ") == len(given_up)
    assert {trial.state for trial in read.trials(sweep.ledger)[1]} == {"finished", "pruned"}
