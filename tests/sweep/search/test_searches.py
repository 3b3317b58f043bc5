"""One search and several: what counts as tried, what is won, and that the ledger alone brings everything back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.ledger.bodies import final_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, SearchedCell
from sweep.results import read
from sweep.search.cell_search import CellSearch
from sweep.search.known import is_known
from sweep.search.searches import Searches
from tests.support.examples import epoch_body, job_of, small_spec, teacher_of
from tests.support.simulation import World, run
from trainers.config import TeacherConfig

SPACE = {"w2": {"range": [1, 4], "step": 1}, "k": {"choice": [3, 5, 7]}}
EPOCHS = 9


def searched_plan(*others: Any, space: dict[str, Any] = SPACE, seeds: int = 2, **search: Any) -> Plan:
    """A plan with one searched method under one pair, and other methods."""
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8}
    asked = {"trials": 6, "sampler": "random", "deterministic": True, "first": []} | search
    return build_plan(small_spec(methods=["kd", *others, {"gdkd": space}], recipe=recipe, search=asked, seeds=seeds))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return searched_plan()


@pytest.fixture
def cell(plan: Plan) -> SearchedCell:
    return plan.cells[0]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def searching(cell: SearchedCell, **search: Any) -> CellSearch:
    return CellSearch(replace(cell, search=cell.search | search, student_macs=1000))


def epoch(number: int, val_acc: float) -> dict[str, Any]:
    return epoch_body(number, val_acc - 1, val_acc)


def finished(val_acc: float, seconds: float = 2.0) -> dict[str, Any]:
    return final_body("finished", [epoch(EPOCHS, val_acc) | {"seconds": seconds}], "validation")


def stored(plan: Plan) -> dict[str, TeacherConfig]:
    return {slot.id: teacher_of(slot) for slot in plan.teachers}


def new_queue(plan: Plan, ledger: Ledger | None = None) -> TrialQueue:
    finals = set(ledger.finals()) if ledger else set()
    return TrialQueue(plan, stored(plan), finals, Searches(plan, ledger))


def search_of(queue: TrialQueue) -> CellSearch:
    (search,) = queue.searches._all.values()
    return search


def note(ledger: Ledger, queue: TrialQueue, job: Job, *val_accs: float, final: bool = False) -> None:
    """Epochs of a live trial, counted on from those that the ledger has, and its end."""
    done = ledger.epochs_done().get(job.key, 0)
    for number, value in enumerate(val_accs, start=done + 1):
        ledger.append("epoch", job.key, number, epoch(number, value))
        queue.report(job.key, [epoch(number, value)])
    if final:
        ledger.append("final", job.key, body=finished(val_accs[-1]))
        queue.finished(job.key, None, finished(val_accs[-1]))


def taken(queue: TrialQueue) -> list[Job]:
    jobs = []
    while (job := queue.next()) is not None:
        jobs.append(job)
    return jobs


# -- one search -------------------------------------------------------------------------------------------------------


def test_a_deterministic_search_asks_for_one_trial_at_a_time(cell: SearchedCell) -> None:
    search = searching(cell, trials=2)
    search.ask({"w2": 1.0, "k": 3}, "a")
    assert not search.wants_more
    search.tell("a", "finished", finished(50.0))
    assert search.wants_more
    search.ask({"w2": 2.0, "k": 3}, "b")
    assert not search.complete
    search.tell("b", "failed")
    assert search.complete
    assert not search.wants_more
    hasty = searching(cell, deterministic=False)
    hasty.ask({"w2": 1.0, "k": 3}, "a")
    assert hasty.wants_more


def test_a_trial_is_given_up_by_its_own_search_and_not_heard_any_more(cell: SearchedCell) -> None:
    search = searching(cell, grace=1)
    for key, value in (("a", 60.0), ("b", 40.0)):
        search.ask({"w2": 1.0 if key == "a" else 2.0, "k": 3}, key)
        search.report(key, epoch(1, value))
    assert [asked.state for asked in search.asked] == ["running", "pruned"]
    before = search.asked[1]
    search.report("b", epoch(2, 99.0))  # a resumed trial may report two epochs at once
    search.tell("b", "finished", finished(99.0))
    assert search.asked[1] == before
    assert before.epochs == {1: 40.0}


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_nothing_is_given_up_after_its_last_epoch(cell: SearchedCell, pruner: str) -> None:
    search = searching(cell, pruner=pruner, grace=1)
    for number in range(6):
        search.ask({"w2": float(number), "k": 3}, str(number))
        for done in range(1, EPOCHS):
            search.report(str(number), epoch(done, 10.0))
        search.report(str(number), epoch(EPOCHS, 50.0 - number))
    assert {asked.state for asked in search.asked} == {"running"}


def test_the_last_epoch_is_that_of_the_trial_where_epochs_are_searched() -> None:
    plan = build_plan(
        small_spec(
            methods=["kd"],
            recipe={"base": "digits", "samples_per_class": 8, "warmup_epochs": 0, "epochs": {"choice": [3, 9]}},
            search={"trials": 4, "grace": 3, "reduction": 3},
        )
    )
    search = CellSearch(plan.cells[0])
    for key, epochs, value in (("long", 9, 60.0), ("short", 3, 40.0), ("lost", 9, 40.0)):
        search.ask({"recipe.epochs": epochs}, key)
        search.report(key, epoch(3, value))
    assert [asked.state for asked in search.asked] == ["running", "running", "pruned"]


def test_of_equals_the_first_wins_and_what_did_not_finish_wins_nothing(cell: SearchedCell) -> None:
    search = searching(cell, confirm=3, pruner="none")
    for number, (key, value) in enumerate([("a", 50.0), ("b", 70.0), ("c", 70.0), ("b", 70.0), ("d", None)]):
        search.ask({"w2": float(number), "k": 3}, key)
        if not search.repeat(key):
            search.report(key, epoch(1, 99.0))
            search.tell(key, "finished" if value else "failed", finished(value) if value else None)
    search.ask({"w2": 9.0, "k": 3}, "still running")
    assert [(one.number, one.values) for one in search.chosen()] == [(1, (70.0,)), (2, (70.0,)), (0, (50.0,))]
    assert searching(cell).chosen() == []


def test_with_several_metrics_the_pareto_front_is_won(cell: SearchedCell) -> None:
    search = searching(cell, metrics=["val_acc", "device_seconds"], confirm=10, pruner="none")
    costs = {
        "best": (90.0, 50.0),
        "cheap": (60.0, 1.0),
        "beaten": (60.0, 2.0),
        "both": (80.0, 10.0),
        "worst": (10.0, 60.0),
    }
    for number, (key, (value, seconds)) in enumerate(costs.items()):
        search.ask({"w2": float(number), "k": 3}, key)
        search.tell(key, "finished", finished(value, seconds))
    assert [search.keys[one.number] for one in search.chosen()] == ["best", "both", "cheap"]


def test_the_size_of_the_model_is_a_metric(cell: SearchedCell) -> None:
    search = searching(cell, metrics=["val_acc", "student_macs"])
    search.ask({"w2": 1.0, "k": 3}, "a")
    search.tell("a", "finished", finished(50.0))
    assert search.asked[0].values == (50.0, 1000.0)


def test_a_repeated_suggestion_counts_as_the_first_did(cell: SearchedCell) -> None:
    search = searching(cell, grace=1)
    search.ask({"w2": 1.0, "k": 3}, "a")
    assert not search.repeat("a")
    search.report("a", epoch(1, 50.0))
    search.tell("a", "finished", finished(55.0))
    search.ask({"w2": 1.0, "k": 3}, "a")
    assert search.repeat("a")
    assert search.asked[0] == search.asked[1]


def test_the_last_epoch_that_was_heard_is_known(plan: Plan) -> None:
    searches = Searches(plan)
    (search,) = searches._all.values()
    search.ask({"w2": 1.0, "k": 3}, "a")
    assert [one.heard(key) for one in (search, searches) for key in ("a", "none")] == [0] * 4
    for number in (1, 2):
        searches.report("a", epoch(number, 50.0))
    assert [one.heard(key) for one in (search, searches) for key in ("a", "none")] == [2, 0] * 2


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_a_sampler_that_goes_through_all_points_ends_with_them(sampler: str) -> None:
    plan = searched_plan(space={"k": {"choice": [3, 5, 7]}}, sampler=sampler, trials=20, seeds=1)
    search = CellSearch(plan.cells[0])
    while search.wants_more:
        params = search.suggest()
        search.ask(params, str(params))
        search.tell(str(params), "finished", finished(50.0))
    assert sorted(asked.params["k"] for asked in search.asked) == [3, 5, 7]
    assert search.complete


# -- suggestions that are another slot's trial -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def overlapping() -> Plan:
    """A search over three points, each of which is a slot of the plan too."""
    grid = {"gdkd": {"k": [3, 5, 7]}}
    return searched_plan(grid, space={"k": {"choice": [3, 5, 7]}}, sampler="grid", trials=3, seeds=1, grace=1)


def test_a_suggestion_that_ended_as_a_slot_of_the_plan_runs_no_more(overlapping: Plan, book: Ledger) -> None:
    for slot in overlapping.students:
        key = job_of(overlapping, slot).key
        book.append("epoch", key, 1, epoch(1, 50.0 + slot.config["method"]["params"].get("k", 0)))
        book.append("final", key, body=finished(60.0))
    queue = new_queue(overlapping, book)
    assert taken(queue) == []
    assert queue.exhausted
    assert len(list(book.events("ask"))) == 3
    assert [asked.epochs for asked in search_of(queue).asked] == [{1: 53.0}, {1: 55.0}, {1: 57.0}]
    assert [event.body["chosen"][0]["number"] for event in book.events("chosen")] == [0]


def test_a_suggestion_that_waits_or_runs_as_a_slot_of_the_plan_is_that_one_trial(
    overlapping: Plan, book: Ledger
) -> None:
    queue = new_queue(overlapping, book)
    jobs = taken(queue)
    assert len(jobs) == len({job.key for job in jobs}) == 4
    assert {job.slot.stage for job in jobs} == {"confirm"}
    good, poor = (next(j for j in jobs if j.trial.method.params.get("k") == k) for k in (3, 5))
    note(book, queue, good, 60.0)
    assert queue.next() is None  # the one trial of the search that is deterministic
    note(book, queue, poor, 40.0)
    note(book, queue, good, 70.0, final=True)
    assert queue.next() is None
    assert [asked.state for asked in search_of(queue).asked] == ["finished", "pruned", "running"]
    assert poor in queue.live  # the search gave it up, the plan did not
    assert not queue.given_up(poor.key)
    note(book, queue, poor, 80.0, final=True)
    assert search_of(queue).asked[1].state == "pruned"


def test_what_one_search_gave_up_another_goes_on_with(book: Ledger) -> None:
    narrow, wide = {"gdkd": {"k": {"choice": [3, 5]}}}, {"k": {"choice": [5, 3]}}
    plan = searched_plan(narrow, space=wide, sampler="grid", trials=2, seeds=1, grace=1)
    queue = new_queue(plan, book)
    first = queue.next()
    second = queue.next()
    assert first is not None
    assert second is not None
    assert [job.trial.method.params["k"] for job in (first, second)] == [3, 5]
    note(book, queue, first, *[60.0] * EPOCHS, final=True)
    note(book, queue, second, 50.0)  # alone in its own search
    third = queue.next()
    assert third is not None
    assert third.slot.method == "kd"  # the first search waits for its `second`, which is the other's trial
    assert [[asked.state for asked in search.asked] for search in queue.searches._all.values()] == [
        ["finished", "pruned"],
        ["running"],
    ]
    assert not queue.given_up(second.key)
    note(book, queue, second, *[50.0] * (EPOCHS - 1), final=True)
    states = [[asked.state for asked in search.asked] for search in queue.searches._all.values()]
    assert states[0] == ["finished", "pruned"]
    assert queue.next() is None or states[1][0] == "finished"


def test_what_one_search_has_given_up_runs_on_for_another_driver_s_that_waits_for_it(book: Ledger) -> None:
    plan = searched_plan({"gdkd": {"k": {"choice": [3, 5]}}}, space={"k": {"choice": [5, 3]}}, seeds=1)
    first, other = plan.cells
    slots = [cell.slot({"k": 5}, "search", 0) for cell in plan.cells]
    (key,) = {slot.id for slot in slots}
    for cell, slot in zip(plan.cells, slots, strict=True):
        body = {"cell": cell.id, "number": 0, "params": {"k": 5}, "slot": asdict(slot), "rules": 2}
        book.append("ask", key, body=body)
    book.append("epoch", key, 1, epoch(1, 50.0))
    pruned = final_body("pruned", [epoch(1, 50.0)], "validation")
    book.append("pruned", key, body=pruned | {"cells": [first.id]})
    searches = Searches(plan, book)
    states = {search.cell.id: search.asked[0].state for search in searches.all}
    assert states == {first.id: "pruned", other.id: "running"}
    assert set(searches.unfinished) == {key}
    assert not searches.given_up(key)
    book.append("pruned", key, body=pruned | {"cells": [other.id]})
    assert Searches(plan, book).unfinished == {}


def test_a_suggestion_that_was_pruned_before_is_not_tried_again(plan: Plan, book: Ledger) -> None:
    queue = new_queue(plan, book)
    job = queue.next()
    assert job is not None
    search = search_of(queue)
    queue.searches.prune(job.key)
    search.ask(search.asked[0].params, job.key)
    assert search.repeat(job.key)
    assert [asked.state for asked in search.asked] == ["pruned", "pruned"]


# -- the ledger's memory -----------------------------------------------------------------------------------------------


def test_a_driver_killed_between_an_epoch_and_the_note_that_it_was_the_last_one_notes_it_later(
    book: Ledger,
) -> None:
    plan = searched_plan(grace=1, sampler="grid", deterministic=False)
    queue = new_queue(plan, book)
    jobs = [queue.next() for _ in range(2)]
    for job, value in zip(jobs, (60.0, 40.0), strict=True):
        assert job is not None
        note(book, queue, job, value)
    good, poor = jobs
    assert good is not None
    assert poor is not None
    assert queue.given_up(poor.key)
    assert not list(book.events("pruned"))
    again = new_queue(plan, book)
    assert [event.trial for event in book.events("pruned")] == [poor.key]
    assert list(again.searches.unfinished) == [good.key]
    assert new_queue(plan, book).searches.unfinished == again.searches.unfinished
    assert len(list(book.events("pruned"))) == 1


def finish(queue: TrialQueue, ledger: Ledger | None = None) -> list[Job]:
    """Run all that is left; the trials that confirm what a search has won."""
    confirming = []
    while (job := queue.next()) is not None:
        confirming += [job] if job.slot.stage == "confirm" and job.slot.method == "gdkd" else []
        if ledger is not None:
            note(ledger, queue, job, *[50.0] * EPOCHS, final=True)
        else:
            queue.finished(job.key, None, finished(50.0))
    assert queue.exhausted
    return confirming


def test_what_is_won_is_noted_once_however_often_the_sweep_is_run(plan: Plan, book: Ledger) -> None:
    first = finish(new_queue(plan, book), book)
    assert first != []
    (noted,) = book.events("chosen")
    assert finish(new_queue(plan, book), book) == []
    assert list(book.events("chosen")) == [noted]
    grown = searched_plan(seeds=3)
    assert len(finish(new_queue(grown, book), book)) == 1
    assert len(list(book.events("chosen"))) == 2  # with the slots of another seed


def test_without_a_ledger_a_search_is_confirmed_all_the_same(plan: Plan) -> None:
    queue = new_queue(plan)
    assert {job.slot.seed for job in finish(queue)} == set(search_of(queue).cell.seeds[1:])


def test_reading_the_searches_writes_nothing(book: Ledger) -> None:
    plan = searched_plan(grace=1, sampler="grid", deterministic=False)
    queue = new_queue(plan, book)
    for value in (60.0, 40.0):
        job = queue.next()
        assert job is not None
        note(book, queue, job, value)
    before = book.last_seq()
    (search,) = Searches.read(plan, book)
    assert [asked.state for asked in search.asked] == ["running", "pruned"]
    assert book.last_seq() == before


def test_a_complete_search_waits_for_a_teacher_that_is_no_longer_stored(plan: Plan, book: Ledger) -> None:
    queue = new_queue(plan, book)
    while (job := queue.next()) is not None:
        note(book, queue, job, *[50.0] * EPOCHS, final=True)
    assert queue.exhausted
    gone = TrialQueue(plan, {}, set(book.finals()), Searches(plan, book))
    (teacher,) = taken(gone)
    assert teacher.slot.stage == "teacher"
    gone.finished(teacher.key, teacher_of(teacher.slot))
    assert taken(gone) == []
    assert gone.exhausted


@pytest.mark.parametrize("when", ["at the start", "meanwhile"])
def test_with_another_teacher_the_search_begins_anew(plan: Plan, book: Ledger, when: str) -> None:
    queue = new_queue(plan, book)
    first, second = queue.next(), None
    assert first is not None
    note(book, queue, first, *[50.0] * EPOCHS, final=True)
    second = queue.next()
    assert second is not None
    (slot,) = plan.teachers
    other = replace_hash(teacher_of(slot))
    if when == "at the start":
        queue = TrialQueue(plan, {slot.id: other}, set(book.finals()), Searches(plan, book))
    else:
        queue = TrialQueue(plan, {}, set(book.finals()), Searches(plan, book))
        (teacher,) = taken(queue)
        queue.finished(teacher.key, other)
    asked = 0
    while (job := queue.next()) is not None:
        assert job.trial.teacher == other
        asked += job.slot.stage == "search"
        note(book, queue, job, *[50.0] * EPOCHS, final=True)
    assert queue.exhausted
    assert asked == len({asked.params["w2"] * 10 + asked.params["k"] for asked in search_of(queue).asked})
    again = TrialQueue(plan, {slot.id: other}, set(book.finals()), Searches(plan, book))
    assert search_of(again).asked == search_of(queue).asked
    assert again.exhausted


@pytest.fixture(scope="module")
def racing() -> Plan:
    """The three best of four race, over three seeds at most."""
    return searched_plan(trials=4, confirm=3, race=3, pruner="none")


def test_a_race_waits_for_a_teacher_that_is_no_longer_stored(racing: Plan, book: Ledger) -> None:
    queue = new_queue(racing, book)
    raced = 0
    while (job := queue.next()) is not None and raced < 4:
        raced += job.slot.stage == "race"
        note(book, queue, job, *[50.0] * EPOCHS, final=True)
    gone = TrialQueue(racing, {}, set(book.finals()), Searches(racing, book))
    (teacher,) = taken(gone)
    assert teacher.slot.stage == "teacher"
    gone.finished(teacher.key, teacher_of(teacher.slot))
    while (job := gone.next()) is not None:
        raced += job.slot.stage == "race"
        note(book, gone, job, *[50.0] * EPOCHS, final=True)
    assert gone.exhausted
    assert raced == 9


def test_with_another_teacher_the_race_begins_anew(racing: Plan, book: Ledger) -> None:
    queue = new_queue(racing, book)
    for _ in range(4 + 2):  # the search, and two of a race; the third waits
        job = queue.next()
        assert job is not None
        note(book, queue, job, *[50.0] * EPOCHS, final=True)
    assert any(slot.stage == "race" for slot in queue._waiting)
    (slot,) = racing.teachers
    other = replace_hash(teacher_of(slot))
    queue.teachers[slot.id] = other  # as it comes out when it is trained again
    queue._renew_searches()
    assert not any(slot.stage == "race" for slot in queue._waiting)
    stages = []
    while (job := queue.next()) is not None:
        assert job.trial.teacher == other
        stages.append(job.slot.stage)
        note(book, queue, job, *[50.0] * EPOCHS, final=True)
    assert queue.exhausted
    assert (stages.count("search"), stages.count("race")) == (4, 9)


@pytest.mark.parametrize("race", [3, None])
def test_what_a_search_that_was_begun_anew_wins_is_noted_though_it_is_the_same(race: int | None, book: Ledger) -> None:
    """Readers forget what it had won before."""
    plan = searched_plan(trials=4, confirm=3, race=race, pruner="none")
    queue = new_queue(plan, book)
    while (job := queue.next()) is not None:
        note(book, queue, job, *[50.0] * EPOCHS, final=True)
    (slot,) = plan.teachers
    queue.teachers[slot.id] = replace_hash(teacher_of(slot))
    queue._renew_searches()
    while (job := queue.next()) is not None:
        note(book, queue, job, *[50.0] * EPOCHS, final=True)
    first, second = (event.body for event in book.events("chosen"))
    assert first == second
    known = read.searching(plan, book)
    assert (list(known.won), known.racing) == ([cell.id for cell in plan.cells], set())


def replace_hash(teacher: TeacherConfig) -> TeacherConfig:
    return teacher.model_copy(update={"hash": teacher.hash[::-1]})


def curve(job: Job, number: int) -> float:
    params = job.trial.method.params
    if params.get("k") == 7 and params.get("w2") == 4 and number == 2:
        raise ZeroDivisionError("loss term 'kd' became nan")
    return 50.0 + number * (params.get("w2", 1.0) - params.get("k", 5) / 10)


@pytest.mark.slow(2)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32), workers=st.integers(1, 3), deterministic=st.booleans())
def test_after_every_event_a_replay_knows_what_the_driver_knew(
    made: dict[bool, Plan], tmp_path_factory: pytest.TempPathFactory, seed: int, workers: int, deterministic: bool
) -> None:
    """The state lived through at each event is that replayed from the events up to it."""
    plan = made[deterministic]
    world = World(tmp_path_factory.mktemp("world"), curve)
    run(world, plan, random.Random(seed), workers=workers)
    with Ledger(world.paths.ledger) as whole:
        events = list(whole.events())
    lived = Searches(plan)
    with Ledger(tmp_path_factory.mktemp("prefix") / "ledger.db") as prefix:
        for event in events:
            prefix.append(event.kind, event.trial, event.epoch, event.body)
            live(lived, event.kind, event.trial or "", event.body, prefix)
            assert Searches.read(plan, prefix)[0].asked == next(iter(lived._all.values())).asked
            assert Searches.read(plan, prefix)[0].pruner.stopped == next(iter(lived._all.values())).pruner.stopped


@pytest.mark.slow(15)
@pytest.mark.parametrize(("seed", "workers", "deterministic"), [(0, 1, True), (1, 3, True), (2, 3, False)])
def test_so_it_does_where_trials_pause(
    tmp_path_factory: pytest.TempPathFactory, seed: int, workers: int, deterministic: bool
) -> None:
    fixed = {"gdkd": {"w2": 2, "k": 5}}
    plan = searched_plan(
        fixed, sampler="curves", pruner="curves", pauses=True, trials=14, grace=None, deterministic=deterministic
    )
    world = World(tmp_path_factory.mktemp("world"), curve)
    run(world, plan, random.Random(seed), workers=workers)
    with Ledger(world.paths.ledger) as whole:
        events = list(whole.events())
    assert {"paused", "resumed"} <= {event.kind for event in events}
    lived = Searches(plan)
    with Ledger(tmp_path_factory.mktemp("prefix") / "ledger.db") as prefix:
        for event, following in pairwise([*events, None]):
            assert event is not None
            prefix.append(event.kind, event.trial, event.epoch, event.body)
            live(lived, event.kind, event.trial or "", event.body, prefix)
            if not (following and following.kind == "paused" and event.kind in ("ask", "resumed")):  # of one write
                assert Searches.read(plan, prefix)[0].asked == lived.all[0].asked


def live(searches: Searches, kind: str, key: str, body: dict[str, Any], ledger: Ledger) -> None:
    """What a driver does with its searches when it writes an event."""
    if kind == "ask":
        search = searches._all[body["cell"]]
        assert search.suggest() == body["params"]  # the suggestion depends on the history alone
        search.ask(body["params"], key)
        if not search.repeat(key):
            is_known(search, key, ledger, searches.plan.protocol)
    elif kind == "resumed":
        search = searches._all[body["cell"]]
        assert search.resumes() == body["number"], "nor does what is taken up again"
        search.resume(body["number"])
        is_known(search, key, ledger, searches.plan.protocol)
    elif kind == "epoch":
        searches.report(key, body)
    elif kind == "pruned" and "cells" in body:
        for search in searches.of(key):
            search.give_up(key)
    elif kind in ("pruned", "final"):
        searches.ended(key, body["state"], body)


@pytest.fixture(scope="module")
def made() -> dict[bool, Plan]:
    fixed = {"gdkd": {"w2": 2, "k": 5}}
    return {one: searched_plan(fixed, sampler="tpe", trials=12, grace=1, deterministic=one) for one in (False, True)}
