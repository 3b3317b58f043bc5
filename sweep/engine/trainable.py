"""The thin adaptor from :func:`trainers.fit.fit` to a Ray Tune trainable: one epoch a step.

Actors are reused: torch, the data set and the teacher are loaded once per worker process. An error of the trial is
reported as its result, never raised, so that it fails alone; only a broken GPU takes its worker down with it. Nothing
here talks to MLflow or to a database.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune import Trainable

from sweep.events import Broken, WorkerLostError, first_line, is_out_of_memory, with_advice
from trainers.config import TeacherConfig, TrialConfig
from trainers.content import canonical_json
from trainers.errors import DivergedError, StorageError
from trainers.files import write_atomically
from trainers.storage import Storage, storage_at

if TYPE_CHECKING:
    from trainers.data import ImageData
    from trainers.data_parallel import Group
    from trainers.fit import EpochResult
    from trainers.models import Network
    from trainers.teachers import Passport

    Running = Generator[EpochResult, None, Network] | Generator[EpochResult, None, Network | None]

_log = logging.getLogger(__name__)

GIGABYTE = 10**9
CHECKPOINTS = "checkpoints"
"""In the trial's folder."""
LOG = "log.txt"
"""In the trial's folder: the traceback of the last attempt that failed."""


class TrialTrainable(Trainable):
    """Runs the job that `config` describes (see :func:`sweep.run.describe`)."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job; it is set up in its first step, where an error is the trial's own."""
        self._job = new_config
        self._running: Running | None = None
        return True

    def step(self) -> dict[str, Any]:
        """One epoch (a resumed trial reports its earlier ones along with the first new one, or with its bad end)."""
        epochs: list[EpochResult] = []
        try:
            return self._advance(epochs)
        except DivergedError as error:
            return {"state": "diverged", "reason": str(error), "epochs": _bodies(epochs), "done": True}
        except Exception as error:
            if _device_is_broken(error):
                raise
            state = _state(error)
            report = {"state": state, "reason": with_advice(state, first_line(error)), "log": self._log()}
            self._let_go(error)
            return report | {"epochs": _bodies(epochs), "done": True}

    def _log(self) -> str:
        """Write the traceback in flight to the trial's log; its path, or nothing where even that cannot be written."""
        log = Path(self._job["folder"]) / LOG
        try:
            write_atomically(log, traceback.format_exc().encode())
        except StorageError:
            return ""
        with suppress(StorageError):  # which may be what failed
            storage_of(self._job).push(log, anew=True)
        return str(log)

    def _let_go(self, error: Exception) -> None:
        """Free what the failed trial held, which the traceback keeps alive, for the next trial and its neighbours."""
        import torch

        self._running = None
        traceback.clear_frames(error.__traceback__)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()

    def cleanup(self) -> None:
        self._running = None

    def _advance(self, epochs: list[EpochResult]) -> dict[str, Any]:
        """The report of a step; `epochs` holds what has come of it, if it breaks off."""
        trial = TrialConfig.model_validate(self._job["trial"])
        if self._running is None:
            self._running = self._begin(trial)
        for result in self._running:
            epochs.append(result)
            if not result.replayed or result.epoch == trial.recipe.epochs:  # what fit returns comes after the last one
                break
        report: dict[str, Any] = {"epochs": _bodies(epochs), "done": False}
        if epochs and epochs[-1].epoch < trial.recipe.epochs:
            return report
        network = _returned(self._running)
        report |= {"state": "finished", "done": True}
        if self._job["stage"] == "teacher":
            report["teacher"] = self._store(network, trial, epochs[-1]).reference.model_dump()
        return report

    def _begin(self, trial: TrialConfig) -> Running:
        if self._job["workers"] == 1:
            return begin(self._job)
        from sweep import parallel

        return parallel.train(self._job, trial, _data(self._job, trial).num_classes)

    def _store(self, teacher: Network, trial: TrialConfig, last: EpochResult) -> Passport:
        from trainers.teachers import TeacherStore

        store = TeacherStore(Path(self._job["teachers"]), storage_of(self._job))
        return store.add(teacher, trial, _data(self._job, trial), last)


def begin(job: dict[str, Any], group: Group | None = None) -> Generator[EpochResult, None, Network]:
    """The job's training, in this process: a share of it, where `group` are several."""
    import torch

    from trainers.data_parallel import ALONE
    from trainers.fit import fit
    from trainers.logit_bank import LogitBank

    torch.set_num_threads(job["cpus"])
    trial = TrialConfig.model_validate(job["trial"])
    data = _data(job, trial)
    storage = storage_of(job)
    teacher = None
    if trial.teacher is not None:
        teacher = partial(_teacher, job["teachers"], storage, trial.teacher, data)
    budget = None if job["bank_gb"] is None else int(job["bank_gb"] * GIGABYTE)
    bank = LogitBank(Path(job["bank"]), budget, storage)
    device = "cuda" if job["gpus"] else "cpu"
    folder = Path(job["folder"])
    together = group or ALONE
    running = fit(trial, data=data, teacher=teacher, bank=bank, folder=folder, device=device, group=together)
    return stored(running, storage, folder) if together.leads else running


def stored(
    running: Generator[EpochResult, None, Network], storage: Storage, folder: Path
) -> Generator[EpochResult, None, Network]:
    """A training whose checkpoints are in the storage as well: it goes on from there, on whatever machine.

    Args:
        running: what :func:`trainers.fit.fit` returns.
        storage: which a failed write to is only warned of while there are epochs to come.
        folder: the trial's.

    Raises:
        StorageError: when the checkpoints cannot be fetched, or the finished weights not be given.
    """
    from trainers.fit import WEIGHTS

    checkpoints, safe = folder / CHECKPOINTS, False
    storage.pull(checkpoints)
    try:
        while True:
            try:
                result = next(running)
            except StopIteration as end:
                storage.push(folder / WEIGHTS, anew=True)
                storage.mirror(checkpoints)
                safe = True
                network: Network = end.value
                return network
            if not result.replayed:
                safe = _mirrored(storage, checkpoints)
            yield result
    finally:
        if safe:
            storage.release(checkpoints)


def _mirrored(storage: Storage, folder: Path) -> bool:
    """Whether the storage has taken the folder; the next epoch tries again, and the checkpoint is on this disk."""
    try:
        storage.mirror(folder)
    except StorageError as error:
        _log.warning("%s; going on", error)
        return False
    return True


def storage_of(job: dict[str, Any]) -> Storage:
    """The storage of a job, with the root of this machine in front."""
    return _storage(job["storage"], job["root"])


@lru_cache(maxsize=2)
def _storage(uri: str, root: str) -> Storage:
    return storage_at(uri, Path(root))


def _state(error: Exception) -> Broken:
    if isinstance(error, WorkerLostError):
        return "worker-died"
    return "out-of-memory" if is_out_of_memory(error) else "failed"


def _data(job: dict[str, Any], trial: TrialConfig) -> ImageData:
    return _loaded(trial.dataset.name, canonical_json(job["source"]), trial.dataset.content)


@lru_cache(maxsize=2)
def _loaded(name: str, options: str, content: str) -> ImageData:
    """The data set, once per worker process; `options` are its source's, as JSON.

    Raises:
        ValueError: when this machine holds other data under that name than the plan was made with.
    """
    from trainers.data import DATASETS

    data = DATASETS[name].model_validate_json(options).load()
    if data.content != content:
        raise ValueError(f"data set '{name}' is not the one the plan was made with ({data.content})")
    return data


@lru_cache(maxsize=4)
def _teacher(folder: str, storage: Storage, teacher: TeacherConfig, data: ImageData) -> Network:
    """A verified teacher, once per worker process."""
    from trainers.teachers import TeacherStore

    return TeacherStore(Path(folder), storage).load(teacher, data)


def _bodies(epochs: list[EpochResult]) -> list[dict[str, Any]]:
    return [asdict(epoch) for epoch in epochs]


def _returned(running: Running) -> Network:
    """What :func:`fit` returns after its last epoch."""
    try:
        next(running)
    except StopIteration as end:
        network: Network = end.value
        return network
    raise RuntimeError("fit yielded an epoch after the last one")


def _device_is_broken(error: Exception) -> bool:
    """Whether the process's CUDA context is lost, so that no later trial could use it."""
    import torch

    return isinstance(error, torch.AcceleratorError)
