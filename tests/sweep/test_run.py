"""What a run notes before it starts: how it goes on from what an earlier one left."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from rich.console import Console

from sweep.cost.budget import BudgetWatch
from sweep.engine.display import PlainDisplay
from sweep.engine.queue import TrialQueue
from sweep.engine.running import Run
from sweep.engine.stored_teachers import record_stored_teachers
from sweep.exit_codes import DONE, SOME_FAILED
from sweep.layout import Root
from sweep.ledger import lock
from sweep.ledger.bodies import final_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.plan.teachers import stored_teachers
from sweep.results.again import Again
from sweep.results.board import leaderboard
from sweep.results.standing import ended
from sweep.run import _nothing_new, _run_and_tell, record_start, run_sweep
from sweep.tracking.sync import told_everything
from tests.support.examples import begin, record, small_spec, teacher_of
from tests.support.shared_trials import done_in, finish, opened, plan_of
from tests.sweep.cost.test_estimate import timed
from trainers.data.sources.digits import Digits
from trainers.errors import InputError
from trainers.fit import fit
from trainers.teacher.store import TeacherStore


@pytest.fixture
def plan() -> Plan:
    return build_plan(small_spec(teachers={"recipe": {"epochs": 2, "warmup_epochs": 0}}))


def trained(slot: Slot, root: Root) -> list[dict[str, Any]]:
    """Train and store a teacher as a worker does, whose driver is killed before it hears of the end; its epochs."""
    data = Digits(image_size=8).load()
    running = fit(slot.trial(), data=data, folder=root.sweep("small").trial(slot.id))
    epochs = []
    while True:
        try:
            epochs.append(next(running))
        except StopIteration as end:
            TeacherStore(root.teachers).add(end.value, slot.trial(), data, epochs[-1])
            return [asdict(epoch) for epoch in epochs]


def go_on(plan: Plan, root: Root, ledger: Ledger) -> TrialQueue:
    teachers = stored_teachers(plan, root)
    queue = TrialQueue(plan, teachers, ended(plan, teachers, ledger))
    record_stored_teachers(plan, queue, root, ledger, lambda folder: None)
    return queue


@pytest.mark.slow(1)
def test_a_teacher_whose_end_the_driver_did_not_live_to_hear_is_in_the_ledger_whole(
    plan: Plan, root: Root, ledger: Ledger
) -> None:
    slot = plan.teachers[0]
    epochs = trained(slot, root)
    begin(ledger, plan)
    ledger.append("epoch", slot.id, 1, epochs[0])
    queue = go_on(plan, root, ledger)
    assert [event.body for event in ledger.events("epoch", trial=slot.id)] == epochs
    reference = queue.teachers[slot.id].model_dump()
    (final,) = ledger.events("final")
    assert final.body == final_body("finished", epochs, plan.protocol) | {"teacher": reference}
    assert [path.name for path in root.sweep("small").trial(slot.id).iterdir()] == ["weights.pt"]
    before = ledger.last_seq()
    go_on(plan, root, ledger)
    assert ledger.last_seq() == before


@pytest.mark.slow(1)
def test_a_teacher_that_another_sweep_trained_costs_this_one_nothing(plan: Plan, root: Root, ledger: Ledger) -> None:
    slot = plan.teachers[0]
    epochs = trained(slot, root)
    folder = root.sweep("small").trial(slot.id)
    folder.rename(root.path / "elsewhere")
    begin(ledger, plan)
    go_on(plan, root, ledger)
    assert list(ledger.events("epoch")) == []
    (final,) = ledger.events("final")
    assert (final.body["seconds"], final.body["last"]["test_acc"]) == (0.0, epochs[-1]["test_acc"])


# -- what a driver that was killed left -------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_a_teacher_that_another_sweep_has_trained_again_is_named_as_what_it_is_now(
    plan: Plan, root: Root, ledger: Ledger
) -> None:
    slot = plan.teachers[0]
    begin(ledger, plan)
    record(ledger, plan, slot, [50.0], val_accs=[50.0])  # with other weights
    epochs = trained(slot, root)
    queue = go_on(plan, root, ledger)
    (event,) = ledger.events("retrained")
    assert event.trial == slot.id
    assert event.body["teacher"] == queue.teachers[slot.id].model_dump() != teacher_of(slot).model_dump()
    assert event.body["last"]["test_acc"] == epochs[-1]["test_acc"]
    go_on(plan, root, ledger)
    assert len(list(ledger.events("retrained"))) == 1


def test_what_ran_when_a_driver_was_killed_is_noted_as_interrupted(
    root: Root, ledger: Ledger, small_plan: Plan
) -> None:
    begin(ledger, small_plan)
    states = ("finished", "running", "interrupted", "failed", "diverged", "running")
    keys = [
        record(ledger, small_plan, slot, [50.0] if state != "failed" else [], state)
        for slot, state in zip(small_plan.slots, states, strict=False)
    ]
    before = ledger.last_seq()
    with lock.exclusive(root.sweep("small").lock, "sweep 'small'"):
        record_start(small_spec(), small_plan, root.sweep("small"), ledger)
    noted = [(event.kind, event.trial) for event in ledger.events() if event.seq > before]
    assert sorted(noted[:2]) == sorted([("interrupted", keys[1]), ("interrupted", keys[5])])
    assert noted[2:] == [("sweep", None)]  # the plan is noted already
    begun = ledger.latest("sweep")
    assert begun is not None
    assert begun.body["provenance"].keys() == {"repositories", "releases", "machine"}


def test_the_environment_says_nothing_of_a_ray_that_has_ended(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    names, seen = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"), []

    def told(*_: Any) -> int:
        seen.append([os.environ.get(name) for name in names])
        return DONE

    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in names})
    monkeypatch.setattr("sweep.run._run_and_tell", told)
    assert start(root) == DONE
    assert seen[0][0] == "token"
    assert not set(names) & os.environ.keys()


# -- the budget -------------------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that would start is done at once, and this process's environment stays as it is."""
    monkeypatch.setattr("sweep.engine.session.environment", lambda *_: None)
    monkeypatch.setattr("sweep.run._run_and_tell", lambda *_: DONE)


def start(root: Root, **budget: Any) -> int:
    display = PlainDisplay(Console(quiet=True))
    return run_sweep(small_spec(budget=budget), root, f"sqlite:///{root.path}/mlflow.db", display)


BEYOND = [{"max_trials": 8}, {"max_device_hours": 1.9}, {"deadline": "2020-01-01 00:00"}]
WITHIN = [{"max_trials": 9}, {"max_device_hours": 1000}, {"deadline": "9999-01-01 00:00"}, {}]


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("budget", BEYOND, ids=str)
def test_a_sweep_beyond_its_budget_does_not_start(
    root: Root, ledger: Ledger, small_plan: Plan, budget: dict[str, Any]
) -> None:
    timed(ledger, small_plan, small_plan.teachers[0], 3600.0, 3600.0)
    before = ledger.last_seq()
    with pytest.raises(InputError, match=rf"budget\.{next(iter(budget))}"):
        start(root, **budget)
    assert ledger.last_seq() == before


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("budget", WITHIN, ids=str)
def test_a_sweep_within_its_budget_starts(root: Root, ledger: Ledger, budget: dict[str, Any]) -> None:
    assert start(root, **budget) == DONE
    assert ledger.latest("plan") is not None


@pytest.mark.usefixtures("nothing_runs")
def test_what_other_sweeps_have_finished_costs_no_budget(root: Root) -> None:
    """Six epochs of two seconds would."""
    only = {"methods": ["scratch"], "baseline": "scratch"}
    first = plan_of("first", **only)
    finish(root, first, first.students)
    spec = small_spec(**only, budget={"max_device_hours": 10 / 3600})
    display, uri = PlainDisplay(Console(quiet=True)), f"sqlite:///{root.path}/mlflow.db"
    with pytest.raises(InputError, match="max_device_hours"):
        run_sweep(spec, root, uri, display, fresh=True)
    assert run_sweep(spec, root, uri, display) == DONE
    assert run_sweep(spec, root, uri, display, fresh=True) == DONE  # what was taken over stays
    with opened(root, "small") as ledger:
        assert len(ledger.finals()) == 2


@pytest.mark.usefixtures("nothing_runs")
def test_what_is_asked_for_again_waits_once_more_and_is_not_taken_over(root: Root) -> None:
    only = {"methods": ["scratch"], "baseline": "scratch"}
    first = plan_of("first", **only)
    finish(root, first, first.students)
    display, uri = PlainDisplay(Console(quiet=True)), f"sqlite:///{root.path}/mlflow.db"
    run_sweep(small_spec(**only), root, uri, display)
    (key, other) = done_in(root, "small")
    run_sweep(small_spec(**only), root, uri, display, again=Again(trials=(key,)))
    assert done_in(root, "small") == {other}
    run_sweep(small_spec(**only), root, uri, display)
    assert done_in(root, "small") == {other}


@pytest.mark.usefixtures("nothing_runs")
def test_a_table_that_is_to_be_printed_otherwise_is_so_and_nothing_is_trained(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhausted: list[bool] = []

    def noted(run: Run, *_: object) -> int:
        exhausted.append(run.queue.exhausted)
        return DONE

    monkeypatch.setattr("sweep.run._run_and_tell", noted)
    only: dict[str, Any] = {"methods": ["scratch"], "baseline": "scratch"}
    plan = plan_of("small", **only)
    finish(root, plan, plan.students)
    display, uri = PlainDisplay(Console(quiet=True)), f"sqlite:///{root.path}/mlflow.db"
    tables: list[dict[str, Any]] = [{"names": {"scratch": "Student"}}, {}]
    for table in tables:
        assert run_sweep(small_spec(**only, table=table), root, uri, display) == DONE
        with opened(root, "small") as ledger:
            board = leaderboard(ledger)
        assert board.printed.name("scratch") == table.get("names", {}).get("scratch", "scratch")
        assert len(board.rows[0].values) == 2
    assert exhausted == [True, True]


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def over(ledger: Ledger) -> Plan:
    """A plan of which nothing is left to run."""
    plan = build_plan(small_spec(tracking={"models": "none"}))
    begin(ledger, plan)
    for slot in plan.slots:
        record(ledger, plan, slot, [80.0, 90.0 + slot.seed])
    return plan


def run_of(plan: Plan, root: Root, ledger: Ledger, console: Console) -> Run:
    """A run of a plan that is over."""
    teachers = {slot.id: teacher_of(slot) for slot in plan.teachers}
    queue = TrialQueue(plan, teachers, set(ledger.finals()))
    assert queue.exhausted
    return Run(plan, root, queue, ledger, PlainDisplay(console), BudgetWatch(plan, ledger), lambda _: None)


@pytest.mark.slow(2)
def test_a_page_that_cannot_be_written_costs_neither_the_table_nor_mlflow(
    over: Plan, root: Root, ledger: Ledger, new_store: Callable[[str], str]
) -> None:
    paths, uri = root.sweep(over.name), new_store("mlflow.db")
    paths.report.mkdir()
    console = Console(width=200)
    with console.capture() as said:
        code = _run_and_tell(run_of(over, root, ledger, console), uri, False)
    assert said.get() == f"cannot write {paths.report}: Is a directory\n"
    assert code == SOME_FAILED
    assert "| kd |" in paths.leaderboard.read_text()
    assert paths.figure.is_file()
    assert told_everything(ledger, uri)
    assert not _nothing_new(over, paths, ledger, uri), "the same command tries again"
    paths.report.rmdir()
    assert _run_and_tell(run_of(over, root, ledger, console), uri, False) == DONE
    assert paths.report.is_file()
    assert _nothing_new(over, paths, ledger, uri)
