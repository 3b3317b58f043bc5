"""Trials that share a worker: the real training loop, each with the numbers that it has by itself."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sweep.engine import worker
from sweep.engine.attempt import Attempt
from sweep.engine.cohort import Cohort
from sweep.engine.job import describe
from sweep.engine.local import train_here
from sweep.engine.meter import PROCESS_CPU, PROCESS_MEMORY
from sweep.engine.running import BY_USER
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.sweep.engine.test_local import RECIPE, Told, interrupt, numbers, plan_of, run_of
from trainers.config import TrialConfig
from trainers.errors import InputError
from trainers.training import Training

ALPHAS = {"methods": ["scratch", {"kd": {"alpha": [0.5, 2, 8]}}, {"dhkd": {"head": "nonlinear"}}]}


def alone(**changes: Any) -> Plan:
    return plan_of(**ALPHAS | changes)


def together(most: int = 3, **changes: Any) -> Plan:
    compute = {"cohort": most} | changes.pop("compute", {})
    return plan_of(**ALPHAS | {"compute": compute} | changes)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str | None, int | None], dict[str, Any]]:
    """The numbers of all trials, each trained by itself."""
    root = Root(tmp_path_factory.mktemp("alone"))
    with Ledger(root.sweep("small").ledger) as ledger:
        assert train_here(run_of(alone(), root, ledger)) == ""
        return numbers(ledger)


def states(ledger: Ledger) -> Counter[str]:
    return Counter(event.body["state"] for event in ledger.events("final"))


def groups(ledger: Ledger) -> list[int]:
    """How many trials were taken up one after the other before the next epoch was told of."""
    found = [0]
    for event in ledger.events("start", "epoch"):
        if event.kind == "start":
            found[-1] += 1
        elif found[-1]:
            found.append(0)
    return found[:-1]


def test_trials_of_one_teacher_recipe_and_seed_share_a_worker_and_keep_their_numbers(
    root: Root, ledger: Ledger, expected: Any
) -> None:
    assert train_here(run_of(together(), root, ledger)) == ""
    assert groups(ledger) == [1, 1, 3, 1]  # the teacher; scratch, which has none; three of the four that are taught
    assert states(ledger) == {"finished": 6}
    assert numbers(ledger) == expected
    assert len(list(root.sweep("small").folder.glob("trials/*/weights.pt"))) == 6


@pytest.mark.slow(1)
def test_each_of_them_says_what_its_epochs_took_of_the_machine(root: Root, ledger: Ledger) -> None:
    assert train_here(run_of(together(), root, ledger)) == ""
    for event in ledger.events("epoch"):
        assert event.body["system"].keys() == {"cpu_utilization_percentage", PROCESS_CPU, PROCESS_MEMORY}
        assert event.body["system"][PROCESS_MEMORY]["peak"] > 50
    assert not [thread for thread in threading.enumerate() if thread.name == "meter"]


@pytest.mark.slow(1)
def test_one_that_diverges_leaves_the_others_as_they_are(root: Root, ledger: Ledger, expected: Any) -> None:
    methods = [{"kd": {"alpha": [0.5, 2, 8, 1.0e30]}}]
    assert train_here(run_of(together(4, methods=methods), root, ledger)) == ""
    assert states(ledger) == {"finished": 4, "diverged": 1}
    (diverged,) = (event.trial for event in ledger.events("final") if event.body["state"] == "diverged")
    found = {at: body for at, body in numbers(ledger).items() if at[0] != diverged}
    assert len(found) == 8
    assert found == {at: body for at, body in expected.items() if at in found}


def broken(monkeypatch: pytest.MonkeyPatch, alpha: float, error: Exception, times: int = 1) -> None:
    """Let the trial of one alpha break in a step of its second epoch, so often."""
    step, left = Training.step, [times]

    def breaks(self: Training, batch: Any) -> None:
        if self.config.method.params.get("alpha") == alpha and self.done == 1 and left[0]:
            left[0] -= 1
            raise error
        step(self, batch)

    monkeypatch.setattr(Training, "step", breaks)


def test_one_that_raises_is_tried_again_by_itself(
    root: Root, ledger: Ledger, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, 2, ValueError("a loss of the user's own"))
    assert train_here(run_of(together(4), root, ledger)) == ""
    (failed,) = ledger.events("failed")
    assert (failed.body["state"], failed.body["again"]) == ("failed", True)
    assert groups(ledger) == [1, 1, 4, 1]
    assert numbers(ledger) == expected


@pytest.mark.slow(1)
def test_what_a_trial_raises_by_itself_counts_and_what_the_worker_ran_out_of_does_not(
    root: Root, ledger: Ledger, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no retry; but another may have taken the memory."""
    broken(monkeypatch, 2, MemoryError("no more"))
    plan = together(4, compute={"retries": 0})
    assert train_here(run_of(plan, root, ledger)) == ""
    assert [event.body["again"] for event in ledger.events("failed")] == [True]
    assert numbers(ledger) == expected


@pytest.mark.slow(1)
@pytest.mark.parametrize("alphas", [(0.5,), (2,), (0.5, 2, 8)])
def test_one_whose_code_this_machine_has_not_leaves_the_others(
    root: Root, ledger: Ledger, expected: Any, monkeypatch: pytest.MonkeyPatch, alphas: tuple[float, ...]
) -> None:
    check = worker._check_code

    def other_code(trial: TrialConfig) -> None:
        check(trial)
        if trial.method.params.get("alpha") in alphas:
            raise InputError("this machine has other code")

    monkeypatch.setattr(worker, "_check_code", other_code)
    train_here(run_of(together(4, compute={"retries": 0}), root, ledger))
    failed = {event.trial for event in ledger.events("failed")}
    assert len(failed) == len(alphas)
    assert {event.body["reason"] for event in ledger.events("failed")} == {"InputError: this machine has other code"}
    assert numbers(ledger) == {at: body for at, body in expected.items() if at[0] not in failed}


@pytest.mark.slow(1)
def test_without_a_retry_one_that_raises_has_failed(
    root: Root, ledger: Ledger, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, 2, ValueError("no"))
    train_here(run_of(together(4, compute={"retries": 0}), root, ledger))
    (failed,) = ledger.events("failed")
    assert not failed.body["again"]
    assert numbers(ledger) == {at: body for at, body in expected.items() if at != (failed.trial, 2)}


@pytest.mark.slow(1)
def test_by_itself_it_has_no_more_than_its_retries(root: Root, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, 2, MemoryError("no more"), times=9)
    train_here(run_of(together(4), root, ledger))
    assert [event.body["again"] for event in ledger.events("failed")] == [True, True, False]


@pytest.mark.slow(2)
def test_a_run_that_is_stopped_goes_on_where_each_of_them_was(root: Root, ledger: Ledger, expected: Any) -> None:
    begun: list[str] = []

    def stop() -> None:
        begun.append("")
        if len(begun) == 4:  # in the middle of the three
            interrupt()

    assert train_here(run_of(together(), root, ledger, Told(stop))) == BY_USER
    assert sum(event.kind == "interrupted" for event in ledger.events("interrupted")) == 3
    assert train_here(run_of(together(), root, ledger)) == ""
    assert numbers(ledger) == expected


@pytest.mark.slow(3)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_that_is_further_than_the_ledger_knows_has_the_others_tell_of_all_that_they_do_meanwhile(
    root: Root, ledger: Ledger, tmp_path: Path, which: int
) -> None:
    longer = {"recipe": RECIPE | {"epochs": 4}}
    begun: list[str] = []

    def stop() -> None:
        begun.append("")
        if len(begun) == 3:  # the teacher, and scratch, are through
            interrupt()

    assert train_here(run_of(together(**longer), root, ledger, Told(stop))) == BY_USER
    plan = together(**longer)
    run = run_of(plan, root, ledger)
    ahead = run.queue.next_together(room=1)[which]
    attempt = Attempt(describe(ahead, plan, root))
    assert [len(attempt.step()["epochs"]), len(attempt.step()["epochs"])] == [2, 1]
    attempt.leave()
    told: list[list[int]] = []
    step = Cohort.step

    def noting(self: Cohort) -> dict[str, Any]:
        found = step(self)
        told.append([report["epochs"][-1]["epoch"] for _, report in found["reports"]])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "step", noting)
        assert train_here(run_of(plan, root, ledger)) == ""
    assert told[0] == [4, 4, 4], told
    other = Root(tmp_path / "other")
    with Ledger(other.sweep("small").ledger) as theirs:
        assert train_here(run_of(alone(**longer), other, theirs)) == ""
        assert numbers(ledger) == numbers(theirs)
