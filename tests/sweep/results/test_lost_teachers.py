"""A teacher that is no longer stored: trained again only where something needs it, and then named as what it is now."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.job import Job
from sweep.exit_codes import DONE
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.standing import exit_code, no_longer_needed, standing
from tests.support import simulation
from tests.support.examples import small_spec, teacher_of
from tests.support.simulation import World, run
from trainers.config import TeacherConfig
from trainers.storage.content import content_key

SEARCHED = {"search": {"trials": 3, "sampler": "random", "pruner": "none"}}


class Machine(World):
    """One whose teachers come out the same every time, or, as on a GPU, not quite."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, self.accuracy)
        self.generation = 0

    def accuracy(self, job: Job, epoch: int) -> float:
        return round(random.Random(f"{job.key} {epoch} {self._worth(job)}").uniform(50, 90), 2)

    def _worth(self, job: Job) -> int:
        return self.generation if job.slot.stage == "teacher" else 0

    def step(self, job: Job, fresh: bool) -> dict[str, Any]:
        report = super().step(job, fresh)
        if "teacher" in report:
            architecture = teacher_of(job.slot).architecture
            taught = TeacherConfig(architecture=architecture, hash=content_key(f"{job.slot.id} {self.generation}"))
            self.teachers[job.slot.id] = taught
            report["teacher"] = taught.model_dump()
        return report


def grown(seeds: int, searched: bool = False) -> Plan:
    methods = ["scratch", "kd", {"gdkd": {"w2": {"range": [1, 4], "step": 1}}}] if searched else ["scratch", "kd"]
    recipe = {"base": "digits", "epochs": 3, "val_fraction": 0.1}
    return build_plan(small_spec(methods=methods, seeds=seeds, recipe=recipe, **(SEARCHED if searched else {})))


def finished(world: Machine, plan: Plan) -> Leaderboard:
    run(world, plan, random.Random(0), workers=2)
    with Ledger(world.paths.ledger) as ledger:
        return leaderboard(ledger)


def without(world: Machine, plan: Plan) -> dict[str, TeacherConfig]:
    """Remove the teachers; those that nothing needs."""
    world.teachers.clear()
    with Ledger(world.paths.ledger) as ledger:
        return no_longer_needed(plan, world.teachers, ledger)


@pytest.mark.parametrize("searched", [False, True])
def test_a_finished_sweep_needs_none(searched: bool, tmp_path: Path) -> None:
    world, plan = Machine(tmp_path), grown(2, searched)
    finished(world, plan)
    trained = world.teachers.copy()
    assert without(world, plan) == trained != {}
    with Ledger(world.paths.ledger) as ledger:
        over = standing(plan, trained, ledger)
        assert over.trials == plan.count


@pytest.mark.parametrize("searched", [False, True])
def test_a_seed_more_needs_it(searched: bool, tmp_path: Path) -> None:
    world = Machine(tmp_path)
    finished(world, grown(1, searched))
    assert without(world, grown(2, searched)) == {}


def test_a_teacher_that_nothing_is_taught_by_is_wanted_for_itself(tmp_path: Path) -> None:
    world, plan = Machine(tmp_path), grown(1)
    finished(world, plan)
    assert without(world, replace(plan, slots=tuple(plan.teachers), cells=())) == {}


def test_nothing_is_known_of_a_teacher_that_never_ended(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert no_longer_needed(grown(1), {}, ledger) == {}
    assert no_longer_needed(grown(1), {}, None) == {}


def test_one_that_comes_out_otherwise_teaches_everything_anew(tmp_path: Path) -> None:
    """The table shows the new teacher, and no number that the former one has taught."""
    world = Machine(tmp_path)
    before = finished(world, grown(1))
    world.teachers.clear()
    world.generation = 1
    after = finished(world, grown(2))
    assert set(after.teachers) == set(before.teachers)
    assert after.teachers != before.teachers
    known = {row.label: row for row in before.rows}
    for row in after.rows:
        assert set(row.values) == {0, 1}
        assert (row.values[0] == known[row.label].values[0]) == (row.method == "scratch")


def test_a_search_under_another_teacher_has_nothing_of_the_former(tmp_path: Path) -> None:
    world = Machine(tmp_path)
    finished(world, grown(2, searched=True))
    world.teachers.clear()
    world.generation = 1
    plan = grown(3, searched=True)
    board = finished(world, plan)
    assert set(board.states) == {"finished"}
    with Ledger(world.paths.ledger) as ledger:
        assert exit_code(plan, ledger) == DONE
        (cell,) = plan.cells
        assert standing(plan, world.teachers, ledger).searched == {cell.id: cell.budget}


def test_a_search_that_won_fewer_than_it_may_confirm_is_over_too(tmp_path: Path) -> None:
    world = Machine(tmp_path)
    search = {"trials": 3, "sampler": "grid", "pruner": "none", "confirm": 3}
    space = {"gdkd": {"w2": {"choice": [1, 2, 3]}}}
    recipe = {"base": "digits", "epochs": 3, "val_fraction": 0.1}
    plan = build_plan(small_spec(methods=["kd", space], seeds=2, recipe=recipe, search=search))
    accuracy = world.curve

    def one_diverges(job: Job, epoch: int) -> float:
        if job.trial.method.params.get("w2") == 2:
            raise ZeroDivisionError("loss term 'kd' became nan")
        return accuracy(job, epoch)

    world.curve = one_diverges
    finished(world, plan)
    trained = world.teachers.copy()
    assert without(world, plan) == trained != {}


def test_a_longer_search_needs_its_teacher(tmp_path: Path) -> None:
    world = Machine(tmp_path)
    finished(world, grown(2, searched=True))
    plan = grown(2, searched=True)
    (cell,) = plan.cells
    longer = replace(plan, cells=(replace(cell, search=cell.search | {"trials": 4}),))
    assert without(world, longer) == {}


def test_until_they_have_run_again_its_students_wait(tmp_path: Path) -> None:
    world = Machine(tmp_path)
    finished(world, grown(1))
    world.teachers.clear()
    world.generation = 1
    with simulation.driver(world, grown(2)) as one:
        teacher = one.start()
        assert teacher is not None
        assert teacher.slot.stage == "teacher"
        while teacher.key in {job.key for job in one.queue.live}:
            one.step(teacher.key)
        board = leaderboard(one.ledger)
    kd = next(row for row in board.rows if row.label == "kd")
    assert (kd.values, kd.missing) == ({}, {"waiting": 2})


def test_one_that_comes_out_the_same_changes_nothing(tmp_path: Path) -> None:
    world = Machine(tmp_path)
    before = finished(world, grown(1))
    world.teachers.clear()
    after = finished(world, grown(2))
    assert after.teachers == before.teachers
    with Ledger(world.paths.ledger) as ledger:
        assert list(ledger.events("retrained")) == []
    for row, known in zip(after.rows, before.rows, strict=True):
        assert row.values[0] == known.values[0]
