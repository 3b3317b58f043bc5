"""Searches that several drivers divide end as those of one: whoever runs them, whoever is killed, and when."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.engine.job import Job
from sweep.ledger.claims import Claims
from sweep.ledger.histories import Histories
from sweep.plan.slots import Plan
from tests.support.examples import teacher_of
from tests.support.members import Member, Members, bury, give_out, member, take_in
from tests.support.simulation import Curve, World, break_off, driver, run
from tests.sweep.search.test_simulated import (
    TRIALS,
    Plans,
    accuracy,
    asha,
    asks,
    brittle,
    check,
    chosen,
    events,
    made_world,
    noisy,
    plans,
    raced,
    searched_plan,
    undisturbed,
)

__all__ = ["asha", "plans", "undisturbed"]


@pytest.fixture(scope="module", autouse=True)
def at_once() -> Any:
    """Look at what the others have as often as asked."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("sweep.ledger.claims", "sweep.ledger.ended", "sweep.engine.divided_searches"):
            patch.setattr(f"{module}.LOOK_SECONDS", -1.0)
        yield


def divide(world: World, plan: Plan, seed: int, *, members: int = 3, kills: int = 0, workers: int = 1) -> None:
    """Run a plan to its end by several drivers, and make its ledger."""
    chance = random.Random(seed)
    Members(world, plan, chance, workers).run(members, kills)
    take_in(world, plan)
    run(world, plan, chance, workers=workers)


def test_members_train_each_trial_once_and_leave_nothing_to_who_makes_the_table(asha: Plan, undisturbed: Any) -> None:
    with made_world() as world:
        Members(world, asha, random.Random(0), 1).run(3, 0)
        take_in(world, asha)
        with driver(world, asha) as table:
            assert table.queue.exhausted
        check(world, asha)
        assert (asks(world), chosen(world), raced(world)) == undisturbed("asha", accuracy)
        assert all(count == 1 for count in world.trained.values()), "an epoch was trained twice"


@pytest.mark.slow(10)
@settings(max_examples=20)
@given(
    name=st.sampled_from(["asha", "median", "brute force", "two searches", "race"]),
    seed=st.integers(0, 2**32),
    members=st.integers(1, 4),
    workers=st.integers(1, 3),
    kills=st.integers(0, 6),
    curve=st.sampled_from([accuracy, brittle, noisy]),
)
def test_a_deterministic_search_does_not_depend_on_who_runs_it_or_is_killed(
    plans: Plans, undisturbed: Any, name: str, seed: int, members: int, workers: int, kills: int, curve: Curve
) -> None:
    with made_world(curve) as world:
        divide(world, plans[name], seed, members=members, kills=kills, workers=workers)
        check(world, plans[name], fails=curve is not accuracy)
        assert (asks(world), chosen(world), raced(world)) == undisturbed(name, curve)


@pytest.mark.slow(2)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), kills=st.integers(0, 6))
def test_a_search_with_many_live_trials_keeps_to_its_budget_too(hasty: Plan, seed: int, kills: int) -> None:
    with made_world(brittle) as world:
        divide(world, hasty, seed, members=2, kills=kills, workers=3)
        check(world, hasty, fails=True)


@pytest.fixture(scope="module")
def hasty() -> Plan:
    return searched_plan(search={"deterministic": False})


@pytest.mark.slow(3)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), kills=st.integers(0, 4))
def test_members_go_on_with_what_one_driver_has_begun_and_it_with_theirs(
    asha: Plan, larger: Plan, undisturbed: Any, seed: int, kills: int
) -> None:
    chance = random.Random(seed)
    with made_world() as world:
        break_off(world, asha, chance, workers=1)
        give_out(world, asha)
        divide(world, asha, seed, kills=kills)
        check(world, asha)
        assert (asks(world), chosen(world), raced(world)) == undisturbed("asha", accuracy)
        before, last = asks(world), events(world)[-1].seq
        give_out(world, larger)
        divide(world, larger, seed, kills=kills)
        check(world, larger)
        assert {cell: asked[:TRIALS] for cell, asked in asks(world).items()} == before
        again = {event.body["number"] for event in events(world, "ask") if event.seq > last}
        assert again == {TRIALS, TRIALS + 1, TRIALS + 2}


@pytest.fixture(scope="module")
def larger() -> Plan:
    """The plan `asha` with three more trials and a seed more."""
    return searched_plan(search={"trials": TRIALS + 3}, seeds=3)


def test_what_was_won_by_an_earlier_text_of_the_spec_is_no_end(asha: Plan, larger: Plan) -> None:
    with made_world() as world:
        for plan, spec in ((asha, "an earlier text"), (larger, "a spec")):
            with member(world, plan, spec=spec) as one:
                while one.move(random.Random(0)):
                    pass
                assert one.queue.exhausted
        take_in(world, larger)
        check(world, larger)


def to_the_ask(one: Member, many: int) -> str:
    """Let a member work until its searches have asked for so many trials; the last of them."""
    while len(asked := list(one.ledger.events("ask"))) < many:
        assert one.move(random.Random(0))
    return asked[-1].trial or ""


def test_what_a_search_asks_for_is_told_before_it_is_trained(asha: Plan) -> None:
    with made_world() as world, member(world, asha) as one:
        for number in (1, 2):
            key = to_the_ask(one, number)
            assert one.queue.is_live(key)
            (cell,) = {event.body["cell"] for event in one.ledger.events("ask")}
            assert key in {trial for kind, trial, *_ in Histories(world.paths.divided).read(cell).events}


def test_what_one_has_given_up_is_not_trained_again_by_who_takes_its_search_over(asha: Plan) -> None:
    with made_world() as world:
        with member(world, asha) as one:
            while not (pruned := list(one.ledger.events("pruned"))):
                assert one.move(random.Random(0))
            bury(one)
        trained = dict(world.trained)
        with member(world, asha) as other:
            while other.move(random.Random(0)):
                pass
        key = pruned[0].trial
        assert {epoch: count for (trial, epoch), count in world.trained.items() if trial == key} == {
            epoch: count for (trial, epoch), count in trained.items() if trial == key
        }


def test_one_that_stood_still_while_another_took_its_search_over_ends_and_adds_nothing(
    asha: Plan, undisturbed: Any
) -> None:
    with made_world() as world, member(world, asha) as still:
        key = to_the_ask(still, 3)
        took = {claim for claim in still.claims._mine if claim.startswith("search-")}
        assert took
        file = still.claims._members / f"{still.claims.id}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"over": True}))
        with member(world, asha) as other:
            to_the_ask(other, 1)
            assert took & other.claims._mine
            while still.queue.is_live(key):
                still.step(key)
            still.queue.next()
            assert "others have taken over what it trained" in still.claims.is_lost()
            while other.move(random.Random(0)):
                pass
        bury(still)
        take_in(world, asha)
        run(world, asha, random.Random(0), workers=1)
        assert (asks(world), chosen(world), raced(world)) == undisturbed("asha", accuracy)


def test_one_whose_trials_all_fail_leaves_the_searches_to_the_others(asha: Plan, undisturbed: Any) -> None:
    def broken(job: Job, epoch: int) -> float:
        if job.trial.method.name == "gdkd":
            raise ValueError("this node is broken")
        return accuracy(job, epoch)

    with made_world() as world:
        world.teachers |= {slot.id: teacher_of(slot) for slot in asha.teachers}
        with member(world, asha) as whole, member(world, asha) as faulty:
            world.curve = broken
            while faulty.move(random.Random(0)):
                pass
            assert [event.body["number"] for event in faulty.ledger.events("ask")] == [0] * len(asha.cells)
            world.curve = accuracy
            while whole.move(random.Random(0)):
                pass
            assert whole.queue.exhausted
        take_in(world, asha)
        assert (asks(world), chosen(world), raced(world)) == undisturbed("asha", accuracy)


def usual_fails(job: Job, epoch: int) -> float:
    """The first suggestion of each search fails wherever it is trained."""
    if job.slot.stage == "search" and job.trial.method.params["w2"] == 8 and job.trial.method.params["k"] == 5:
        raise ValueError("no")
    return accuracy(job, epoch)


def states(one: Member) -> list[str]:
    return [search.asked[0].state for search in one.searches.all]


def test_a_trial_that_fails_where_others_end_is_a_bad_end_for_its_search(asha: Plan) -> None:
    with made_world(usual_fails) as world, member(world, asha) as one:
        while one.move(random.Random(0)):
            pass
        assert all(search.complete for search in one.searches.all)
        assert states(one) == ["failed"] * len(asha.cells)


def test_a_trial_that_fails_for_two_is_a_bad_end_for_its_search(asha: Plan) -> None:
    with made_world(usual_fails) as world:
        world.teachers |= {slot.id: teacher_of(slot) for slot in asha.teachers}
        with member(world, asha) as one, member(world, asha) as other:
            while one.move(random.Random(0)):
                pass
            assert one.searches.all == [], "it has not ended any before"
            while other.move(random.Random(0)):
                pass
            assert all(search.complete for search in other.searches.all)
            assert states(other) == ["failed"] * len(asha.cells)


def test_a_search_waits_for_a_trial_that_another_has_claimed(asha: Plan, undisturbed: Any) -> None:
    with made_world() as world:
        with member(world, asha) as one:
            to_the_ask(one, 1)
            bury(one)
        key = next(iter(undisturbed("asha", accuracy)[0].values()))[1][2]
        with Claims(world.paths.divided) as elsewhere:
            assert elsewhere.take(key)
            with member(world, asha) as other:
                for _ in range(300):
                    other.move(random.Random(0))
                assert other.queue.held_elsewhere
                assert not other.queue.exhausted
                elsewhere.give_back(key)
                while other.move(random.Random(0)):
                    pass
                assert other.queue.exhausted
        take_in(world, asha)
        assert (asks(world), chosen(world), raced(world)) == undisturbed("asha", accuracy)
