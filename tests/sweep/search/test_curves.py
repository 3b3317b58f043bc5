"""Searches that look ahead: what they try, what they give up, and that a replay of their history answers the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from search_spaces.loader import parse_spec
from sweep.plan.expand import build_plan
from sweep.plan.slots import SearchedCell
from sweep.search.cell_search import CellSearch
from sweep.search.curves import BESIDE
from sweep.search.geometry import coordinates
from tests.support.examples import small_spec
from trainers.errors import InputError

EPOCHS = 8
SPACE = {"w2": {"range": [1, 6], "step": 1}, "k": {"choice": [2, 4, 6]}}


@pytest.fixture(scope="module")
def cell() -> SearchedCell:
    recipe = {"base": "digits", "epochs": EPOCHS, "schedule": "cosine"}
    search = {"sampler": "curves", "trials": 50}
    (one,) = build_plan(small_spec(methods=["kd", {"gdkd": SPACE}], recipe=recipe, search=search, seeds=1)).cells
    return one


def top(params: dict[str, Any]) -> float:
    return 60.0 - 3 * abs(params["w2"] - 4) - 2 * abs(params["k"] - 4)


def run(search: CellSearch, most: int = 10_000) -> list[tuple[str, int]]:
    """Train one trial at a time, each with a curve that rises to its top; what was trained, in order."""
    trained: list[tuple[str, int]] = []
    while not search.complete:
        params = search.suggest()
        key = str(params)
        search.ask(params, key)
        for epoch in range(1, EPOCHS + 1):
            if len(trained) == most:
                return trained
            trained.append((key, epoch))
            search.report(key, {"epoch": epoch, "val_acc": top(params) - 30 / epoch})
            if not search.runs(key):
                break
        else:
            last = {"val_acc": top(params) - 30 / EPOCHS}
            search.tell(key, "finished", {"last": last, "seconds": 1.0})
    return trained


@pytest.mark.slow(1)
def test_the_best_is_found_and_most_others_are_given_up_early(cell: SearchedCell) -> None:
    search = CellSearch(cell)
    trained = run(search)
    assert search.chosen()[0].params == {"w2": 4, "k": 4}
    assert len(search.asked) == search.budget == 18, "each point once, though more trials were allowed"
    assert len({str(asked.params) for asked in search.asked}) == 18
    there = trained.index((str({"w2": 4.0, "k": 4}), EPOCHS))
    assert there < 0.5 * 18 * EPOCHS
    assert sum(asked.state == "pruned" for asked in search.asked) >= 4


@pytest.mark.slow(2)
def test_the_same_history_has_the_same_answers(cell: SearchedCell) -> None:
    whole, history = CellSearch(cell), []
    events = run(whole)
    again = CellSearch(cell)
    for key, epoch in events:
        if key not in again.keys:
            number = whole.keys.index(key)
            assert again.suggest() == whole.asked[number].params
            again.ask(whole.asked[number].params, key)
        params = whole.asked[whole.keys.index(key)].params
        again.report(key, {"epoch": epoch, "val_acc": top(params) - 30 / epoch})
        again.report(key, {"epoch": epoch, "val_acc": top(params) - 30 / epoch})  # heard twice
        if epoch == EPOCHS:
            again.tell(key, "finished", {"last": {"val_acc": top(params) - 30 / EPOCHS}, "seconds": 1.0})
        history.append(again.asked[again.keys.index(key)].state)
    assert [asked.state for asked in again.asked] == [asked.state for asked in whole.asked]
    assert "pruned" in history


def test_what_ran_to_its_end_stays_so_under_a_larger_budget(cell: SearchedCell) -> None:
    """What the ledger has is not judged again: with more trials to come it would have been given up."""
    whole = CellSearch(replace(cell, search=cell.search | {"trials": 6}))
    events = run(whole)
    again = CellSearch(replace(cell, search=cell.search | {"trials": 18}))
    for asked, key in zip(whole.asked, whole.keys, strict=True):
        again.ask(asked.params, key)
        for epoch in (epoch for known, epoch in events if known == key):
            again.report(key, {"epoch": epoch, "val_acc": top(asked.params) - 30 / epoch}, again=True)
        body = {"last": {"val_acc": top(asked.params) - 30 / EPOCHS}, "seconds": 1.0}
        again.tell(key, asked.state, body if asked.state == "finished" else None)
    again.replayed()
    assert [asked.state for asked in again.asked] == [asked.state for asked in whole.asked]
    assert whole.asked[-1].state == "finished"
    assert again.chosen() == whole.chosen()


@pytest.mark.slow(1)
def test_a_trials_last_epoch_is_judged_where_the_driver_did_not_come_to_it(cell: SearchedCell) -> None:
    whole = CellSearch(cell)
    events = run(whole)
    number = next(number for number, asked in enumerate(whole.asked) if asked.state == "pruned")
    again = CellSearch(cell)
    for asked, key in list(zip(whole.asked, whole.keys, strict=True))[: number + 1]:
        again.ask(asked.params, key)
        for epoch in (epoch for known, epoch in events if known == key):
            again.report(key, {"epoch": epoch, "val_acc": top(asked.params) - 30 / epoch}, again=True)
        if asked.state == "finished":
            again.tell(key, "finished", {"last": {"val_acc": top(asked.params) - 30 / EPOCHS}, "seconds": 1.0})
        elif len(again.asked) <= number:
            again.tell(key, asked.state)
    assert again.asked[number].state == "running"
    again.replayed()
    assert again.asked[number].state == "pruned"


@pytest.mark.slow(1)
def test_a_resumed_trial_that_tells_its_epochs_again_is_not_judged_by_its_first(cell: SearchedCell) -> None:
    """It has come further: at its first epoch it would need all the others."""
    whole = CellSearch(cell)
    run(whole)
    number = next(n for n, asked in enumerate(whole.asked) if asked.state == "finished" and n)
    again = CellSearch(cell)
    for asked, key in list(zip(whole.asked, whole.keys, strict=True))[: number + 1]:
        again.ask(asked.params, key)
        known = sorted(asked.epochs.items())[: EPOCHS - 1]
        for epoch, value in known:
            again.report(key, {"epoch": epoch, "val_acc": value}, again=True)
        if len(again.asked) <= number:
            again.tell(key, asked.state, {"last": {"val_acc": known[-1][1]}, "seconds": 1.0})
    for epoch, value in known:
        again.report(key, {"epoch": epoch, "val_acc": value})
        assert again.runs(key), f"given up at epoch {epoch}, of which it had told before"


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "space", [{"w2": {"range": [1, 6]}}, {"w2": {"range": [1, 6], "step": 0.005}}], ids=["endless", "large"]
)
def test_a_small_space_without_end_never_runs_out_of_points(space: dict[str, Any]) -> None:
    search = {"sampler": "curves", "trials": 40}
    (one,) = build_plan(small_spec(methods=["kd", {"gdkd": space}], search=search, seeds=1)).cells
    found = CellSearch(one)
    while not found.complete:
        params = found.suggest()
        found.ask(params, str(params))
        found.report(str(params), {"epoch": 1, "val_acc": 40.0 - params["w2"]})
        if found.runs(str(params)):
            found.tell(str(params), "failed")
    assert len({str(asked.params) for asked in found.asked}) == 40


def test_where_all_have_failed_it_goes_on(cell: SearchedCell) -> None:
    search = CellSearch(cell)
    for _ in range(5):
        params = search.suggest()
        search.ask(params, str(params))
        search.tell(str(params), "failed")
    assert search.suggest() not in [asked.params for asked in search.asked]


def test_the_last_suggestion_runs_to_its_end(cell: SearchedCell) -> None:
    """Nothing could take its place."""
    search = CellSearch(replace(cell, search=cell.search | {"trials": 3}))
    run(search)
    assert search.asked[-1].state == "finished"


def test_what_broke_is_the_worst_and_its_neighbourhood_is_left(cell: SearchedCell) -> None:
    search = CellSearch(replace(cell, search=cell.search | {"trials": 4}))
    for _ in range(3):
        params = search.suggest()
        search.ask(params, str(params))
        for epoch in (1, 2):
            search.report(str(params), {"epoch": epoch, "val_acc": 40.0 + epoch + params["w2"]})
        if search.runs(str(params)):
            search.tell(str(params), "failed")
    assert search.suggest() is not None
    forecast = search._looking_ahead()
    assert forecast is not None
    worst = min(value for asked in search.asked for value in asked.epochs.values())
    broken = [trial for trial, asked in zip(forecast._trials(), search.asked, strict=True) if asked.state == "failed"]
    assert broken and all(trial.values[-1] == worst for trial in broken)


def test_several_at_once_do_not_try_one_point(cell: SearchedCell) -> None:
    search = CellSearch(cell)
    for _ in range(4):
        params = search.suggest()
        search.ask(params, str(params))
        search.report(str(params), {"epoch": 1, "val_acc": top(params) - 30})
    assert len({str(asked.params) for asked in search.asked}) == 4


@pytest.mark.slow(2)
def test_in_a_space_without_end_no_two_points_lie_beside_each_other() -> None:
    space = {"w2": {"range": [1, 6]}, "temperature": {"range": [1, 8], "log": True}}
    recipe = {"base": "digits", "epochs": EPOCHS, "schedule": "cosine"}
    search = {"sampler": "curves", "trials": 12}
    (one,) = build_plan(small_spec(methods=["kd", {"gdkd": space}], recipe=recipe, search=search, seeds=1)).cells
    found = CellSearch(one)
    while not found.complete:
        params = found.suggest()
        found.ask(params, str(params))
        for epoch in range(1, EPOCHS + 1):
            if found.runs(str(params)):
                found.report(str(params), {"epoch": epoch, "val_acc": 50.0 - abs(params["w2"] - 4) - 30 / epoch})
        if found.runs(str(params)):
            found.tell(
                str(params), "finished", {"last": {"val_acc": 50.0 - abs(params["w2"] - 4) - 3.75}, "seconds": 1.0}
            )
    places = [coordinates(one.space, asked.params) for asked in found.asked]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(places, 2)) > BESIDE
    assert abs(found.chosen()[0].params["w2"] - 4) < 1


SPEC = """
name: s
dataset: {digits: {image_size: 8}}
recipe: digits
pairs: [resnet20 -> resnet8]
methods: [{kd: {alpha: {range: [0.1, 1]}}}]
search: {sampler: curves%s}
"""


def test_who_looks_ahead_gives_up_by_it_unless_the_spec_says_otherwise() -> None:
    assert parse_spec(SPEC % "", "s.yaml").search.pruner == "curves"
    assert parse_spec(SPEC % ", pruner: none", "s.yaml").search.pruner == "none"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (", metrics: [val_acc, device_seconds]", "'curves' foretells one accuracy"),
        (", grace: 3", "grace is of the pruners asha and median"),
    ],
)
def test_what_it_cannot_do_is_refused(more: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_spec(SPEC % more, "s.yaml")
