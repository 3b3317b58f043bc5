"""`transfer: true`: the first of the searches that differ in their pair goes ahead, the others begin with its best."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.engine.job import Job
from sweep.ledger.store import Event, Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.search.learned import POINTS
from sweep.search.searches import Searches
from sweep.search.transfer import leaders
from sweep.search.warm_start import first_points
from tests.support.examples import small_spec
from tests.support.simulation import World, run
from tests.sweep.search.test_simulated import HARD, accuracy, asks, events, goodness, made_world, searched_plan

TRIALS = 6
EASY = "resnet20→resnet8"
UNLIKE = ["kd", {"gdkd": {"w2": {"range": [1, 8], "step": 1}, "k": {"choice": [3, 5, 7]}}}]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return searched_plan(methods=UNLIKE, search={"trials": TRIALS, "transfer": True, "deterministic": False})


def begins(world: World) -> dict[str, Event]:
    """Of each cell the first suggestion."""
    return {event.body["cell"]: event for event in events(world, "ask") if event.body["number"] == 0}


@pytest.mark.slow(2)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), workers=st.integers(1, 4), kills=st.integers(0, 8))
def test_the_others_begin_with_the_best_of_the_first_when_that_has_ended(
    plan: Plan, seed: int, workers: int, kills: int
) -> None:
    ahead, behind = (cell.id for cell in plan.cells)
    with made_world() as world:
        run(world, plan, random.Random(seed), workers=workers, kills=kills)
        asked, begun = asks(world), begins(world)[behind]
        trials = {key for _, _, key in asked[ahead]}
        ends = [event for event in events(world, "final", "pruned") if event.trial in trials]
        assert {event.trial for event in ends if event.seq < begun.seq} == trials
        finished = {event.trial for event in ends if event.kind == "final"}
        tried = [params for _, params, key in asked[ahead] if key in finished]
        best = sorted(tried, key=lambda params: -goodness(EASY, params))[:POINTS]
        assert [one["params"] for one in begun.body["learned"]] == best
        assert {one["pair"] for one in begun.body["learned"]} == {EASY}
        assert [params for _, params, _ in asked[behind]][: len(best)] == best
        assert len(asked[ahead]) == len(asked[behind]) == TRIALS


def test_where_nothing_of_the_first_has_finished_the_others_begin_as_ever(plan: Plan) -> None:
    def all_diverge(job: Job, epoch: int) -> float:
        if job.trial.method.name == "gdkd" and job.slot.pair == EASY:
            raise ZeroDivisionError("loss became nan")
        return accuracy(job, epoch)

    check_as_ever(plan, all_diverge)


def test_where_the_teacher_of_the_first_fails_the_others_begin_as_ever(plan: Plan) -> None:
    def no_teacher(job: Job, epoch: int) -> float:
        if job.slot.stage == "teacher" and job.slot.pair == "resnet20":
            raise ValueError("no teacher")
        return accuracy(job, epoch)

    check_as_ever(plan, no_teacher)


def check_as_ever(plan: Plan, curve: Any) -> None:
    behind = plan.cells[1]
    usual = behind.search.get("begins")
    with made_world(curve) as world:
        run(world, plan, random.Random(3), workers=3, kills=2)
        begun = begins(world)[behind.id]
        assert "learned" not in begun.body
        assert usual is None or begun.body["params"] == usual
        assert len(asks(world)[behind.id]) == TRIALS
        world.curve = accuracy  # another run, in which all goes well, keeps what was begun
        run(world, plan, random.Random(3), workers=3)
        assert begins(world)[behind.id].seq == begun.seq


def test_a_search_that_has_begun_keeps_its_points_when_the_first_grows(plan: Plan) -> None:
    grown = searched_plan(methods=UNLIKE, search={"trials": 9, "transfer": True, "deterministic": False})
    with made_world() as world:
        run(world, plan, random.Random(0), workers=2)
        before = begins(world)
        run(world, grown, random.Random(0), workers=2, kills=3)
        assert begins(world) == before
        assert {len(asked) for asked in asks(world).values()} == {9}
        with Ledger(world.paths.ledger) as ledger:
            learned = {search.cell.id: search.learned for search in Searches.read(grown, ledger)}
            assert learned[plan.cells[1].id] == before[plan.cells[1].id].body["learned"]


def test_a_sweep_that_had_begun_before_transfer_was_asked_for_goes_on(plan: Plan) -> None:
    plain = searched_plan(methods=UNLIKE, search={"trials": 3, "deterministic": False})
    with made_world() as world:
        run(world, plain, random.Random(0), workers=2)
        before = asks(world)
        run(world, plan, random.Random(0), workers=2)
        assert {cell: asked[:3] for cell, asked in asks(world).items()} == before
        assert not any("learned" in event.body for event in events(world, "ask"))


def test_only_searches_that_differ_in_their_pair_alone_learn_from_each_other() -> None:
    searched = {"gdkd": {"w2": {"range": [1, 8]}, "k": 5}}
    other = {"gdkd": {"w2": {"range": [1, 8]}, "k": 7}}
    wider = {"gdkd": {"w2": {"range": [1, 9]}, "k": 5}}
    plan = searched_plan(methods=("kd", searched, other, wider), search={"transfer": True})
    cells = {cell.id: cell for cell in plan.cells}
    found = [(cells[own], cells[ahead]) for own, ahead in leaders(plan.cells).items()]
    assert [(one.pair, ahead.pair) for one, ahead in found] == [(HARD, EASY)] * 3
    assert all((one.space, one.varied) == (ahead.space, ahead.varied) for one, ahead in found)
    assert leaders(searched_plan(methods=("kd", searched)).cells) == {}


def test_it_is_said_with_what_a_search_begins(plan: Plan, tmp_path: Path) -> None:
    (line,) = first_points(plan, None)
    assert line == f"{HARD} · gdkd tuned begins with the best of {EASY} · gdkd tuned, once that has come to its end"
    world = World(tmp_path, accuracy)
    run(world, plan, random.Random(0), workers=2)
    with Ledger(world.paths.ledger) as ledger:
        (line,) = first_points(plan, ledger)
        points = begins(world)[plan.cells[1].id].body["learned"]
    each = [f"w2={one['params']['w2']:g} k={one['params']['k']} ({one['value']:.2f})" for one in points]
    assert line == f"{HARD} · gdkd tuned begins with {', '.join(each)} under {EASY}"
    assert first_points(searched_plan(), None) == []


def test_a_plan_without_it_says_nothing_of_it() -> None:
    spec = {"methods": ["kd", {"gdkd": {"w2": {"choice": [1, 2]}}}]}
    (plain,) = build_plan(small_spec(**spec)).cells
    assert not {"warm_start", "transfer", "learned"} & plain.search.keys()
    (asked,) = build_plan(small_spec(**spec, search={"transfer": True})).cells
    assert asked.id == plain.id
    assert asked.search == plain.search | {"transfer": True}
