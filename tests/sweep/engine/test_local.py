"""A run in this process: the real training loop, one trial at a time, without Ray."""

from __future__ import annotations

import io
import logging
import shutil
import signal
import time
from bdb import BdbQuit
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from sweep.cost.budget import BudgetWatch
from sweep.engine import attempt, local
from sweep.engine.display import PlainDisplay
from sweep.engine.job import Job
from sweep.engine.local import DEVICE_LOST, alone, train_here
from sweep.engine.queue import TrialQueue
from sweep.engine.running import BY_USER, Run
from sweep.engine.until import Until
from sweep.layout import Root
from sweep.ledger.store import Kind, Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.plan.teachers import stored_teachers
from sweep.results.standing import ended
from sweep.run import run_sweep
from sweep.search.searches import Searches
from tests.support.command import repeated
from tests.support.examples import begin, small_spec
from trainers.errors import InputError
from trainers.storage.checkpoint import Checkpoints
from trainers.storage.shared import storage_at

RECIPE = {"base": "digits", "epochs": 2, "warmup_epochs": 0, "samples_per_class": 2, "test_per_class": 2}


def plan_of(**changes: Any) -> Plan:
    small = {"pairs": ["resnet14 -> resnet8"], "methods": ["scratch", "kd"], "recipe": RECIPE, "seeds": 1}
    return build_plan(small_spec(**small | changes))


class Told(PlainDisplay):
    """A display into a string, which does something as each trial begins."""

    def __init__(self, at_start: Callable[[], object] = lambda: None) -> None:
        super().__init__(Console(file=io.StringIO(), width=200))
        self._at_start = at_start

    def started(self, job: Job) -> None:
        super().started(job)
        self._at_start()

    @property
    def said(self) -> str:
        file = self.console.file
        assert isinstance(file, io.StringIO)
        return file.getvalue()


def run_of(plan: Plan, root: Root, ledger: Ledger, display: PlainDisplay | None = None) -> Run:
    """What :func:`sweep.run.run_sweep` makes of a plan."""
    begin(ledger, plan)
    teachers = stored_teachers(plan, root)
    queue = TrialQueue(plan, teachers, ended(plan, teachers, ledger), Searches(plan, ledger))
    watch = BudgetWatch(plan, ledger)
    return Run(plan, root, queue, ledger, display or Told(), watch, lambda _: None, local=True)


def numbers(ledger: Ledger) -> dict[tuple[str | None, int | None], dict[str, Any]]:
    return {(event.trial, event.epoch): repeated(event.body) for event in ledger.events("epoch")}


def count(ledger: Ledger, *kinds: Kind) -> Counter[str]:
    return Counter(event.kind for event in ledger.events(*kinds))


@pytest.fixture
def other(tmp_path: Path) -> tuple[Root, Ledger]:
    """Another root, and its ledger."""
    root = Root(tmp_path / "other")
    return root, Ledger(root.sweep("small").ledger)


def test_a_plan_is_trained_to_its_end_one_trial_after_the_other(root: Root, ledger: Ledger) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    run = run_of(plan_of(), root, ledger)
    assert train_here(run) == ""
    assert run.queue.exhausted
    assert torch.get_num_threads() == threads + 1, "what the process had before"
    torch.set_num_threads(threads)
    kinds = [event.kind for event in ledger.events("start", "epoch", "final")]
    assert kinds == ["start", "epoch", "epoch", "final"] * 3
    assert {event.body["state"] for event in ledger.events("final")} == {"finished"}
    assert [path.name for path in root.sweep("small").folder.glob("trials/*/*")] == ["weights.pt"] * 3


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.slow(1)
def test_ctrl_c_ends_the_run_after_the_epoch_in_flight_and_the_next_run_goes_on(
    root: Root, ledger: Ledger, other: tuple[Root, Ledger]
) -> None:
    display = Told(interrupt)
    before = signal.getsignal(signal.SIGINT)
    assert train_here(run_of(plan_of(), root, ledger, display)) == BY_USER
    assert signal.getsignal(signal.SIGINT) is before
    assert [event.kind for event in ledger.events("start", "epoch", "interrupted")] == ["start", "epoch", "interrupted"]
    assert "stopping after the epochs in flight" in display.said
    assert train_here(run_of(plan_of(), root, ledger)) == ""
    assert train_here(run_of(plan_of(), *other)) == ""
    assert numbers(ledger) == numbers(other[1])


def test_the_second_ctrl_c_ends_the_run_now(root: Root, ledger: Ledger) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    assert train_here(run_of(plan_of(), root, ledger, Told(twice))) == BY_USER
    assert [event.kind for event in ledger.events("start", "epoch", "interrupted")] == ["start", "interrupted"]


class Heard(logging.Handler):
    """Does something at a warning."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__(logging.WARNING)
        self._do = do

    def emit(self, record: logging.LogRecord) -> None:
        if "asking again" in record.getMessage():
            self._do()


@pytest.mark.parametrize("why", [BY_USER, "the time that this run was given is up"])
def test_a_trial_that_waits_for_the_storage_is_left_at_once(
    tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, folder = tmp_path / "shared", tmp_path / "root"
    root = Root(folder, storage_at(str(shared), folder))
    root.check_writable()
    until = Until(time.time() + 3600)

    def goes_away(*_: object) -> None:
        if shared.is_dir():
            shutil.rmtree(shared)
            shared.write_text("a file, where a folder was")

    def ends() -> None:
        if why == BY_USER:
            interrupt()
        else:
            monkeypatch.setattr(Until, "left", lambda self: 0.0)

    heard = Heard(ends)
    logging.getLogger("trainers.storage.patient").addHandler(heard)
    try:
        with Ledger(root.sweep("small").ledger) as ledger:
            run = replace(run_of(plan_of(), root, ledger), until=until)
            monkeypatch.setattr(run.display, "epoch", goes_away)
            assert train_here(run) == why
            noted = [event.kind for event in ledger.events("start", "epoch", "failed", "interrupted")]
            assert noted == ["start", "epoch", "interrupted"], "its last epoch was trained, and is told with its end"
    finally:
        logging.getLogger("trainers.storage.patient").removeHandler(heard)


def test_ctrl_c_is_answered_in_the_middle_of_an_epoch(root: Root, ledger: Ledger) -> None:
    display = Told()

    def says() -> None:
        interrupt()
        for _ in range(1000):
            if "stopping" in display.said:
                return
            local.threading.Event().wait(0.01)
        raise AssertionError("nothing was said")

    display._at_start = says
    assert train_here(run_of(plan_of(), root, ledger, display)) == BY_USER
    assert display.said.count("stopping") == 1


def test_leaving_the_debugger_ends_the_run_and_is_no_failure(
    root: Root, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "begin", raising(BdbQuit()))
    assert train_here(run_of(plan_of(), root, ledger)) == BY_USER
    assert count(ledger, "start", "failed", "interrupted") == {"start": 1, "interrupted": 1}


# -- bad ends ---------------------------------------------------------------------------------------------------------


def raising(error: Exception, times: int = 1) -> Callable[[dict[str, Any]], Any]:
    """What begins a job, and raises so many times."""
    begin, left = attempt.begin, [error] * times

    def broken(job: dict[str, Any]) -> Any:
        if left:
            raise left.pop()
        return begin(job)

    return broken


def test_a_trial_that_fails_is_tried_again_and_fails_alone(root: Root, ledger: Ledger) -> None:
    plan = plan_of(compute={"retries": 1})
    scratch = next(slot for slot in plan.slots if slot.method == "scratch")
    foreign = {"key": "another trial", "distiller": {}, "optimizer": {}, "history": []}
    Checkpoints(root.sweep("small").trial(scratch.id) / "checkpoints").save(1, foreign)
    assert train_here(run_of(plan, root, ledger)) == ""
    assert [(event.trial, event.body["again"]) for event in ledger.events("failed")] == [
        (scratch.id, True),
        (scratch.id, False),
    ]
    assert "checkpoints of trial another trial" in Path(next(ledger.events("failed")).body["log"]).read_text()
    assert count(ledger, "final") == {"final": 2}


@pytest.mark.slow(1)
def test_a_trial_for_which_memory_was_short_is_tried_again(
    root: Root, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "begin", raising(MemoryError("no more")))
    assert train_here(run_of(plan_of(), root, ledger)) == ""
    (failed,) = ledger.events("failed")
    assert (failed.body["state"], failed.body["again"]) == ("out-of-memory", True)
    assert count(ledger, "final") == {"final": 3}


def test_a_trial_that_diverges_is_not_tried_again(root: Root, ledger: Ledger) -> None:
    run = run_of(plan_of(methods=["scratch", {"kd": {"alpha": 1e39}}]), root, ledger)
    assert train_here(run) == ""
    assert Counter(event.body["state"] for event in ledger.events("final")) == {"finished": 2, "diverged": 1}
    assert count(ledger, "start") == {"start": 3}


@pytest.mark.slow(1)
def test_a_lost_device_ends_the_run_which_goes_on_later(
    root: Root, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "begin", raising(torch.AcceleratorError("device-side assert")))
    assert train_here(run_of(plan_of(), root, ledger)) == DEVICE_LOST
    (failed,) = ledger.events("failed")
    assert (failed.body["state"], failed.body["again"]) == ("worker-died", True)
    assert count(ledger, "start") == {"start": 1}
    assert train_here(run_of(plan_of(), root, ledger)) == ""
    assert count(ledger, "final") == {"final": 3}


# -- searches and budgets ---------------------------------------------------------------------------------------------


@pytest.mark.slow(2)
def test_a_search_gives_up_the_poor_and_confirms_its_best(root: Root, ledger: Ledger) -> None:
    search = {"trials": 4, "sampler": "grid", "grace": 1, "reduction": 2}
    method = {"gdkd": {"w2": {"choice": [6, 5, 1, 4]}}}
    recipe = RECIPE | {"epochs": 4, "samples_per_class": 4, "val_fraction": 0.5}
    run = run_of(plan_of(methods=[method], recipe=recipe, search=search, seeds=2), root, ledger)
    assert train_here(run) == ""
    assert run.queue.exhausted
    asked = {event.trial for event in ledger.events("ask")}
    pruned, final = ({event.trial for event in ledger.events(kind)} for kind in ("pruned", "final"))
    assert len(asked) == 4
    assert pruned
    assert asked <= pruned | final
    assert {event.body["stage"] for event in ledger.events("start")} == {"teacher", "search", "confirm"}


def test_a_deadline_that_has_come_lets_nothing_start(root: Root, ledger: Ledger) -> None:
    why = train_here(run_of(plan_of(budget={"deadline": "2020-01-01 00:00"}), root, ledger))
    assert "deadline" in why
    assert count(ledger, "start") == {}


# -- what this process cannot run -------------------------------------------------------------------------------------


def test_several_workers_are_refused(root: Root) -> None:
    spec = small_spec(compute={"workers": 2})
    with pytest.raises(InputError, match=r"--local trains in one process, and a trial asks for 2 workers"):
        run_sweep(spec, root, "sqlite://", Told(), local=True)
    assert not root.sweep("small").ledger.exists()


def test_an_address_is_refused(root: Root) -> None:
    with pytest.raises(InputError, match=r"--local trains in this process, and --address \(auto\) elsewhere"):
        run_sweep(small_spec(), root, "sqlite://", Told(), address="auto", local=True)


@pytest.mark.parametrize(
    ("asked", "there", "given"), [(0, 1, 0), (0.25, 1, 1), (1, 1, 1), (2, 2, 2), ("auto", 2, 1), ("auto", 0, 0)]
)
def test_a_trial_alone_has_a_whole_gpu(
    asked: float | str, there: int, given: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    assert alone(plan_of(compute={"gpus": asked})).compute["gpus"] == given


@pytest.mark.parametrize(("asked", "there", "says"), [(0.5, 0, "0.5 GPUs .* finds none"), (2, 1, "2 GPUs .* finds 1")])
def test_gpus_that_are_not_there_are_refused(
    asked: float, there: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(InputError, match=says):
        alone(plan_of(compute={"gpus": asked}))
