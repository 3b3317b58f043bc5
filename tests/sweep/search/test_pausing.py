"""Searches that pause: the first points get a short time, what promises most is taken up again, and the rest is given
up in the end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from search_spaces.loader import parse_spec
from sweep.plan.divisible import refuse_what_needs_one_driver
from sweep.plan.expand import build_plan
from sweep.plan.slots import PAUSING, RULES, SearchedCell
from sweep.search.cell_search import CellSearch
from sweep.search.geometry import coordinates
from sweep.search.looking_back import in_short, pauses
from sweep.search.pausing import SHORT, PausingSearch
from tests.support.examples import small_spec
from trainers.errors import InputError

EPOCHS = 18
SHORT_TIME = EPOCHS // 9
SPACE = {"w2": {"range": [1, 6], "step": 1}, "k": {"choice": [2, 4, 6, 8]}}
BEST = {"w2": 4, "k": 6}


def cell_of(space: dict[str, Any] = SPACE, **search: Any) -> SearchedCell:
    recipe = {"base": "digits", "epochs": EPOCHS, "schedule": "cosine"}
    asked = {"sampler": "curves", "trials": 24, "pauses": True, "first": []} | search
    (one,) = build_plan(small_spec(methods=["kd", {"gdkd": space}], recipe=recipe, search=asked, seeds=1)).cells
    return one


@pytest.fixture(scope="module")
def cell() -> SearchedCell:
    return cell_of()


def top(params: dict[str, Any]) -> float:
    return 60.0 - 3 * abs(params["w2"] - BEST["w2"]) - 2 * abs(params["k"] - BEST["k"])


Trained = list[tuple[int, int]]
"""Suggestion and epoch, in the order in which they were trained."""
Hears = Callable[[CellSearch, int, int], None]


def run(search: CellSearch, at_once: int = 4, most: int = 10_000, fails: int = -1) -> Trained:
    """Train so many trials side by side, which end their epochs in turn, each with a curve that rises to its top.

    Args:
        search: that asks for them.
        at_once: how many.
        most: epochs.
        fails: number of a suggestion that breaks after its first epoch.
    """
    trained, running = Trained(), deque(number for number, one in enumerate(search.asked) if one.state == "running")
    while len(trained) < most:
        while len(running) < at_once and search.wants_more:
            running.append(taken_up(search))
        if not running:
            return trained
        number = running.popleft()
        train(search, number, trained, breaks=number == fails)
        running += [number] if search.asked[number].state == "running" else []
    return trained


def taken_up(search: CellSearch) -> int:
    """The suggestion that is to be trained next."""
    paused = search.resumes()
    if paused is not None:
        search.resume(paused)
        return paused
    params = search.suggest()
    search.ask(params, str(params))
    return len(search.asked) - 1


def train(search: CellSearch, number: int, trained: Trained, *, breaks: bool = False) -> None:
    """One more epoch of a suggestion, and its end."""
    key, epoch = search.keys[number], search.heard(search.keys[number]) + 1
    trained.append((number, epoch))
    value = top(search.asked[number].params) - 30 / epoch
    if breaks and epoch == 2:
        search.tell(key, "failed")
        return
    search.report(key, {"epoch": epoch, "val_acc": value})
    if epoch == EPOCHS:
        search.tell(key, "finished", {"last": {"val_acc": value}, "seconds": 1.0})


def end(search: CellSearch) -> None:
    """Give up what is left paused, as the engine does."""
    assert search.lets_go
    for number in search.paused:
        search.give_up(search.keys[number])
    assert search.complete
    assert not search.wants_more


# -- what is trained ---------------------------------------------------------------------------------------------------


def test_the_first_points_lie_far_apart_and_have_a_short_time_each(cell: SearchedCell) -> None:
    search = CellSearch(cell)
    trained = run(search, most=SHORT * SHORT_TIME)
    assert Counter(number for number, _ in trained) == dict.fromkeys(range(SHORT), SHORT_TIME)
    assert [(one.number, one.epoch) for one in pauses(search)][: SHORT - 4] == [
        (number, SHORT_TIME) for number in range(SHORT - 4)
    ]
    first = [coordinates(cell.space, asked.params) for asked in search.asked[:SHORT]]
    others = CellSearch(cell_of(pauses=False))
    run(others, most=SHORT * SHORT_TIME)
    drawn = [coordinates(cell.space, asked.params) for asked in others.asked]
    assert nearest(first) > 1.5 * nearest(drawn), "those of a search that does not pause"


def nearest(places: list[Any]) -> float:
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(places, 2))


@pytest.mark.slow(1)
@pytest.mark.parametrize("at_once", [1, 4, 30])
def test_the_best_is_found_and_what_is_left_paused_is_given_up(cell: SearchedCell, at_once: int) -> None:
    search = CellSearch(cell)
    trained = run(search, at_once)
    assert len(trained) == len(set(trained)), "no epoch is trained twice"
    resumed = {one.number for one in pauses(search) if one.resumed}
    if at_once < 24:
        assert resumed
        end(search)
        assert len(trained) < 0.85 * 24 * EPOCHS
    assert search.chosen()[0].params == BEST
    assert len(search.asked) == 24
    for number, asked in enumerate(search.asked):
        epochs = [epoch for one, epoch in trained if one == number]
        assert epochs == list(range(1, len(epochs) + 1)), "a paused trial goes on where it was"
        assert list(asked.epochs) == epochs
    assert {asked.state for asked in search.asked} == ({"finished"} if at_once == 30 else {"finished", "pruned"})


@pytest.mark.parametrize(
    "trials", [1, 2, 5, *(pytest.param(trials, marks=pytest.mark.slow(6)) for trials in (SHORT, SHORT + 1))]
)
@pytest.mark.parametrize("confirm", [1, 3])
def test_a_small_budget_too_ends_with_what_is_to_be_confirmed(trials: int, confirm: int) -> None:
    search = CellSearch(cell_of(trials=trials, confirm=confirm))
    run(search)
    if search.paused:
        end(search)
    assert search.complete
    assert len(search.asked) == trials
    assert sum(asked.state == "finished" for asked in search.asked) >= min(confirm, trials)


def test_points_that_the_spec_names_come_first_and_pause_too() -> None:
    first = [{"w2": 1, "k": 2}, {"w2": 1, "k": 4}]
    search = CellSearch(cell_of(first=first))
    run(search, most=4 * SHORT_TIME)
    assert [asked.params for asked in search.asked[:2]] == first
    assert [asked.state for asked in search.asked[:2]] == ["paused", "paused"]


def test_where_all_break_nothing_is_left_paused() -> None:
    search = CellSearch(cell_of(trials=3))
    for _ in range(3):
        search.tell(search.keys[taken_up(search)], "failed")
    assert search.complete


@pytest.mark.slow(3)
def test_a_trial_that_breaks_after_a_pause_counts_as_the_worst(cell: SearchedCell) -> None:
    search = CellSearch(replace(cell, search=cell.search | {"trials": 16}))
    run(search, fails=0)
    assert search.asked[0].state in ("failed", "paused")
    if search.paused:
        end(search)
    assert search.chosen()


# -- what the ledger has of it ----------------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_the_same_history_has_the_same_answers(cell: SearchedCell) -> None:
    """Told by what is noted alone, a search is where the first one was, and goes on likewise."""
    whole = CellSearch(cell)
    trained = run(whole, at_once=1)
    for cut in (SHORT_TIME, 30, 60, len(trained) - 1):
        search = CellSearch(cell)
        run(search, at_once=1, most=cut)
        again = replayed(search)
        assert [asked.state for asked in again.asked] == [asked.state for asked in search.asked]
        assert again.resumes() == search.resumes()
        run(again, at_once=1)
        assert [(one.params, one.state, one.epochs) for one in again.asked] == [
            (one.params, one.state, one.epochs) for one in whole.asked
        ]
        assert pauses(again) == pauses(whole)


def replayed(search: CellSearch) -> CellSearch:
    """The search as its past tells of it."""
    again = CellSearch(search.cell)
    for moment in search.past:
        number, key = moment.number, search.keys[moment.number]
        if moment.epoch:
            body = {"epoch": moment.epoch, "val_acc": search.asked[number].epochs[moment.epoch]}
            again.report(key, body, again=True)
        elif number == len(again.asked):
            again.ask(search.asked[number].params, key)
        elif moment.state == "running":
            again.resume(number)
        elif moment.state == "paused":
            again.pause(key, max(again.asked[number].epochs))
        else:
            value = search.asked[number].epochs[EPOCHS]
            again.tell(key, moment.state, {"last": {"val_acc": value}, "seconds": 1.0})
    return again


def test_what_others_train_of_a_paused_trial_is_heard_when_it_is_taken_up(cell: SearchedCell) -> None:
    """A plan's own slot may be the same trial, and run to its end before the ledger's word of the pause is read."""
    search = CellSearch(cell)
    number = taken_up(search)
    key = search.keys[number]
    for epoch in range(1, EPOCHS + 1):
        search.report(key, {"epoch": epoch, "val_acc": 50.0}, again=True)
    search.tell(key, "finished", {"last": {"val_acc": 50.0}, "seconds": 1.0})
    search.pause(key, SHORT_TIME)
    assert search.asked[number].state == "paused"
    assert list(search.asked[number].epochs) == list(range(1, SHORT_TIME + 1))
    assert (search.chosen(), search.running) == ([], 0)
    assert [(one.number, one.epoch) for one in pauses(search)] == [(number, SHORT_TIME)]
    search.report(key, {"epoch": SHORT_TIME + 1, "val_acc": 50.0})
    assert search.heard(key) == SHORT_TIME
    search.resume(number)
    search.report(key, {"epoch": SHORT_TIME, "val_acc": 50.0})
    assert search.asked[number].state == "running", "it is not paused again for what it was paused for"
    search.report(key, {"epoch": SHORT_TIME + 1, "val_acc": 50.0})
    assert search.heard(key) == SHORT_TIME + 1


def test_what_was_taken_up_is_not_paused_again_before_its_next_epoch(
    cell: SearchedCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver was killed in between: what runs is looked at again, but that was decided."""
    search = CellSearch(cell)
    run(search, most=SHORT * SHORT_TIME)
    others = {number for number, asked in enumerate(search.asked) if asked.state == "running" and asked.epochs}
    number = taken_up(search)
    assert number in {one.number for one in pauses(search)}
    again = replayed(search)
    monkeypatch.setattr(PausingSearch, "_judge", lambda *_: True)
    again.replayed()
    assert again.asked[number].state == "running"
    resumed = {one.number for one in pauses(search) if one.resumed}
    assert all(again.asked[other].state == "paused" for other in others - resumed)


def test_how_often_it_has_paused_is_told_in_words(cell: SearchedCell) -> None:
    search = CellSearch(cell)
    run(search, most=SHORT * SHORT_TIME - 3)
    assert in_short(search) == f"{len(search.paused)} trials {len(search.paused)} times, 0 of them taken up again;" + (
        f" {len(search.paused)} paused now"
    )


# -- where it is asked for --------------------------------------------------------------------------------------------


def test_without_it_nothing_of_it_is_noted() -> None:
    assert "pauses" not in cell_of(pauses=False).search
    assert (cell_of(pauses=False).rules, cell_of().rules) == (RULES, PAUSING)
    assert cell_of().id == cell_of(pauses=False).id
    assert not replace(cell_of(), search=cell_of().search | {"pruner": "asha"}).pauses


SPEC = """
name: s
dataset: {digits: {image_size: 8}}
recipe: digits
pairs: [resnet20 -> resnet8]
methods: [{kd: {alpha: {range: [0.1, 1]}}}]
search: {pauses: true%s}
"""


def test_it_is_of_searches_that_look_ahead() -> None:
    assert parse_spec(SPEC % ", sampler: curves", "s.yaml").search.pauses
    for more, other in (
        ("", "asha"),
        (", sampler: tpe, pruner: curves", "tpe"),
        (", sampler: curves, pruner: none", "none"),
    ):
        with pytest.raises(InputError, match=rf"pauses is of searches by curves: give sampler: curves .*{other}"):
            parse_spec(SPEC % more, "s.yaml")


def test_several_runs_cannot_divide_it() -> None:
    plan = build_plan(parse_spec(SPEC % ", sampler: curves", "s.yaml"))
    with pytest.raises(InputError, match=r"has `search: \{pauses: true\}`.* Leave `pauses` out, or run it as one job"):
        refuse_what_needs_one_driver(plan)
