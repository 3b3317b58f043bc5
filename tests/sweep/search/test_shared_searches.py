"""A search that takes over what others have finished ends as if it had trained all of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.plan.slots import Plan
from sweep.search.searches import Searches
from tests.support.shared_trials import opened
from tests.support.simulation import Curve, World, run
from tests.sweep.search.test_simulated import (
    accuracy,
    asks,
    board_of,
    check,
    chosen,
    events,
    noisy,
    paused,
    raced,
    searched_plan,
)


@pytest.fixture(scope="module")
def pruned() -> Plan:
    """Searches of which some trials are given up."""
    return searched_plan()


@pytest.fixture(scope="module")
def whole() -> Plan:
    """The same, where every trial runs to its end."""
    return searched_plan(search={"pruner": "none"})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the others' ledgers as often as asked."""
    monkeypatch.setattr("sweep.ledger.neighbours.PAUSE_SECONDS", 0.0)


def world(root: Root, name: str, *, shares: bool = True, curve: Curve = accuracy) -> World:
    made = World(root.sweep(name).folder, curve)
    made.shares = shares
    return made


def beside(first: World, root: Root, *, curve: Curve = accuracy) -> World:
    """Another sweep, whose teachers the first one has stored."""
    second = world(root, "second", curve=curve)
    second.teachers = dict(first.teachers)
    return second


def ran(one: World, plan: Plan, *, workers: int = 3, kills: int = 0) -> World:
    run(one, plan, random.Random(1), workers=workers, kills=kills)
    return one


def trained(one: World) -> set[str]:
    return {key for key, _ in one.trained}


def alike(one: World, other: World) -> bool:
    """Whether two searches have asked for the same, and chosen the same."""
    return asks(one) == asks(other) and chosen(one) == chosen(other) and board_of(one).rows == board_of(other).rows


@pytest.mark.slow(1)
@pytest.mark.parametrize("kills", [0, 4])
def test_the_same_search_trains_only_what_the_first_one_gave_up(root: Root, pruned: Plan, kills: int) -> None:
    first = ran(world(root, "first"), pruned)
    second = ran(beside(first, root), pruned, kills=kills)
    check(second, pruned)
    assert alike(first, second)
    given_up = {event.trial for event in events(first, "pruned")} - {event.trial for event in events(first, "final")}
    assert trained(second) <= given_up
    assert given_up


@pytest.mark.slow(1)
def test_it_gives_up_what_it_would_have_given_up(root: Root, pruned: Plan, whole: Plan, tmp_path: Path) -> None:
    alone = ran(world(Root(tmp_path / "alone"), "second"), pruned)
    first = ran(world(root, "first"), whole)
    second = ran(beside(first, root), pruned)
    check(second, pruned)
    assert alike(second, alone)
    assert len(trained(second)) < len(trained(alone))


@pytest.mark.slow(4)
@pytest.mark.parametrize("kills", [0, 4])
def test_it_pauses_what_it_would_have_paused(root: Root, whole: Plan, tmp_path: Path, kills: int) -> None:
    pausing = searched_plan(search={"sampler": "curves", "pauses": True, "trials": 14})
    alone = ran(world(Root(tmp_path / "alone"), "second"), pausing)
    first = ran(world(root, "first"), whole)
    second = ran(beside(first, root), pausing, kills=kills)
    check(second, pausing)
    assert alike(second, alone)
    assert paused(second) == paused(alone) != {}
    assert len(trained(second)) < len(trained(alone))


@pytest.mark.slow(1)
def test_what_it_has_paused_stays_so_under_a_larger_budget(root: Root) -> None:
    """With more trials to come it would have paused others of what was there already."""
    every = searched_plan(search={"pruner": "none", "sampler": "brute_force", "trials": 24})
    few, more = (searched_plan(search={"sampler": "curves", "pauses": True, "trials": trials}) for trials in (4, 14))
    first = ran(world(root, "first"), every)
    ran(beside(first, root), few)
    with opened(root, "second") as ledger:
        before, after = (Searches.read(plan, ledger) for plan in (few, more))
    assert [search.asked for search in before] == [search.asked for search in after]
    assert {asked.state for search in before for asked in search.asked} == {"finished", "pruned"}


@pytest.mark.slow(1)
def test_what_it_has_won_is_confirmed_by_what_is_there(root: Root, whole: Plan) -> None:
    first = ran(world(root, "first"), whole)
    second = ran(beside(first, root), whole)
    assert alike(first, second)
    assert trained(second) == set()


@pytest.mark.slow(1)
@pytest.mark.parametrize("kills", [0, 4])
def test_a_race_is_taken_over_seed_by_seed(root: Root, kills: int) -> None:
    plan = searched_plan(search={"pruner": "none", "sampler": "brute_force", "trials": 6, "confirm": 4, "race": 5})
    first = ran(world(root, "first", curve=noisy), plan)
    second = ran(beside(first, root, curve=noisy), plan, kills=kills)
    check(second, plan, fails=True)
    assert alike(first, second)
    assert raced(first) == raced(second) != {}
    failed = {event.trial for event in events(first, "final") if event.body["state"] != "finished"}
    failed |= {event.trial for event in events(first, "failed")}
    assert trained(second) <= failed


def test_a_search_that_minds_the_time_trains_all(root: Root) -> None:
    plan = searched_plan(search={"metrics": ["val_acc", "device_seconds"], "trials": 4})
    first = ran(world(root, "first"), plan)
    second = ran(beside(first, root), plan)
    tried = {key for asked in asks(second).values() for _, _, key in asked if key}
    fixed = {event.trial for event in events(second, "start") if event.body["stage"] == "confirm"}
    assert tried - fixed <= trained(second)


@pytest.mark.slow(1)
@pytest.mark.parametrize("pruner", ["none", "asha", "curves"])
def test_a_search_whose_trials_are_asked_for_again_trains_the_same_ones(root: Root, pruner: str) -> None:
    plan = searched_plan(
        search={"pruner": pruner} | ({"sampler": "curves", "pauses": True} if pruner == "curves" else {})
    )
    one = ran(world(root, "first"), plan)
    asked, won, rows = asks(one), chosen(one), board_of(one).rows
    tried = {key for some in asked.values() for _, _, key in some if key}
    once = dict(one.trained)
    with opened(root, "first") as ledger:
        ledger.set_aside(sorted(tried))
    ran(one, plan)
    check(one, plan)
    assert asks(one) == asked
    assert {key for (key, epoch), times in one.trained.items() if epoch == 1 and times > once[key, 1]} == tried
    if pruner == "none":  # else they may be given up in another order, as they run side by side
        assert (chosen(one), board_of(one).rows) == (won, rows)
