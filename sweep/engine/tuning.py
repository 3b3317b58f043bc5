"""One run of Ray Tune over a queue, from the first trial to the last, or to the moment it is stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cluster.carried import nothing_lost
from sweep.cost.budget import BudgetWatch
from sweep.engine.display import Display
from sweep.engine.job import describe
from sweep.engine.queue import TrialQueue
from sweep.engine.room import Room
from sweep.engine.watch import watched
from sweep.exit_codes import SOME_FAILED
from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from trainers.errors import StorageError

if TYPE_CHECKING:
    from ray.tune import Tuner

    from sweep.engine.recorder import Recorder

BY_USER = "stopped"
"""Why a run ended early: by Ctrl-C."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep: what there is to do, where it is written, and who hears of it."""

    plan: Plan
    """What is to run: all of the spec's plan, or its teachers alone."""
    root: Root
    queue: TrialQueue
    """The plan's slots on their way from waiting to done."""
    ledger: Ledger
    display: Display
    watch: BudgetWatch
    report: Callable[[Ledger], None]
    """Makes table and figure where the cluster is lost, and no time is left for the page."""
    drop: Callable[[Path], None] = lambda folder: None
    """Takes a folder that the storage may forget when it knows the ledger (:func:`sweep.ledger.snapshot.kept`)."""
    address: str | None = None
    """Of a running Ray cluster; None for a Ray of our own."""

    @property
    def paths(self) -> SweepPaths:
        """Where the sweep lies."""
        return self.root.sweep(self.plan.name)

    @property
    def without_ray(self) -> str:
        """Why it ends where its Ray has gone."""
        return f"the Ray cluster at {self.address} is gone" if self.address else "Ray has died on this machine"


def tune(run: Run, temporary: Path) -> str:
    """Let Ray Tune run the queue; why it was stopped before its end, empty where it was not.

    Args:
        run: all that it takes.
        temporary: a folder for what Ray Tune insists on writing.

    Raises:
        StorageError: when what happened could not be noted.
    """
    from sweep.engine.ray_internals.workers import own_workers
    from sweep.engine.recorder import Recorder

    recorder = Recorder(run.paths, run.ledger, run.queue, run.display, run.watch, run.drop)
    tuner = _tuner(run, recorder, temporary)
    with _stop_signals(recorder, run.display), own_workers():
        try:
            with watched(recorder.lose_cluster, partial(_end_without_head, run, recorder)):
                tuner.fit()
        except KeyboardInterrupt:
            recorder.stop_requested = True
    run.display.end()
    recorder.interrupt_live()
    if recorder.fatal is not None:
        raise recorder.fatal
    if recorder.cluster_lost:
        return run.without_ray
    return (run.watch.over(datetime.now()) or BY_USER) if recorder.stop_requested else ""


def _tuner(run: Run, recorder: Recorder, temporary: Path) -> Tuner:
    """Ray Tune, which asks the queue for every trial and tells the recorder of everything."""
    from ray import tune

    from sweep.engine.ray_search import MOST_AT_ONCE, CellScheduler, PlanSearcher, StopAfterEpoch
    from sweep.engine.trainable import TrialTrainable

    room = Room(run.plan, changes=run.address is not None)
    described = partial(describe, plan=run.plan, root=run.root)
    return tune.Tuner(
        tune.with_resources(TrialTrainable, _devices),
        tune_config=tune.TuneConfig(
            search_alg=PlanSearcher(run.queue, described, recorder.stopped, room),
            scheduler=CellScheduler(run.queue, room),
            num_samples=-1,
            max_concurrent_trials=MOST_AT_ONCE,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=run.plan.name,
            storage_path=str(temporary / "tune"),
            verbose=0,
            callbacks=[recorder],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # checkpoints are the trainer's own
            stop=StopAfterEpoch(recorder.stopped),
        ),
    )


def _devices(job: dict[str, Any]) -> Any:
    """What Ray reserves for a job; one that ran out of memory on a share of a GPU gets a larger one. Several workers
    reserve their devices themselves."""
    from ray.tune import PlacementGroupFactory

    if job["workers"] > 1:
        return PlacementGroupFactory([{"memory": 1}])  # next to nothing, which Ray does not take
    return PlacementGroupFactory([{"CPU": job["cpus"], "GPU": job["gpus"]}])


def _end_without_head(run: Run, recorder: Recorder) -> None:
    """Note what is left, beside the main thread (see :func:`sweep.engine.watch.watched`), and end this process; Ray
    would abort it soon. MLflow is told by the next run."""
    recorder.lose_cluster()
    run.display.end()
    try:
        with closing(Ledger(run.paths.ledger, make=False)) as ledger:
            recorder.interrupt_live(ledger)
            run.report(ledger)
            ledger.append("stop", body={"exit_code": SOME_FAILED})
        run.display.note(f"{run.without_ray}; {nothing_lost()}")
    except StorageError as error:
        run.display.note(f"{run.without_ray}, and {error}")
    finally:
        sys.stdout.flush()
        os._exit(SOME_FAILED)


@contextmanager
def _stop_signals(recorder: Recorder, display: Display) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the sweep after the epochs in flight; the second ends it now."""

    def stop(number: int, frame: Any) -> None:
        if recorder.stop_requested:  # by the user or the budget before, or because the cluster is gone
            raise KeyboardInterrupt
        recorder.stop_requested = True
        display.note("stopping after the epochs in flight; once more stops now")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
