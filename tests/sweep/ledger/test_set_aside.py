"""What is known of a trial counts no longer when somebody asks for it again, and stays in the ledger."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from sweep.cost.prices import device_seconds
from sweep.ledger.bodies import final_body
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results import export, read
from tests.support.examples import begin, epoch_body, record, slot_of


@pytest.fixture
def told(ledger: Ledger, small_plan: Plan) -> tuple[str, str]:
    """Two trials that have finished; their keys."""
    begin(ledger, small_plan)
    first, second = (record(ledger, small_plan, slot_of(small_plan, "scratch", seed), [70.0, 80.0]) for seed in (0, 1))
    return first, second


def test_a_trial_that_is_asked_for_again_has_not_begun(ledger: Ledger, small_plan: Plan, told: tuple[str, str]) -> None:
    first, second = told
    ledger.set_aside([first])
    assert set(ledger.finals()) == {second}
    assert not ledger.is_final(first)
    assert ledger.epochs_done() == {second: 2}
    states = {trial.slot.name: trial.state for trial in read.read(ledger).trials if trial.slot.method == "scratch"}
    assert list(states.values()) == ["waiting", "finished"]
    assert {line["trial"] for line in export.epochs(ledger).to_pylist()} == {second}
    ledger.verify()


def test_it_can_be_recorded_anew_and_only_that_counts(ledger: Ledger, small_plan: Plan, told: tuple[str, str]) -> None:
    first, _ = told
    ledger.set_aside([first])
    record(ledger, small_plan, slot_of(small_plan, "scratch", 0), [10.0, 20.0])
    assert ledger.finals()[first]["last"]["test_acc"] == 20.0
    assert [event.body["test_acc"] for event in ledger.events("epoch", trial=first)] == [10.0, 20.0]
    ledger.set_aside([first])
    assert [event.kind for event in ledger.events(trial=first)].count("again") == 2
    ledger.verify()


def test_what_was_known_stays_as_it_was_written(ledger: Ledger, told: tuple[str, str]) -> None:
    first, _ = told
    before = list(ledger.events(trial=first))
    ledger.set_aside([first])
    *after, again = ledger.events(trial=first)
    assert again.kind == "again"
    assert [event.kind for event in after] == [f"former-{event.kind}" for event in before]
    assert [(event.seq, event.time, event.epoch, event.body) for event in after] == [
        (event.seq, event.time, event.epoch, event.body) for event in before
    ]


def test_what_was_trained_has_cost_what_it_cost(ledger: Ledger, told: tuple[str, str]) -> None:
    before = device_seconds(ledger)
    ledger.set_aside(told)
    assert device_seconds(ledger) == before == 8.0


def test_several_events_are_written_or_none(ledger: Ledger) -> None:
    final = final_body("finished", [epoch_body(1, 90.0)], "validation")
    assert ledger.append_all([("start", "a", None, {}), ("epoch", "a", 1, {}), ("final", "a", None, final)])
    before = list(ledger.events())
    assert not ledger.append_all([("start", "a", None, {}), ("epoch", "a", 2, {}), ("final", "a", None, final)])
    assert list(ledger.events()) == before
    assert ledger.append_all([("epoch", "a", 1, {"other": 1}), ("epoch", "b", 1, {})])
    assert [event.body for event in ledger.events("epoch", trial="a")] == [{}]
    ledger.verify()


KILLED = """
import os, signal, sys
from pathlib import Path
from sweep.ledger.store import Ledger

with Ledger(Path(sys.argv[1])) as ledger:
    def some():
        yield sys.argv[2]
        os.kill(os.getpid(), signal.SIGKILL)
    ledger.set_aside(some())
"""


@pytest.mark.slow(5)
def test_a_process_that_is_killed_in_between_sets_nothing_aside(ledger: Ledger, told: tuple[str, str]) -> None:
    before = list(ledger.events())
    killed = subprocess.run([sys.executable, "-c", KILLED, str(ledger.path), told[0]], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(ledger.events()) == before
