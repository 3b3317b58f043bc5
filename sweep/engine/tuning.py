"""One run of Ray Tune over a queue, from the first trial to the last, or to the moment it is stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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
from sweep.report.make import make_reports
from trainers.errors import StorageError

if TYPE_CHECKING:
    from sweep.engine.recorder import Recorder

BY_USER = "stopped"
"""Why a run ended early: by Ctrl-C."""


def tune(
    plan: Plan,
    queue: TrialQueue,
    root: Root,
    paths: SweepPaths,
    ledger: Ledger,
    display: Display,
    temporary: Path,
    watch: BudgetWatch,
    address: str | None,
    drop: Callable[[Path], None],
) -> str:
    """Let Ray Tune run the queue; why it was stopped before its end, and nothing where it was not."""
    from ray import tune

    from sweep.engine.ray_internals import own_workers
    from sweep.engine.ray_search import MOST_AT_ONCE, CellScheduler, PlanSearcher, StopAfterEpoch
    from sweep.engine.recorder import Recorder
    from sweep.engine.trainable import TrialTrainable

    recorder = Recorder(paths, ledger, queue, display, watch, drop)
    room = Room(plan, changes=address is not None)
    tuner = tune.Tuner(
        tune.with_resources(TrialTrainable, _devices),
        tune_config=tune.TuneConfig(
            search_alg=PlanSearcher(queue, lambda job: describe(job, plan, root), recorder.stopped, room),
            scheduler=CellScheduler(queue, room),
            num_samples=-1,
            max_concurrent_trials=MOST_AT_ONCE,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=plan.name,
            storage_path=str(temporary / "tune"),
            verbose=0,
            callbacks=[recorder],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # checkpoints are the trainer's own
            stop=StopAfterEpoch(recorder.stopped),
        ),
    )
    with _stop_signals(recorder, display), own_workers():
        try:
            with watched(recorder.lose_cluster, partial(end_without_head, recorder, paths, display, address)):
                tuner.fit()
        except KeyboardInterrupt:
            recorder.stop_requested = True
    display.end()
    recorder.interrupt_live()
    if recorder.fatal is not None:
        raise recorder.fatal
    if recorder.cluster_lost:
        return gone(address)
    return (watch.over(datetime.now()) or BY_USER) if recorder.stop_requested else ""


def _devices(job: dict[str, Any]) -> Any:
    """What Ray reserves for a job; one that ran out of memory on a share of a GPU gets a larger one. Several workers
    reserve their devices themselves."""
    from ray.tune import PlacementGroupFactory

    if job["workers"] > 1:
        return PlacementGroupFactory([{"memory": 1}])  # next to nothing, which Ray does not take
    return PlacementGroupFactory([{"CPU": job["cpus"], "GPU": job["gpus"]}])


def gone(address: str | None) -> str:
    return f"the Ray cluster at {address} is gone" if address else "Ray has died on this machine"


def end_without_head(recorder: Recorder, paths: SweepPaths, display: Display, address: str | None) -> None:
    """Note what is left, beside the main thread (see :func:`sweep.engine.watch.watched`), and end this process; Ray
    would abort it soon. MLflow is told by the next run."""
    recorder.lose_cluster()
    display.end()
    try:
        with closing(Ledger(paths.ledger)) as ledger:
            recorder.interrupt_live(ledger)
            make_reports(paths, ledger, with_page=False)
            ledger.append("stop", body={"exit_code": SOME_FAILED})
        display.note(f"{gone(address)}; {nothing_lost()}")
    except StorageError as error:
        display.note(f"{gone(address)}, and {error}")
    finally:
        sys.stdout.flush()
        os._exit(SOME_FAILED)


@contextmanager
def _stop_signals(recorder: Any, display: Display) -> Iterator[None]:
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
