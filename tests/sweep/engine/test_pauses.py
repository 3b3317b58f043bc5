"""At the end of a sweep trials pause for longer ones, so that it ends as soon as it can."""

from __future__ import annotations

import heapq
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.engine.job import Job
from sweep.engine.pauses import WORTH_SECONDS, makes_room
from sweep.engine.queue import TrialQueue
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.command import User
from tests.support.examples import epoch_body, small_spec, teacher_of
from tests.support.simulation import World, driver

EPOCHS = 12
EPOCH_SECONDS = epoch_body(1, 50.0)["seconds"]


def plan_of(trials: int, epochs: int = EPOCHS) -> Plan:
    """Trials that take equally long."""
    recipe = {"base": "digits", "epochs": epochs, "warmup_epochs": 0, "samples_per_class": 8}
    return build_plan(small_spec(recipe=recipe, methods=["scratch"], seeds=trials))


def simulated(plan: Plan, workers: int, chance: random.Random) -> tuple[float, Counter[str | None]]:
    """Epochs from the start to the end of a sweep, and how often each trial was interrupted; of workers that end an
    epoch together, chance says who tells first."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), lambda job, epoch: 50.0)
        now, at_work = 0.0, list[tuple[float, float, str]]()
        with driver(world, plan, workers=workers) as one:
            while not one.queue.exhausted:
                while len(one.queue.live) < workers and (job := one.start()) is not None:
                    heapq.heappush(at_work, (now + 1, chance.random(), job.key))
                now, _, key = heapq.heappop(at_work)
                one.step(key)
                if key in {job.key for job in one.queue.live}:
                    heapq.heappush(at_work, (now + 1, chance.random(), key))
            interrupted = Counter(event.trial for event in one.ledger.events("interrupted"))
            assert len(list(one.ledger.events("final"))) == plan.count
        assert set(world.trained.values()) == {1}, "an epoch was trained twice"
        return now, interrupted


@pytest.mark.parametrize(
    ("trials", "workers", "epochs", "pauses"),
    [
        (5, 2, 2.5 * EPOCHS, 1),  # the last of five alphas
        (3, 2, 1.5 * EPOCHS, 1),
        (4, 2, 2 * EPOCHS, 0),
        (1, 2, EPOCHS, 0),
        (5, 1, 5 * EPOCHS, 0),
        (4, 3, EPOCHS * 4 / 3, 2),
        (5, 4, EPOCHS * 5 / 4, 3),
    ],
)
def test_no_worker_idles_while_the_last_trials_run(trials: int, workers: int, epochs: float, pauses: int) -> None:
    for seed in range(3):
        took, interrupted = simulated(plan_of(trials), workers, random.Random(seed))
        assert epochs <= took <= epochs + max(0, pauses - 1)
        assert interrupted.total() == pauses


@pytest.mark.slow(1)
@settings(max_examples=15)
@given(trials=st.integers(1, 9), workers=st.integers(1, 6), epochs=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_a_sweep_takes_the_longest_trial_or_the_average_load(trials: int, workers: int, epochs: int, seed: int) -> None:
    took, interrupted = simulated(plan_of(trials, epochs), workers, random.Random(seed))
    least = max(epochs, trials * epochs / workers)
    unpaused = -(-trials // workers) * epochs
    assert took <= min(unpaused, least + WORTH_SECONDS / EPOCH_SECONDS + 1.5)
    assert interrupted.total() < 2 * workers


def test_the_longest_that_waits_takes_the_place_of_the_one_with_the_least_left() -> None:
    assert makes_room(10, 0, [10], [20], 2)
    assert makes_room(10, 0, [15, 30], [40, 20], 3)
    assert not makes_room(10, 0, [9], [20], 2), "another has less left"
    assert not makes_room(11, 0, [11], [20], 2), "it can start in time as it is"
    assert makes_room(11, 2, [11], [20], 2), "the other is further by now"
    assert not makes_room(20, 0, [20], [20], 2)
    assert not makes_room(10, 0, [10], [], 2)
    assert not makes_room(WORTH_SECONDS - 0.1, 0, [10], [100], 2), "nearly done"
    assert not makes_room(10, 0, [], [10], 1)


@pytest.fixture
def queue() -> TrialQueue:
    """Two of three trials run, half done: one of them is to pause."""
    return half_done(plan_of(3))


def half_done(plan: Plan, running: int = 2) -> TrialQueue:
    """Of whose trials two run, or as many as are said."""
    queue = TrialQueue(plan, {}, set())
    for _ in range(running):
        started(queue, EPOCHS // 2)
    return queue


def started(queue: TrialQueue, epochs: int) -> Job:
    """The next trial, after so many epochs."""
    job = queue.next()
    assert job is not None
    queue.report(job.key, [epoch_body(epoch, 50.0) for epoch in range(1, epochs + 1)])
    return job


def test_one_trial_pauses_and_comes_back_after_the_longer_one(queue: TrialQueue) -> None:
    first, second = queue.live
    assert queue.should_pause(second.key, 2)
    assert queue.should_pause(second.key, 2), "to ask changes nothing"
    queue.pause(second.key)
    assert not queue.should_pause(first.key, 2), "one is enough"
    assert queue.interrupted(second.key)
    longest = queue.next()
    assert longest is not None
    assert longest.key not in (first.key, second.key)
    queue.finished(first.key)
    again = queue.next()
    assert again is not None
    assert again.key == second.key


def test_a_trial_that_broke_instead_of_pausing_is_tried_again_like_any(queue: TrialQueue) -> None:
    second = queue.live[1]
    queue.pause(second.key)
    assert queue.failed(second.key)
    again = queue.next()
    assert again is not None
    assert again.key == second.key
    assert not queue.interrupted(again.key), "it pauses no more"


@pytest.mark.parametrize(
    ("room", "begins"), [(3, "the longer"), (2, "the first that waits"), (4, "the first that waits")]
)
def test_where_fewer_wait_than_run_the_longest_of_them_begins_first(room: int, begins: str) -> None:
    queue = half_done(plan_of(5), running=4)
    broken, *others = queue.live
    assert queue.failed(broken.key)
    queue.put_longest_first(room)
    queue.finished(others[0].key)
    job = queue.next()
    assert job is not None
    assert (job.key == broken.key) is (begins == "the first that waits"), "it has half of its epochs left"


def test_nobody_pauses_while_there_is_room(queue: TrialQueue) -> None:
    assert not queue.should_pause(queue.live[1].key, 3)


@pytest.mark.parametrize("crowded", [True, False])
def test_nobody_pauses_where_memory_was_short(crowded: bool) -> None:
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8}
    compute = {"gpus": 0.25, "retries": 3}
    queue = half_done(build_plan(small_spec(recipe=recipe, methods=["scratch"], seeds=3, compute=compute)))
    first, second = queue.live
    if crowded:
        queue.failed(first.key, crowded=True)
        started(queue, EPOCHS - 3)
        queue.report(second.key, [epoch_body(epoch, 50.0) for epoch in range(1, EPOCHS - 2)])
    assert queue.should_pause(second.key, 2) is not crowded


def test_nobody_pauses_for_what_waits_for_its_teacher() -> None:
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8}
    queue = TrialQueue(build_plan(small_spec(recipe=recipe, methods=["scratch", "kd"], seeds=1)), {}, set())
    teacher, scratch = started(queue, EPOCHS // 2), started(queue, EPOCHS // 2)
    assert (queue.waiting, len(queue.live)) == (1, 2)
    assert not queue.should_pause(teacher.key, 2)
    assert not queue.should_pause(scratch.key, 2)
    queue.finished(teacher.key, teacher_of(teacher.slot))
    assert queue.next() is not None


@pytest.mark.slow(50)
def test_three_trials_on_two_cores_end_together(tmp_path: Path, empty_store: Path) -> None:
    user = User(tmp_path, SPEC).given(empty_store)
    user.program = ("-c", HASTY)
    done = user.sweep("run", "spec.yaml")
    assert done.code == 0, done.out + done.err
    paused = [event.trial for event in user.events("interrupted")]  # one; more where a busy machine's epochs differ
    assert paused, done.out
    assert f"paused {name_of(user.root, paused[0])}, to run the longest before it" in done.out
    starts = [event.trial for event in user.events("start")]
    assert Counter(starts) == {trial: 1 + Counter(paused)[trial] for trial in starts}
    assert starts.index(paused[0]) < 2
    assert starts[-1] in paused
    assert len(user.events("final")) == 3
    assert len(user.events("epoch")) == 3 * LONG


LONG = 100
"""Epochs of some tenth of a second: half of them take longer than what is worth a pause, and one of a busy machine's is
short beside that."""
HASTY = "from sweep import cli; from sweep.engine import pauses; pauses.WORTH_SECONDS = 2.0; cli.main()"
"""The command, to which shorter trials are worth a pause."""
SPEC = f"""\
name: small
dataset: {{digits: {{image_size: 8}}}}
recipe: {{base: digits, epochs: {LONG}, warmup_epochs: 0, samples_per_class: 20, test_per_class: 20}}
pairs: [resnet14 -> resnet8]
methods: [scratch]
seeds: 3
compute: {{cpus: 1}}
tracking: {{models: none}}
"""


def name_of(root: Root, key: str | None) -> str:
    with Ledger(root.sweep("small").ledger) as ledger:
        return next(str(event.body["name"]) for event in ledger.events("start") if event.trial == key)
