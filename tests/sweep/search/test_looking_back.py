"""What a search has done, told from its ledger: what it says of its rule is what the rule had said."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.engine.job import Job
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.search.cell_search import CellSearch
from sweep.search.curves import CurveSearch, Weighed
from sweep.search.looking_back import best_so_far, epochs_spent, expected_ends, given_up, outlook, pauses, pruned
from sweep.search.searches import Searches
from tests.support.examples import small_spec
from tests.support.simulation import World, run

EPOCHS = 9
SEARCHED = {"gdkd": {"w2": {"range": [1, 8], "step": 1}, "k": {"choice": [3, 5, 7]}}}


def plan_of(seeds: int = 2, **search: Any) -> Plan:
    """A plan with one search, of the fields of whose `search` section some are told."""
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8, "schedule": "cosine"}
    asked = {"trials": 13} | search
    return build_plan(small_spec(methods=["kd", SEARCHED], recipe=recipe, search=asked, seeds=seeds))


def accuracy(job: Job, epoch: int) -> float:
    if job.trial.method.name != "gdkd":
        return 40.0 + epoch
    params = job.trial.method.params
    top = 60 - 3 * abs(params["w2"] - 4) - 2 * abs(params["k"] - 5) + 0.1 * job.slot.seed
    return top - 30 / epoch


def uneven(job: Job, epoch: int) -> float:
    """As :func:`accuracy`, where every epoch has luck of its own."""
    return accuracy(job, epoch) + random.Random(f"{job.key} {epoch}").gauss(0, 1.0)


def brittle(job: Job, epoch: int) -> float:
    """As :func:`accuracy`, where some always diverge and some always fail."""
    params = job.trial.method.params
    if job.trial.method.name == "gdkd" and epoch == 2 and params["k"] == 7:
        if params["w2"] >= 5:
            raise ZeroDivisionError("loss term 'kd' became nan")
        raise ValueError("no")
    return accuracy(job, epoch)


def searched(folder: Path, plan: Plan, curve: Any = accuracy, **how: Any) -> CellSearch:
    """The search of a plan's cell after the whole sweep, as its ledger has it."""
    world = World(folder, curve)
    run(world, plan, random.Random(0), **({"workers": 1} | how))
    with Ledger(world.paths.ledger) as ledger:
        (search,) = Searches.read(plan, ledger)
    return search


Told = dict[tuple[str, int], Weighed]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the rule says while the sweep runs, by the point and the epoch; the latest counts."""
    heard: Told = {}
    weigh = CurveSearch.weigh

    def listening(self: CurveSearch, number: int, epoch: int) -> Weighed | None:
        weighed = weigh(self, number, epoch)
        if weighed is not None:
            heard[str(self._history[number].params), epoch] = weighed
        return weighed

    monkeypatch.setattr(CurveSearch, "weigh", listening)
    return heard


@pytest.mark.parametrize(
    ("curve", "how"),
    [(accuracy, {}), (brittle, {"workers": 3}), (accuracy, {"workers": 2, "kills": 3})],
    ids=["alone", "side by side, where some break", "killed"],
)
def test_the_end_that_is_shown_is_the_one_that_the_rule_used(
    tmp_path: Path, said: Told, monkeypatch: pytest.MonkeyPatch, curve: Any, how: dict[str, Any]
) -> None:
    search = searched(tmp_path, plan_of(sampler="curves"), curve, **how)
    monkeypatch.undo()
    told = given_up(search)
    assert len(told) == sum(asked.state == "pruned" for asked in search.asked) > 2
    for one in told:
        used = said[str(one.params), one.epoch]
        assert one.weighed is not None and one.weighed.is_worse
        assert one.weighed.end == used.end
        assert (one.weighed.gain, one.weighed.promise, one.weighed.best) == (used.gain, used.promise, used.best)
        assert (one.weighed.instead, one.weighed.instead_end) == (used.instead, used.instead_end)
        assert (one.value, one.epochs) == (search.asked[one.number].epochs[one.epoch], EPOCHS)


@pytest.mark.slow(2)
@pytest.mark.parametrize("how", [{"workers": 4}, {"workers": 4, "kills": 3}], ids=["side by side", "killed"])
def test_of_one_that_paused_it_is_told_why_it_did_so_last(
    tmp_path: Path, said: Told, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    search = searched(tmp_path, plan_of(sampler="curves", pauses=True, trials=20), uneven, **how)
    monkeypatch.undo()
    told = given_up(search)
    assert len(told) == sum(asked.state == "pruned" for asked in search.asked) > 2
    weighed = [one for one in told if one.weighed is not None]
    assert weighed
    assert {one.epoch for one in told if one.weighed is None} <= {1}, "the first points pause unweighed"
    for one in weighed:
        used = said[str(one.params), one.epoch]
        assert one.weighed is not None
        assert (one.weighed.gain, one.weighed.promise) == (used.gain, used.promise)
    known = pauses(search)
    last = {one.number: (one.epoch, one.resumed) for one in known}
    assert all(last[one.number] == (one.epoch, False) for one in told)
    with Ledger(tmp_path / "ledger.db") as ledger:
        noted = [(event.body["number"], event.body["epoch"]) for event in ledger.events("paused")]
        again = Counter(event.body["number"] for event in ledger.events("resumed"))
    assert sorted((one.number, one.epoch) for one in known) == sorted(noted)
    assert Counter(one.number for one in known if one.resumed) == again


def test_what_is_foretold_along_a_trial_ends_at_its_end(tmp_path: Path) -> None:
    one = given_up(searched(tmp_path, plan_of(sampler="curves")), most=1)[0]
    assert one.weighed is not None
    means, deviations = one.weighed.forecast.along(one.number, range(one.epoch - 1, EPOCHS))
    assert (means[-1], deviations[-1]) == pytest.approx(one.weighed.end)
    assert means[0] == pytest.approx(one.value, abs=2.0), "it begins where the trial was"
    assert np.all(np.diff(deviations) > 0), "what is later is less sure"


def test_only_the_latest_are_looked_at_where_no_more_are_wanted(tmp_path: Path, said: Told) -> None:
    search = searched(tmp_path, plan_of(sampler="curves"))
    whole = given_up(search)
    said.clear()
    assert [one.number for one in given_up(search, most=2)] == [one.number for one in whole[-2:]]
    assert len(said) == 2
    assert [one.number for one in whole] == pruned(search)


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_rule_that_compares_says_with_what(tmp_path: Path, pruner: str) -> None:
    search = searched(tmp_path, plan_of(sampler="random", pruner=pruner, grace=1, trials=20))
    told = given_up(search)
    assert told
    for one in told:
        assert one.weighed is None and one.bar is not None
        highest = max(search.asked[one.number].epochs.values())
        assert highest < one.bar <= max(asked.epochs.get(one.epoch, 0.0) for asked in search.asked)
    assert (expected_ends(search), outlook(search)) == ({}, None)


def test_what_another_rule_gave_up_is_told_without_its_grounds(tmp_path: Path) -> None:
    """The ledger's word counts: the plan may name another pruner by now."""
    search = searched(tmp_path, plan_of(sampler="random", pruner="asha", grace=1, trials=20))
    other = CellSearch(replace(search.cell, search=search.cell.search | {"pruner": "none"}))
    for number, asked in enumerate(search.asked):
        other.ask(asked.params, search.keys[number])
        for epoch, value in asked.epochs.items():
            other.report(search.keys[number], {"epoch": epoch, "val_acc": value}, again=True)
        other.tell(search.keys[number], asked.state)
    told = given_up(other)
    assert len(told) == len(given_up(search)) > 0
    assert all((one.bar, one.weighed) == (None, None) for one in told)


def test_the_best_so_far_rises_with_the_epochs_that_were_spent(tmp_path: Path) -> None:
    search = searched(tmp_path, plan_of(sampler="random", pruner="none", trials=6, deterministic=True))
    ends = [asked.values[0] for asked in search.asked if asked.values]
    steps = [(EPOCHS * (number + 1), end) for number, end in enumerate(ends) if end > max(ends[:number], default=0)]
    assert best_so_far(search) == steps
    assert epochs_spent(search) == 6 * EPOCHS


def test_a_point_that_was_tried_twice_costs_its_epochs_once() -> None:
    narrow = {"gdkd": {"w2": {"choice": [1, 2]}}}
    plan = build_plan(small_spec(methods=["kd", narrow], search={"trials": 2, "sampler": "grid", "pruner": "none"}))
    search = CellSearch(plan.cells[0])
    for _ in range(2):
        search.ask({"w2": 1}, "same")
        if not search.repeat("same"):
            search.report("same", {"epoch": 1, "val_acc": 50.0})
            search.tell("same", "finished", {"last": {"val_acc": 50.0}, "seconds": 1.0})
    assert (best_so_far(search), epochs_spent(search)) == ([(1, 50.0)], 1)


@pytest.mark.slow(3)
def test_what_one_more_promises_is_what_the_search_would_try(tmp_path: Path) -> None:
    plan = plan_of(sampler="curves", trials=8)
    search = searched(tmp_path, plan)
    ahead = outlook(search)
    assert ahead is not None
    assert ahead.params == search.suggest()
    assert ahead.best == max(asked.values[0] for asked in search.asked if asked.values)
    assert ahead.gain > 0
    whole = searched(tmp_path / "all", plan_of(sampler="curves", trials=24))
    assert outlook(whole) is None, "every point was tried"
