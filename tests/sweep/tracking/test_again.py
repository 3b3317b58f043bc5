"""A trial that is trained again, or was taken over, as MLflow has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results import board
from sweep.results.records import records
from sweep.tracking import curves, read_back
from sweep.tracking.candidates import candidates, signature
from sweep.tracking.sync import sync
from tests.support.boards import said
from tests.support.examples import begin, record, slot_of
from tests.support.shared_trials import finish, opened, plan_of, slots_of, take
from tests.support.tracked import points, runs

NewStore = Callable[..., str]


@pytest.fixture
def told(root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore) -> tuple[str, str]:
    """A store that was told of a trial that failed once and then finished; its URI, and the trial's key."""
    uri = new_store()
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "kd", 1), [50.0, 60.0, 70.0])
    record(ledger, small_plan, slot_of(small_plan, "kd", 0), [10.0], state="failed")
    key = record(ledger, small_plan, slot_of(small_plan, "kd", 0), [50.0, 60.0, 70.0])
    sync(root, "small", uri)
    return uri, key


def test_a_trial_that_is_trained_again_has_a_new_run(
    root: Root, ledger: Ledger, small_plan: Plan, told: tuple[str, str]
) -> None:
    uri, key = told
    before = runs(uri, deleted=False)
    ledger.set_aside([key])
    sync(root, "small", uri)
    assert runs(uri, deleted=False).keys() == before.keys() - {key}
    record(ledger, small_plan, slot_of(small_plan, "kd", 0), [80.0, 85.0, 90.0])
    sync(root, "small", uri)
    after = runs(uri, deleted=False)
    assert after[key].info.run_id != before[key].info.run_id
    assert [value for _, _, value in points(uri, after[key])["test_acc"]] == [80.0, 85.0, 90.0]
    assert "reason" not in after[key].data.tags
    rest = before.keys() - {key}
    assert {other: after[other].info.run_id for other in rest} == {other: before[other].info.run_id for other in rest}
    ours, theirs = records(board.leaderboard(ledger)), records(board.board_of(read_back.read("small", uri)))
    assert [row["mean"] for row in theirs if row["n"]] == [row["mean"] for row in ours if row["n"]] == [80.0]


@pytest.mark.slow(1)
def test_a_delivery_that_is_repeated_leaves_one_run(
    root: Root, ledger: Ledger, small_plan: Plan, told: tuple[str, str], new_store: NewStore
) -> None:
    _, key = told
    ledger.set_aside([key])
    record(ledger, small_plan, slot_of(small_plan, "kd", 0), [80.0, 85.0, 90.0])
    other = new_store("other.db")
    sync(root, "small", other)
    run = runs(other)[key]
    assert [value for _, _, value in points(other, run)["test_acc"]] == [80.0, 85.0, 90.0]


def test_a_trial_that_is_trained_again_is_another_network(
    ledger: Ledger, small_plan: Plan, told: tuple[str, str]
) -> None:
    _, key = told
    wanted = candidates(ledger)
    before = signature(wanted, ledger)
    ledger.set_aside([key])
    record(ledger, small_plan, slot_of(small_plan, "kd", 0), [50.0, 60.0, 70.0])
    assert key in {candidate.id for candidate in wanted}
    assert [candidate.id for candidate in candidates(ledger)] == [candidate.id for candidate in wanted]
    assert signature(wanted, ledger) != before


def test_what_was_taken_over_is_told_as_such(root: Root, new_store: NewStore) -> None:
    uri, first, second = new_store(), plan_of("first"), plan_of("second", methods=["kd", "dkd"])
    keys = finish(root, first, slots_of(first, "kd"))
    take(root, second)
    sync(root, "second", uri)
    told = runs(uri)
    assert {told[key].data.tags["taken_from"] for key in keys} == {"first"}
    assert {told[key].info.status for key in keys} == {"FINISHED"}
    back = read_back.read("second", uri)
    with opened(root, "second") as ledger:
        table = board.leaderboard(ledger)
    assert board.board_of(back).taken == table.taken == ("first", "first")
    assert "(taken over: 2 from first)" in said(board.board_of(back))
    assert set(curves.read(back, uri).to_pydict()["taken_from"]) == {"first"}
