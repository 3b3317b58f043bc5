"""Whole searches with made-up accuracies: whatever the order, the number of workers and the kills, they end alike."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.schema import FIRST_RACE_SEED
from sweep.engine.job import Job
from sweep.ledger.store import Event, Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.notes import notes
from sweep.results.read import planned, searching
from sweep.search.searches import Searches
from tests.support.examples import small_spec
from tests.support.simulation import Curve, World, driver, run

EPOCHS = 9
TRIALS = 13
HARD = "resnet14→resnet8"
SEARCHED = {"gdkd": {"w2": {"range": [1, 8], "step": 1}, "k": {"choice": [3, 5, 7]}}}
FIXED = {"gdkd": {"w2": 4, "k": 5}}
"""A point of the searched space, so that a slot of the plan and a suggestion may be the same trial."""


def searched_plan(pairs: int = 2, methods: tuple[Any, ...] = ("kd", FIXED, SEARCHED), **changes: Any) -> Plan:
    search = {"trials": TRIALS, "deterministic": True} | changes.pop("search", {})
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8}
    named = ["resnet20 -> resnet8", "resnet14 -> resnet8"][:pairs]
    return build_plan(small_spec(pairs=named, methods=list(methods), recipe=recipe, search=search, **changes))


@pytest.fixture(scope="module")
def asha() -> Plan:
    return searched_plan()


class Plans(dict[str, Plan]):
    """Plans by name, which a failing example does not print."""

    def __repr__(self) -> str:
        return f"plans {', '.join(self)}"


@pytest.fixture(scope="module")
def plans(asha: Plan) -> Plans:
    """Pruners and samplers of all kinds, and two searches of one pair that share points."""
    narrow = {"gdkd": {"w2": {"range": [1, 4], "step": 1}, "k": 5}}
    return Plans(
        {
            "asha": asha,
            "median": searched_plan(search={"pruner": "median", "grace": 2}),
            "brute force": searched_plan(search={"sampler": "brute_force", "trials": 30, "confirm": 3}),
            "curves": searched_plan(search={"sampler": "curves", "trials": 8}),
            "pauses": searched_plan(search={"sampler": "curves", "trials": 14, "pauses": True}),
            "two searches": searched_plan(methods=("kd", SEARCHED, narrow), search={"trials": 6}),
            "transfer": searched_plan(search={"trials": 6, "transfer": True}),
            "transfer and race": searched_plan(
                search={"sampler": "brute_force", "trials": 8, "confirm": 4, "race": 5, "transfer": True}
            ),
            "race": searched_plan(search={"sampler": "brute_force", "trials": 12, "confirm": 4, "race": 5}),
            "race in cohorts": searched_plan(
                search={"sampler": "brute_force", "trials": 12, "confirm": 4, "race": 5}, compute={"cohort": 3}
            ),
        }
    )


def goodness(pair: str, params: dict[str, Any]) -> float:
    """How high a configuration's last epoch is; each pair has an optimum of its own."""
    centre = 1.0 if pair == HARD else 2.0
    return 15 - 4 * abs(math.log2(params["w2"]) - centre) - abs(params.get("k", 5) - 5) + params["w2"] / 100


def accuracy(job: Job, epoch: int) -> float:
    """The hard pair's best is below the easy pair's worst."""
    if job.trial.method.name != "gdkd":
        return 40.0 + epoch + job.slot.seed
    start = 20.0 if job.slot.pair == HARD else 70.0
    return start + goodness(job.slot.pair, job.trial.method.params) * epoch / EPOCHS + 0.1 * job.slot.seed


def brittle(job: Job, epoch: int) -> float:
    """As :func:`accuracy`, where some configurations always diverge and some always fail."""
    params = job.trial.method.params
    if job.trial.method.name == "gdkd" and epoch == 2:
        if params["w2"] >= 7 and params["k"] == 7:
            raise ZeroDivisionError("loss term 'kd' became nan")
        if params["w2"] <= 2 and params["k"] == 3:
            raise ValueError("no")
    return accuracy(job, epoch)


def noisy(job: Job, epoch: int) -> float:
    """As :func:`accuracy`, where every trial has luck of its own; with the later seeds of a race some diverge and some
    fail."""
    params, racing = job.trial.method.params, job.slot.seed - FIRST_RACE_SEED
    if racing >= 1 and epoch == 3 and params["k"] == 3:
        raise ZeroDivisionError("loss term 'kd' became nan")
    if racing >= 3 and epoch == 3 and params["w2"] == 2:
        raise ValueError("no")
    return accuracy(job, epoch) - 0.1 * min(job.slot.seed, 10) + random.Random(job.key).gauss(0, 0.3)


@contextmanager
def made_world(curve: Curve = accuracy) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield World(Path(folder), curve)


def ledger_of(world: World) -> Any:
    return closing(Ledger(world.paths.ledger))


def events(world: World, *kinds: Any) -> list[Event]:
    with ledger_of(world) as ledger:
        return list(ledger.events(*kinds))


def board_of(world: World) -> Leaderboard:
    with ledger_of(world) as ledger:
        return leaderboard(ledger)


def asks(world: World) -> dict[str, list[tuple[int, dict[str, Any], str | None]]]:
    """What each cell was asked, in order."""
    found: dict[str, list[tuple[int, dict[str, Any], str | None]]] = {}
    for event in events(world, "ask"):
        found.setdefault(event.body["cell"], []).append((event.body["number"], event.body["params"], event.trial))
    return found


def chosen(world: World) -> dict[str, dict[str, Any]]:
    """What each cell's search has won, as noted last."""
    return {event.body["cell"]: event.body for event in events(world, "chosen")}


def raced(world: World) -> dict[str, list[tuple[str, int]]]:
    """The trials of each cell's race, as the ledger has them in the end: configuration and seed."""
    with ledger_of(world) as ledger:
        slots = {cell: [slot for some in seeds for slot in some] for cell, seeds in race_slots(ledger).items()}
    return {cell: [(slot["label"], slot["seed"]) for slot in some] for cell, some in slots.items()}


def paused(world: World) -> dict[str, list[tuple[str, int, int | None]]]:
    """What each cell has paused, after which epoch, and taken up again, in order: kind, suggestion and epoch."""
    found: dict[str, list[tuple[str, int, int | None]]] = {}
    for event in events(world, "paused", "resumed"):
        found.setdefault(event.body["cell"], []).append((event.kind, event.body["number"], event.body.get("epoch")))
    return found


def race_slots(ledger: Ledger) -> dict[str, list[list[dict[str, Any]]]]:
    return searching(planned(ledger), ledger).raced


def check(world: World, plan: Plan, *, fails: bool = False) -> None:
    """What holds of every sweep that has come to its end."""
    over: set[str | None] = set()
    for event in events(world, "start", "final"):
        assert event.trial not in over, "a trial began again after its end"
        over |= {event.trial} if event.kind == "final" else set()
    for cell in plan.cells:
        asked = asks(world)[cell.id]
        expected = min(cell.search["trials"], 24 if "k" in cell.space else 4)
        assert [number for number, _, _ in asked] == list(range(expected))
        assert [
            one for place, (_, one, _) in enumerate(asked) if one in [params for _, params, _ in asked[:place]]
        ] == []
        won = chosen(world)[cell.id]
        assert 0 < len(won["chosen"]) <= cell.search["confirm"]
        assert {slot["seed"] for slot in won["slots"]} == set(plan.seeds)
    board = board_of(world)
    assert fails or set(board.states) <= {"finished", "pruned"}
    tuned = [row for row in board.rows if row.label.endswith("tuned")]
    assert {(row.pair, row.label) for row in tuned} == {(cell.pair, cell.label) for cell in plan.cells}
    others = max(1, len(plan.seeds) - 1)  # without the search's own
    assert all(len(row.values) == others and not row.missing for row in tuned)
    fixed = [row for row in board.rows if not row.label.endswith("tuned")]
    assert fails or all(len(row.values) == len(plan.seeds) and not row.missing for row in fixed)


# -- one search -------------------------------------------------------------------------------------------------------


def test_the_hard_pair_keeps_its_own_best(asha: Plan) -> None:
    with made_world() as world:
        run(world, asha, random.Random(0), workers=2)
        check(world, asha)
        for cell in asha.cells:
            won = chosen(world)[cell.id]
            assert won["states"]["pruned"] > 2
            assert won["states"]["finished"] > 1
            best = max((params for _, params, _ in asks(world)[cell.id]), key=lambda p: goodness(cell.pair, p))
            assert won["chosen"][0]["params"] == best
        assert all(count == 1 for count in world.trained.values()), "an epoch was trained twice"


def test_nothing_but_trials_of_a_search_is_given_up(asha: Plan) -> None:
    with made_world() as world:
        run(world, asha, random.Random(1), workers=3)
        stages = {event.trial: event.body["stage"] for event in events(world, "start")}
        pruned = {event.trial for event in events(world, "pruned")}
        assert pruned
        assert {stages[key] for key in pruned} == {"search"}
        assert not any((world.paths.trial(key or "") / "checkpoints").exists() for key in pruned)


@pytest.mark.slow(2)
def test_a_run_again_of_what_is_done_has_nothing_to_do(plans: Plans) -> None:
    for plan in plans.values():
        with made_world() as world:
            run(world, plan, random.Random(2), workers=2)
            with driver(world, plan) as again:
                assert again.queue.exhausted


# -- whatever happens -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(plans: Plans) -> Any:
    """What a plan asks and chooses with one worker, which nobody kills."""

    @lru_cache
    def found(name: str, curve: Curve) -> tuple[Any, Any, Any]:
        with made_world(curve) as world:
            run(world, plans[name], random.Random(0), workers=1)
            return asks(world), chosen(world), raced(world)

    return found


@pytest.fixture(scope="module")
def undisturbed_pauses(plans: Plans) -> Any:
    """What such a plan pauses and takes up again."""

    @lru_cache
    def found(name: str, curve: Curve) -> Any:
        with made_world(curve) as world:
            run(world, plans[name], random.Random(0), workers=1)
            return paused(world)

    return found


@pytest.mark.slow(6)
@settings(max_examples=12)
@given(
    name=st.sampled_from(["asha", "median", "brute force", "two searches", "transfer", "transfer and race", "race"]),
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 4),
    kills=st.integers(0, 8),
    curve=st.sampled_from([accuracy, brittle, noisy]),
)
def test_a_deterministic_search_does_not_depend_on_order_workers_or_kills(
    plans: Plans, undisturbed: Any, name: str, seed: int, workers: int, kills: int, curve: Curve
) -> None:
    with made_world(curve) as world:
        run(world, plans[name], random.Random(seed), workers=workers, kills=kills)
        check(world, plans[name], fails=curve is not accuracy)
        assert (asks(world), chosen(world), raced(world)) == undisturbed(name, curve)


@pytest.mark.slow(10)
@settings(max_examples=6)
@given(
    name=st.sampled_from(["curves", "pauses"]),
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 4),
    kills=st.integers(0, 8),
    curve=st.sampled_from([accuracy, noisy]),
)
def test_nor_does_one_that_looks_ahead(
    plans: Plans,
    undisturbed: Any,
    undisturbed_pauses: Any,
    name: str,
    seed: int,
    workers: int,
    kills: int,
    curve: Curve,
) -> None:
    with made_world(curve) as world:
        run(world, plans[name], random.Random(seed), workers=workers, kills=kills)
        check(world, plans[name])
        assert (asks(world), chosen(world), raced(world)) == undisturbed(name, curve)
        assert paused(world) == undisturbed_pauses(name, curve)
        assert bool(paused(world)) is (name == "pauses")


@pytest.mark.slow(2)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), workers=st.integers(2, 4), kills=st.integers(0, 6))
def test_a_search_with_many_live_trials_keeps_to_its_budget_too(
    hasty: Plan, seed: int, workers: int, kills: int
) -> None:
    with made_world(brittle) as world:
        run(world, hasty, random.Random(seed), workers=workers, kills=kills)
        check(world, hasty, fails=True)


@pytest.fixture(scope="module")
def hasty() -> Plan:
    return searched_plan(search={"deterministic": False})


@pytest.mark.slow(10)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32), workers=st.integers(2, 6), kills=st.integers(0, 6))
def test_one_that_pauses_leaves_nothing_paused_however_many_run(seed: int, workers: int, kills: int) -> None:
    plan = searched_plan(search={"sampler": "curves", "pauses": True, "deterministic": False, "trials": 16})
    with made_world(brittle) as world:
        run(world, plan, random.Random(seed), workers=workers, kills=kills)
        check(world, plan, fails=True)
        assert any(kind == "paused" for some in paused(world).values() for kind, _, _ in some)
        with ledger_of(world) as ledger:
            for search in Searches.read(plan, ledger):
                assert {asked.state for asked in search.asked} <= {"finished", "pruned", "failed", "running"}
                assert search.chosen()
                assert search.paused == []
        given_up = {event.trial or "" for event in events(world, "pruned")}
        given_up -= {event.trial or "" for event in events(world, "final")}
        assert kills or not any((world.paths.trial(key) / "checkpoints").exists() for key in given_up)
        assert kills or all(count == 1 for count in world.trained.values()), "an epoch was trained twice"


@pytest.mark.slow(4)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), kills=st.integers(0, 4))
def test_growing_the_budget_or_the_seeds_runs_only_what_is_new(
    asha: Plan, larger: Plan, undisturbed: Any, seed: int, kills: int
) -> None:
    chance = random.Random(seed)
    with made_world() as world:
        run(world, asha, chance, workers=2, kills=kills)
        before, over = asks(world), {event.trial for event in events(world, "final", "pruned")}
        last = events(world)[-1].seq
        run(world, larger, chance, workers=2, kills=kills)
        check(world, larger)
        assert {cell: asked[:TRIALS] for cell, asked in asks(world).items()} == before
        assert not over & {event.trial for event in events(world, "start") if event.seq > last}
        grown = asks(world), {cell: body["chosen"] for cell, body in chosen(world).items()}
    with made_world() as world:
        run(world, larger, chance, workers=2)
        assert (asks(world), {cell: body["chosen"] for cell, body in chosen(world).items()}) == grown


@pytest.fixture(scope="module")
def larger() -> Plan:
    """The plan `asha` with three more trials and a seed more."""
    return searched_plan(search={"trials": TRIALS + 3}, seeds=3)


# -- a race ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow(5)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), workers=st.integers(1, 4), kills=st.integers(0, 8))
def test_a_race_does_not_depend_on_order_workers_or_kills(
    plans: Plans, undisturbed: Any, seed: int, workers: int, kills: int
) -> None:
    with made_world(noisy) as world:
        run(world, plans["race"], random.Random(seed), workers=workers, kills=kills)
        check(world, plans["race"], fails=True)
        assert (asks(world), chosen(world), raced(world)) == undisturbed("race", noisy)
        assert all(count == 1 for count in world.trained.values()) or kills


def test_what_has_won_a_race_is_confirmed_alone_with_the_sweeps_seeds(plans: Plans) -> None:
    with made_world(noisy) as world:
        run(world, plans["race"], random.Random(0), workers=2)
        board = board_of(world)
        rows = {(row.pair, row.label): row for row in board.rows}
        with ledger_of(world) as ledger:
            found = {search.cell.id: search.chosen() for search in Searches.read(plans["race"], ledger)}
        for cell in plans["race"].cells:
            won, places = chosen(world)[cell.id], raced(world)[cell.id]
            assert [slot["seed"] for slot in won["slots"]] == [0, 1]
            assert [one.number for one in found[cell.id]] == [one["number"] for one in won["chosen"]]
            assert won["race"]["trials"] == len(places) < 20
            assert won["race"]["saved"] == 20 - len(places) > 0
            assert {seed for _, seed in places} <= set(range(FIRST_RACE_SEED, FIRST_RACE_SEED + 5))
            row = rows[cell.pair, cell.label]
            assert row.varied == won["chosen"][0]["params"]
            assert list(row.values) == [1]
            ahead = 3 - won["race"].get("broke_off", 0)
            assert f"ahead of {ahead} others in a race over {won['race']['seeds']} seeds" in row.tuned
        assert "once it has won a race of these over at most 5 seeds of its own" in " ".join(notes(board))


@pytest.mark.slow(4)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), kills=st.integers(0, 4))
def test_a_longer_race_trains_only_what_is_new(plans: Plans, longer: Plan, seed: int, kills: int) -> None:
    chance = random.Random(seed)
    with made_world(noisy) as world:
        run(world, plans["race"], chance, workers=2, kills=kills)
        over = {event.trial for event in events(world, "final")}
        last = events(world)[-1].seq
        run(world, longer, chance, workers=2, kills=kills)
        check(world, longer, fails=True)
        assert not over & {event.trial for event in events(world, "start") if event.seq > last}
        grown = asks(world), chosen(world), raced(world)
    with made_world(noisy) as world:
        run(world, longer, chance, workers=2)
        assert (asks(world), chosen(world), raced(world)) == grown


@pytest.fixture(scope="module")
def longer() -> Plan:
    """The plan `race` with more trials, two seeds more to race over, and one more to confirm with."""
    search = {"sampler": "brute_force", "trials": 15, "confirm": 4, "race": 7}
    return searched_plan(search=search, seeds=3)
