"""`sweep status`, from the ledger alone."""

from __future__ import annotations

import pytest

from sweep.cli.status import MOST_TROUBLES, look, troubles
from sweep.layout import SweepPaths
from sweep.ledger import lock
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import leaderboard
from tests.support.boards import said
from tests.support.examples import begin, record, slot_of, small_spec
from trainers.errors import InputError


@pytest.fixture
def told(ledger: Ledger, small_plan: Plan) -> Plan:
    """A trial in every state."""
    begin(ledger, small_plan)
    record(ledger, small_plan, small_plan.teachers[0], [97.0, 98.126])
    record(ledger, small_plan, slot_of(small_plan, "scratch"), [10.0], state="diverged")
    record(ledger, small_plan, slot_of(small_plan, "kd"), [80.0, 90.0], state="running")
    record(ledger, small_plan, slot_of(small_plan, "kd", 1), [80.0], state="interrupted")
    record(ledger, small_plan, slot_of(small_plan, "scratch", 1), [], state="failed")
    SweepPaths(ledger.path.parent).lock.touch()  # a driver that was killed leaves its lock behind
    return small_plan


def row(paths: SweepPaths, name: str) -> dict[str, str]:
    (found,) = [line for line in look(paths).rows() if line["trial"] == name]
    return {key: value for key, value in found.items() if key not in ("trial", "key")}


def test_every_planned_trial_has_a_row_in_the_plans_order(paths: SweepPaths, told: Plan) -> None:
    rows = look(paths).rows()
    assert [line["trial"] for line in rows] == [slot.name for slot in told.slots]
    assert len({tuple(line) for line in rows}) == 1
    assert [bool(line["key"]) for line in rows] == [line["state"] != "waiting" for line in rows]


def test_a_row_says_how_far_a_trial_is_and_why_it_failed(paths: SweepPaths, told: Plan) -> None:
    nothing = {"test": "", "from": "", "reason": "", "log": ""}
    assert row(paths, "teacher resnet20 · seed 0") == nothing | {"state": "finished", "epoch": "2/3", "test": "98.13"}
    failed = {"state": "failed", "epoch": "0/3", "test": "", "from": "", "reason": "ValueError: no", "log": "log.txt"}
    assert row(paths, "resnet20→resnet8 · scratch · seed 1") == failed
    diverged = row(paths, "resnet20→resnet8 · scratch · seed 0")
    assert (diverged["state"], diverged["reason"]) == ("diverged", "loss term 'kd' became nan at epoch 2, step 1")
    assert row(paths, "resnet20→resnet8 · dhkd α=1 · seed 1") == nothing | {"state": "waiting", "epoch": "0/3"}


def test_what_ran_when_its_driver_died_is_interrupted(paths: SweepPaths, told: Plan) -> None:
    name = "resnet20→resnet8 · kd · seed 0"
    assert row(paths, name)["state"] == "interrupted"
    with lock.exclusive(paths.lock, "sweep 'small'"):
        assert row(paths, name)["state"] == "running"
        assert row(paths, name)["epoch"] == "2/3"
    assert row(paths, name)["state"] == "interrupted"


def test_of_a_driver_on_another_machine_a_copied_ledger_tells_nothing(paths: SweepPaths, told: Plan) -> None:
    """As it was fetched from a storage: no lock is there, and the sweep may well run."""
    paths.lock.unlink()
    assert row(paths, "resnet20→resnet8 · kd · seed 0")["state"] == "running"


def test_the_summary_counts_states_and_names_the_driver(paths: SweepPaths, told: Plan) -> None:
    start = "small on digits: 9 trials: 1 finished, 1 diverged, "
    assert look(paths).summary == start + "2 interrupted, 4 waiting, 1 failed; 6 s of training; not running\n\n"
    with lock.exclusive(paths.lock, "sweep 'small'"):
        text = look(paths).summary
    assert text.startswith(start + "1 running, 4 waiting, 1 failed, 1 interrupted; 6 s of training; running: process ")


def test_a_sweep_without_a_plan_has_no_status(paths: SweepPaths, ledger: Ledger) -> None:
    with pytest.raises(InputError, match="holds no plan yet"):
        look(paths)


def broken(ledger: Ledger, plan: Plan, slot: Slot, state: str | None, reason: str, log: str = "") -> None:
    """An attempt that broke; ledgers of before have no `state`."""
    key = record(ledger, plan, slot, [], state="running")
    body = {"reason": reason, "log": log, "again": False}
    ledger.append("failed", key, body=body if state is None else body | {"state": state})


def test_the_ways_to_break_are_told_apart(paths: SweepPaths, ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    slots = small_plan.students[:4]
    for slot, state in zip(slots, [None, "failed", "out-of-memory", "worker-died"], strict=True):
        broken(ledger, small_plan, slot, state, "why", "log.txt" if state == "failed" else "")
    shown = [row(paths, slot.name) for slot in slots]
    assert [line["state"] for line in shown] == ["failed", "failed", "out-of-memory", "worker-died"]
    assert {line["reason"] for line in shown} == {"why"}
    assert "2 failed, 1 out-of-memory, 1 worker-died" in look(paths).summary
    board = leaderboard(ledger)
    assert board.states == {"failed": 2, "out-of-memory": 1, "worker-died": 1, "waiting": 5}
    assert "1 out-of-memory, 5 waiting, 1 worker-died" in said(board)


def test_what_went_wrong_is_listed_by_reason(paths: SweepPaths, ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    slots = small_plan.students
    for slot in slots[:3]:
        broken(ledger, small_plan, slot, "out-of-memory", "no room")
    broken(ledger, small_plan, slots[3], "failed", "ValueError: no", "log.txt")
    record(ledger, small_plan, slots[4], [10.0], state="diverged")
    record(ledger, small_plan, slots[5], [10.0], state="interrupted")
    assert troubles(paths) == [
        f"out-of-memory: {slots[0].name} and 2 others: no room",
        f"failed: {slots[3].name}: ValueError: no (log: log.txt)",
        f"diverged: {slots[4].name}: loss term 'kd' became nan at epoch 2, step 1",
    ]
    assert [line["trial"] for line in look(paths).rows(failed=True)] == [slot.name for slot in slots[:5]]


def test_a_long_list_of_what_went_wrong_is_cut(paths: SweepPaths, ledger: Ledger) -> None:
    plan = build_plan(small_spec(seeds=MOST_TROUBLES + 2, methods=["scratch"], baseline="scratch"))
    begin(ledger, plan)
    assert troubles(paths) == []
    for slot in plan.students:
        broken(ledger, plan, slot, "failed", f"ValueError: {slot.seed}")
    found = troubles(paths)
    assert len(found) == MOST_TROUBLES + 1
    assert found[-1] == f"and 2 other reasons: sweep status small --root {paths.root.path}"
