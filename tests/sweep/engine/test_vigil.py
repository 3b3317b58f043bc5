"""When a worker is taken for hung: told by a clock that stands until it is moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces.loader import parse_spec
from sweep.engine.job import Job
from sweep.engine.tuning import vigil_of
from sweep.engine.vigil import ASLEEP_SECONDS, LEAST_FIRST_SECONDS, LEAST_SECONDS, TIMES, AwakeClock, Vigil
from sweep.layout import Root
from sweep.plan.slots import Plan
from tests.support.examples import job_of, slot_of, small_spec
from trainers.errors import InputError
from trainers.storage.patient import LONGEST_WAIT, PATIENCE
from trainers.storage.shared import NOWHERE, storage_at

HOUR = 3600.0


class Clock:
    """Stands still until it is told."""

    now = 1e6

    def __call__(self) -> float:
        return self.now


class Watched:
    """A vigil, and time that passes for it in the small steps in which a driver looks."""

    def __init__(self, minutes: float | None = None, waits: float = 0.0) -> None:
        self.clock = Clock()
        self.vigil = Vigil(minutes, self.clock, waits=waits)

    def wait(self, seconds: float) -> None:
        left = seconds
        while left > 0:
            self.clock.now += min(left, 5.0)
            left -= 5.0
            self.vigil.look()

    def trains(self, job: Job, *seconds: float, together: int = 1) -> None:
        """A trial is taken up, and does epochs; of several together, each has its part of the time."""
        self.vigil.begun(job, together)
        for epoch in seconds:
            self.wait(epoch)
            self.vigil.heard(job, epoch / together)


@pytest.fixture
def kd(small_plan: Plan) -> Job:
    return job_of(small_plan, slot_of(small_plan, "kd"))


@pytest.fixture
def alone(small_plan: Plan) -> Job:
    """Without a teacher."""
    return job_of(small_plan, slot_of(small_plan, "scratch"))


@pytest.fixture
def sibling(small_plan: Plan) -> Job:
    """Another seed of the same."""
    return job_of(small_plan, slot_of(small_plan, "kd", seed=1))


@pytest.fixture
def other(small_plan: Plan) -> Job:
    """Another method on the same networks."""
    return job_of(small_plan, slot_of(small_plan, "dhkd α=1"))


@pytest.fixture
def teacher(small_plan: Plan) -> Job:
    return job_of(small_plan, small_plan.teachers[0])


def test_a_worker_is_hung_after_ten_times_its_longest_epoch(alone: Job) -> None:
    run = Watched()
    run.trains(alone, 100.0, 120.0, 80.0)
    run.wait(TIMES * 120.0 - 5)
    assert run.vigil.hung(alone) == ""
    run.wait(5)
    assert run.vigil.hung(alone) == "its worker told of no epoch for 20:00 min, and the longest took 2:00 min"


def test_no_epoch_is_too_long_before_ten_minutes(alone: Job) -> None:
    run = Watched()
    run.trains(alone, 1.0, 1.0)
    run.wait(LEAST_SECONDS - 5)
    assert run.vigil.hung(alone) == ""
    run.wait(5)
    assert run.vigil.hung(alone)


@pytest.mark.parametrize(("minutes", "least"), [(None, LEAST_SECONDS), (1.0, 60.0)])
def test_who_waits_for_the_storage_is_not_hung(alone: Job, minutes: float | None, least: float) -> None:
    run = Watched(minutes, waits=LONGEST_WAIT)
    run.trains(alone, 1.0, 1.0)
    run.wait(least + LONGEST_WAIT - 5)
    assert run.vigil.hung(alone) == ""
    run.wait(5)
    assert run.vigil.hung(alone)


@pytest.mark.parametrize("storage", ["", "a storage"])
def test_the_vigil_of_a_run_knows_whether_there_is_a_storage_to_wait_for(
    small_plan: Plan, alone: Job, storage: str, tmp_path: Path
) -> None:
    root = Root(tmp_path / "root", storage_at(str(tmp_path / storage), tmp_path / "root") if storage else NOWHERE)
    vigil, clock = vigil_of(small_plan, root), Clock()
    vigil._clock = AwakeClock(clock)
    vigil.begun(alone)
    vigil.heard(alone, 1.0)
    for _ in range(round(PATIENCE / ASLEEP_SECONDS) + 1):
        clock.now += ASLEEP_SECONDS
        vigil.look()
    assert bool(vigil.hung(alone)) == (not storage)


def test_with_a_teacher_none_is_before_an_hour(kd: Job) -> None:
    """Its logits may have to be computed from one epoch on."""
    run = Watched()
    run.trains(kd, 1.0, 1.0)
    run.wait(LEAST_FIRST_SECONDS - 5)
    assert run.vigil.hung(kd) == ""
    run.wait(5)
    assert run.vigil.hung(kd)


def test_of_a_report_without_a_trained_epoch_nothing_is_learnt(kd: Job, sibling: Job) -> None:
    """A trial that broke after seconds says nothing of how long an epoch of its sibling takes."""
    run = Watched()
    run.vigil.begun(kd)
    run.vigil.begun(sibling)
    run.wait(5)
    run.vigil.heard(kd, None)
    run.wait(1000 * HOUR)
    assert run.vigil.hung(sibling) == ""


def test_a_first_epoch_gets_an_hour_for_what_comes_before_it(kd: Job, sibling: Job) -> None:
    run = Watched()
    run.trains(kd, 1.0, 1.0)
    run.vigil.begun(sibling)
    run.wait(LEAST_FIRST_SECONDS - 5)
    assert run.vigil.hung(sibling) == ""
    run.wait(5)
    assert run.vigil.hung(sibling)


def test_the_longest_epoch_is_that_of_the_kind_and_else_of_the_same_networks(
    kd: Job, sibling: Job, other: Job, teacher: Job
) -> None:
    run = Watched()
    run.trains(kd, 2 * HOUR)
    for job in (sibling, other, teacher):
        run.vigil.begun(job)
    run.wait(TIMES * 2 * HOUR)
    assert run.vigil.hung(sibling)
    assert run.vigil.hung(other)
    assert run.vigil.hung(teacher) == ""  # of which nothing is known
    run.trains(other, 4 * HOUR)
    run.vigil.begun(other)
    run.wait(TIMES * 2 * HOUR)
    assert run.vigil.hung(sibling)
    assert run.vigil.hung(other) == ""  # which has an epoch of its own to go by now


def test_what_nothing_is_known_of_is_never_hung(kd: Job) -> None:
    run = Watched()
    run.vigil.begun(kd)
    run.wait(1000 * HOUR)
    assert run.vigil.hung(kd) == ""


@pytest.mark.parametrize("epochs", [(), (1.0,), (HOUR, HOUR)], ids=["none", "short", "long"])
def test_a_limit_that_is_written_down_holds_for_every_epoch(kd: Job, epochs: tuple[float, ...]) -> None:
    run = Watched(minutes=0.5)
    run.trains(kd, *epochs)
    run.wait(25)
    assert run.vigil.hung(kd) == ""
    run.wait(5)
    assert run.vigil.hung(kd) == "its worker told of no epoch for 30 s (compute.max_epoch_minutes: 0.5)"


def test_a_worker_that_does_not_even_take_a_trial_up_is_hung(kd: Job) -> None:
    run = Watched()
    for _ in range(int(LEAST_SECONDS / 5)):
        run.vigil.asked(kd)
        assert run.vigil.hung(kd) == ""
        run.wait(5)
    assert run.vigil.hung(kd) == "its worker did not take it up for 10:00 min"


def test_a_trial_that_was_left_is_hung_no_more_and_begins_anew(kd: Job) -> None:
    run = Watched()
    run.trains(kd, 1.0)
    run.wait(HOUR)
    assert run.vigil.hung(kd)
    run.vigil.left(kd.key)
    assert run.vigil.hung(kd) == ""
    run.vigil.begun(kd)
    run.wait(LEAST_FIRST_SECONDS - 5)
    assert run.vigil.hung(kd) == ""


def test_nobody_is_late_while_the_driver_itself_was_stopped(alone: Job) -> None:
    """Its workers were stopped with it."""
    run = Watched()
    run.trains(alone, 1.0, 1.0)
    run.clock.now += 100 * HOUR
    run.vigil.look()
    assert run.vigil.hung(alone) == ""
    run.wait(LEAST_SECONDS)
    assert run.vigil.hung(alone)


def test_the_longest_epoch_of_what_runs_is_known(kd: Job, other: Job, teacher: Job) -> None:
    run = Watched()
    assert run.vigil.longest([kd, teacher]) == 0
    run.trains(kd, 30.0, 20.0)
    assert run.vigil.longest([kd, teacher]) == 30.0
    assert run.vigil.longest([other]) == 30.0
    assert run.vigil.longest([]) == 0


def test_what_comes_before_a_first_epoch_is_no_part_of_it(alone: Job) -> None:
    """Nor is what was read from a checkpoint; a worker that is silent for as long as that is not hung all the same."""
    run = Watched()
    run.vigil.begun(alone)
    run.wait(300.0)  # its machine decodes the data set
    run.vigil.heard(alone, 20.0)
    assert run.vigil.longest([alone]) == 20.0
    run.wait(25.0)  # an epoch with its checkpoint on its way to the storage
    run.vigil.heard(alone, 20.0)
    assert run.vigil.longest([alone]) == 25.0
    run.wait(TIMES * 300.0 - 5)
    assert run.vigil.hung(alone) == ""
    run.wait(5)
    assert run.vigil.hung(alone)


# -- several in one worker ------------------------------------------------------------------------------------------


def test_a_cohort_has_as_many_times_as_long_as_each_of_its_trials_would_take(kd: Job, sibling: Job) -> None:
    run = Watched()
    run.trains(kd, HOUR, HOUR)
    run.vigil.begun(sibling, 20)
    assert run.vigil.longest([kd, sibling]) == 20 * HOUR
    run.wait(20 * TIMES * HOUR - 5)
    assert run.vigil.hung(kd)
    assert run.vigil.hung(sibling) == ""
    run.wait(5)
    assert run.vigil.hung(sibling) == "its worker told of no epoch for 200:00 h, and the longest took 20:00 h"


def test_what_a_cohort_took_is_what_its_trials_take_each(kd: Job, sibling: Job) -> None:
    run = Watched()
    run.trains(kd, 10 * HOUR, 10 * HOUR, together=10)
    assert run.vigil.longest([kd]) == 10 * HOUR
    run.vigil.left(kd.key)
    run.trains(sibling)
    assert run.vigil.longest([sibling]) == HOUR
    run.wait(TIMES * HOUR - 5)
    assert run.vigil.hung(sibling) == ""
    run.wait(5)
    assert run.vigil.hung(sibling)


def test_a_limit_that_is_written_down_is_for_each_trial_of_a_cohort(kd: Job) -> None:
    run = Watched(minutes=0.5)
    run.vigil.begun(kd, 4)
    run.wait(115)
    assert run.vigil.hung(kd) == ""
    run.wait(5)
    told = "its worker told of no epoch for 2:00 min (compute.max_epoch_minutes: 0.5 for each of 4 trials)"
    assert run.vigil.hung(kd) == told


# -- the spec's field -------------------------------------------------------------------------------------------------


def test_the_spec_has_the_limit() -> None:
    assert small_spec().compute.max_epoch_minutes is None
    assert small_spec(compute={"max_epoch_minutes": 0.5}).compute.max_epoch_minutes == 0.5


@pytest.mark.parametrize("wrong", ["0", "-1", ".inf", ".nan", "soon"])
def test_a_limit_that_is_none_is_refused(wrong: str) -> None:
    text = "name: a\ndataset: digits\npairs: [resnet14 -> resnet8]\nmethods: [kd]\n"
    with pytest.raises(InputError, match="max_epoch_minutes"):
        parse_spec(f"{text}compute: {{max_epoch_minutes: {wrong}}}\n", "spec.yaml")
