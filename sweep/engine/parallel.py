"""One trial on several workers, through Ray Train: for students that one GPU would train for too long.

The trial's own actor leads: it starts Ray Train's `TorchTrainer` in a thread, whose workers each run
:func:`trainers.fit.fit` on their share of every batch, and hands on what the leading worker reports, one epoch at a
time. A worker waits after each epoch for leave to go on, so that a trial that its search gives up trains no further, as
with one worker. Checkpoints are the trainer's own, in the trial's folder; the leading worker writes them, and passes
them to the storage.

torch's process group is NCCL's on GPUs and gloo's on CPUs.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
from ray.util.queue import Empty, Queue

from sweep.engine.ray_internals.trainer import Trainer
from sweep.ledger.failures import WorkerLostError
from trainers.config import TrialConfig
from trainers.fit import WEIGHTS
from trainers.models import Network, build
from trainers.result import EpochResult
from trainers.storage.checkpoint import from_bytes

PROBE_SECONDS = 1.0
"""How often it is checked whether the workers are still there."""
TRAIN_FOLDER = "ray-train"
"""In the trial's folder, while it runs: what Ray Train insists on writing."""
LOST_NEIGHBOUR = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "NCCL",
    "process group has not been initialized",
)
"""In what a worker raises whose neighbour is dead: from gloo, from NCCL, and from torch where Ray Train has already
taken the group down."""
Told = EpochResult | Exception
"""What a worker reports."""


class Line:
    """Two queues between the trial's actor and its leading worker."""

    def __init__(self) -> None:
        self.told = Queue(actor_options={"num_cpus": 0})
        self.leave = Queue(actor_options={"num_cpus": 0})

    def close(self) -> None:
        """End the two actors that hold the queues, with all that is left in them."""
        for queue in (self.told, self.leave):
            queue.shutdown(force=True)


def train(job: dict[str, Any], trial: TrialConfig, classes: int) -> Generator[EpochResult, None, Network | None]:
    """What :func:`trainers.fit.fit` yields, computed by ``job["workers"]`` processes; returns a teacher's network, and
    None for a student, whose weights nobody asks for.

    Args:
        job: as :func:`sweep.engine.job.describe` makes it.
        trial: the same trial, read.
        classes: of its data set.

    Raises:
        WorkerLostError: when one of the processes died.
        Exception: what a worker raised.
    """
    with _working(job) as (line, run):
        left = trial.recipe.epochs
        while left:
            told = _heard(line, run)
            left = trial.recipe.epochs - told.epoch
            yield told
            if not told.replayed:
                line.leave.put(True)
        run.join()
    if job["stage"] != "teacher":
        return None
    from sweep.engine.worker import storage_of

    path = Path(job["folder"]) / WEIGHTS
    storage_of(job).pull(path)
    network = build(trial.model, num_classes=classes)
    network.load_state_dict(from_bytes(path.read_bytes(), str(path))["state_dict"])
    return network.eval()


class _Run(threading.Thread):
    """The trainer's `fit`, which blocks until its workers have ended."""

    def __init__(self, trainer: Trainer, workers: int) -> None:
        super().__init__(daemon=True)
        self.workers = workers
        self._trainer = trainer
        self.error: TrainingFailedError | None = None

    def run(self) -> None:
        try:
            self._trainer.fit()
        except TrainingFailedError as error:
            self.error = error


@contextmanager
def _working(job: dict[str, Any]) -> Iterator[tuple[Line, _Run]]:
    """The workers at work; when the block is left early they are told to stop after the epoch they are in."""
    line, folder = Line(), Path(job["folder"]) / TRAIN_FOLDER
    run = _Run(_trainer(job, line, folder), job["workers"])
    run.start()
    try:
        yield line, run
    finally:
        line.leave.put(False)
        run.join()
        line.close()
        shutil.rmtree(folder, ignore_errors=True)


def _trainer(job: dict[str, Any], line: Line, folder: Path) -> Trainer:
    each = {"CPU": job["cpus"], "GPU": job["gpus"]} if job["gpus"] else {"CPU": job["cpus"]}
    scaling = ScalingConfig(num_workers=job["workers"], use_gpu=bool(job["gpus"]), resources_per_worker=each)
    return Trainer(
        _work,
        train_loop_config={"job": job, "told": line.told, "leave": line.leave},
        scaling_config=scaling,
        run_config=RunConfig(name=job["key"], storage_path=str(folder), failure_config=FailureConfig(max_failures=0)),
    )


def _heard(line: Line, run: _Run) -> EpochResult:
    """The next epoch, or the workers' end."""
    while True:
        ended = not run.is_alive()
        try:
            told: Told = line.told.get(timeout=PROBE_SECONDS)
        except Empty:
            if ended:
                raise WorkerLostError(_death(run)) from run.error
            continue
        if isinstance(told, EpochResult):
            return told
        run.join()
        if _deaths(run) or any(mark in str(told) for mark in LOST_NEIGHBOUR):
            raise WorkerLostError(_death(run)) from told
        raise told


def _deaths(run: _Run) -> list[str]:
    """Of workers whose process ended, which is not what they raised themselves."""
    failures: dict[int, Exception] = run.error.worker_failures if isinstance(run.error, WorkerGroupError) else {}
    return [f"worker {rank}" for rank, error in failures.items() if isinstance(error, RayActorError)]


def _death(run: _Run) -> str:
    return f"{' and '.join(_deaths(run)) or 'a worker'} of the trial's {run.workers} died"


# -- in a worker ------------------------------------------------------------------------------------------------------


def _work(given: dict[str, Any]) -> None:
    """Train a share of the trial; the leading worker tells of each epoch."""
    from sweep.engine.worker import begin
    from trainers.loop.data_parallel import Group

    group = Group.joined()
    try:
        for result in begin(given["job"], group):
            if group.leads:
                given["told"].put(result)
            if not result.replayed and not group.told(given["leave"].get):
                return
    except Exception as error:  # the trial's actor decides what it means; and the others do not wait for this worker
        given["told"].put(error)
        raise
