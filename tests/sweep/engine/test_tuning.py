"""What a run hands to Ray Tune; nothing starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.tune import RunConfig, Tuner
from rich.console import Console

from sweep.cost.budget import BudgetWatch
from sweep.engine import tuning
from sweep.engine.display import PlainDisplay
from sweep.engine.queue import TrialQueue
from sweep.engine.running import Run
from sweep.engine.until import Until
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from tests.support.examples import small_spec


@pytest.fixture
def run(tmp_path: Path, ledger: Ledger) -> Run:
    plan = build_plan(small_spec(compute={"max_epoch_minutes": 0.5}, budget={"deadline": "2020-01-01 00:00"}))
    queue, watch = TrialQueue(plan, {}, set()), BudgetWatch(plan, ledger)
    return Run(plan, Root(tmp_path), queue, ledger, PlainDisplay(Console()), watch, lambda ledger: None)


def test_the_spec_s_limit_of_an_epoch_is_the_one_that_workers_have(run: Run) -> None:
    recorder = tuning._recorder(run)
    job = run.queue.next()
    assert job is not None
    recorder.vigil.begun(job)
    recorder.vigil._clock.now += 29
    assert recorder.vigil.hung(job) == ""
    recorder.vigil._clock.now += 1
    assert "compute.max_epoch_minutes: 0.5" in recorder.vigil.hung(job)


def told(*epochs: list[dict[str, Any]]) -> dict[str, Any]:
    """What a worker tells Ray Tune, of the epochs of each of its trials."""
    return {"reports": [(str(number), {"epochs": its}) for number, its in enumerate(epochs)], "done": False}


def test_what_runs_ends_after_its_epoch_and_at_once_when_that_does_not_come(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RunConfig] = []
    monkeypatch.setattr(Tuner, "__init__", lambda self, trainable, tune_config, run_config: given.append(run_config))
    recorder = tuning._recorder(run)
    tuning._tuner(run, recorder, tmp_path)
    stop = given[0].stop
    assert not stop("a trial", told())
    assert not stop.stop_all()
    recorder.tick()  # the deadline has come
    assert stop("a trial", told())
    assert not stop.stop_all()
    recorder.vigil._clock.now += 60
    assert stop.stop_all()


def test_a_run_begins_no_epoch_that_cannot_end_in_its_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RunConfig] = []
    monkeypatch.setattr(Tuner, "__init__", lambda self, trainable, tune_config, run_config: given.append(run_config))
    limited = replace(run, watch=BudgetWatch(replace(run.plan, budget={}), run.ledger), until=Until(100, lambda: 0.0))
    for _ in ("alone", "together"):
        tuning._tuner(limited, tuning._recorder(limited), tmp_path)
    alone, together = given[0].stop, given[1].stop
    assert not alone("a trial", told([{"seconds": 89.0}, {"seconds": 1000.0, "replayed": True}]))
    assert alone("a trial", told([{"seconds": 90.0}]))
    assert not together("a cohort", told([{"seconds": 30.0}], [{"seconds": 30.0}], [{"seconds": 29.0}]))
    assert together("a cohort", told([{"seconds": 30.0}], [{"seconds": 30.0}], [{"seconds": 30.0}]))
