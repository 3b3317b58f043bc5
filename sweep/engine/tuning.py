"""One run of Ray Tune over a queue, from the first trial to the last, or to the moment it is stopped."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cluster.carried import nothing_lost
from sweep.engine.job import describe_together
from sweep.engine.recorder import Recorder
from sweep.engine.room import Room
from sweep.engine.running import Run, why_stopped
from sweep.engine.stop_signals import stop_signals
from sweep.engine.vigil import Vigil
from sweep.engine.watch import watched
from sweep.exit_codes import SOME_FAILED
from sweep.ledger.store import Ledger
from trainers.errors import StorageError
from trainers.storage.patient import LONGEST_WAIT

if TYPE_CHECKING:
    from ray.tune import Tuner

    from sweep.layout import Root
    from sweep.plan.slots import Plan


def tune(run: Run, temporary: Path) -> str:
    """Let Ray Tune run the queue; why it was stopped before its end, empty where it was not.

    Args:
        run: all that it takes.
        temporary: a folder for what Ray Tune insists on writing.

    Raises:
        StorageError: when what happened could not be noted.
    """
    from sweep.engine.ray_internals.workers import own_workers

    recorder = _recorder(run)
    tuner = _tuner(run, recorder, temporary)
    with stop_signals(recorder), own_workers():
        try:
            with watched(recorder.lose_cluster, partial(_end_without_head, run, recorder)):
                tuner.fit()
        except KeyboardInterrupt:
            recorder.stop_requested = True
    return why_stopped(run, recorder)


def _recorder(run: Run) -> Recorder:
    parts = run.paths, run.ledger, run.queue, run.display, run.watch, run.drop
    return Recorder(*parts, vigil_of(run.plan, run.root), run.until, run.lost, run.dividing)


def vigil_of(plan: Plan, root: Root) -> Vigil:
    """The one over a plan's workers, which may wait for the root's storage."""
    waits = LONGEST_WAIT if root.storage.uri else 0.0
    return Vigil(plan.compute.get("max_epoch_minutes"), waits=waits)


def _tuner(run: Run, recorder: Recorder, temporary: Path) -> Tuner:
    """Ray Tune, which asks the queue for every trial and tells the recorder of everything."""
    from ray import tune

    from sweep.engine.ray_callback import RayCallback
    from sweep.engine.ray_search import MOST_AT_ONCE, CellScheduler, PlanSearcher, StopAfterEpoch
    from sweep.engine.trainable import TrialTrainable

    room = Room(run.plan, changes=run.address is not None)
    described = partial(describe_together, plan=run.plan, root=run.root)
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
            callbacks=[RayCallback(recorder, run.queue)],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # checkpoints are the trainer's own
            stop=StopAfterEpoch(recorder.stopped, recorder.out_of_time, recorder.foresee),
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
        with closing(Ledger(run.ledger.path, make=False)) as ledger:
            recorder.interrupt_live(ledger)
            run.report(ledger)
            ledger.append("stop", body={"exit_code": SOME_FAILED})
        run.display.note(f"{run.without_ray}; {nothing_lost()}")
    except StorageError as error:
        run.display.note(f"{run.without_ray}, and {error}")
    finally:
        sys.stdout.flush()
        os._exit(SOME_FAILED)
