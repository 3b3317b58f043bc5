"""One attempt at a job: :func:`trainers.fit.fit` in steps of one epoch, and its bad end as its result.

Torch, the data set and the teacher are loaded once per process (:mod:`sweep.engine.worker`). An error of the trial is
reported as its result, never raised, so that it fails alone; only a broken GPU, with which its process can do no more,
is raised. Nothing here knows Ray, MLflow or a database.
"""

from __future__ import annotations

import traceback
from bdb import BdbQuit
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.engine.worker import begin, data_of, device_of, patient_storage_of, storage_of
from sweep.ledger import provenance
from sweep.ledger.failures import Broken, WorkerLostError, is_out_of_memory, with_advice
from sweep.text import first_line
from trainers.code import place_of, raised_by_theirs, settings_kept
from trainers.config import TrialConfig
from trainers.errors import DivergedError, InputError, StorageError
from trainers.storage.files import write_atomically
from trainers.versions import made_with

if TYPE_CHECKING:
    from trainers.models import Network
    from trainers.result import EpochResult
    from trainers.teacher.passport import Passport

    Running = Generator[EpochResult, None, Network] | Generator[EpochResult, None, Network | None]

LOG = "log.txt"
"""In the trial's folder: the traceback of the last attempt that failed."""


class Attempt:
    """An attempt at a job, which is set up in its first step, where an error is the trial's own.

    Args:
        job: as :func:`sweep.engine.job.describe` makes it.
        begun: begins the job's training in this process; None: by itself.
    """

    def __init__(self, job: dict[str, Any], begun: Callable[[dict[str, Any]], Running] | None = None) -> None:
        self._job, self._begun = job, begun
        self._running: Running | None = None
        self._placed = False
        """Whether it was said where this attempt runs."""

    def step(self) -> dict[str, Any]:
        """One epoch (a resumed trial reports its earlier ones along with the first new one, or with its bad end).

        Returns:
            `epochs`, their results; `done`, whether that was the end; with the first report and the last where it
            `ran_on`. With its end `state`; of a bad one `reason`, `log` and whether another attempt would be in `vain`;
            of a finished one the releases that it was `made_with`, and what a teacher is stored as, `teacher`.

        Raises:
            AcceleratorError: torch's, where the device is lost to this process.
        """
        epochs: list[EpochResult] = []
        try:
            step = self._advance(epochs)
            if step["done"]:
                self.leave()
            return step
        except BdbQuit:  # the user has left the debugger, and the run with it
            raise
        except DivergedError as error:
            return {"state": "diverged", "reason": str(error), "epochs": _bodies(epochs), "done": True} | self._place()
        except BaseException as error:
            if not _is_the_trials(error) or _device_is_broken(error):
                raise
            state = _state(error)
            report: dict[str, Any] = {"state": state, "reason": with_advice(state, _reason(error)), "log": self._log()}
            report |= {"vain": True} if self._would_again(error) else {}
            self._let_go(error)
            return report | {"epochs": _bodies(epochs), "done": True} | self._place()

    def _would_again(self, error: BaseException) -> bool:
        """Whether the next attempt would end so too: the input is wrong, and not what this machine has of it."""
        return isinstance(error, InputError) and self._running is not None

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

    def _let_go(self, error: BaseException) -> None:
        """Free what the failed trial held, which the traceback keeps alive, for the next trial and its neighbours."""
        traceback.clear_frames(error.__traceback__)
        self.leave()

    def leave(self) -> None:
        """Leave the trial, with its networks and data, and what it has of the GPU; its checkpoint is on the disk."""
        from trainers.accelerator import given_back

        self._running = None
        given_back()

    def _advance(self, epochs: list[EpochResult]) -> dict[str, Any]:
        """The report of a step; `epochs` holds what has come of it, if it breaks off."""
        trial = TrialConfig.model_validate(self._job["trial"])
        if self._running is None:
            self._running = self._begin(trial)
        with settings_kept():  # a loss may change torch for the whole process, in which other trials run after it
            for result in self._running:
                epochs.append(result)
                if not result.replayed or result.epoch == trial.recipe.epochs:  # what fit returns comes after the last
                    break
        report: dict[str, Any] = {"epochs": _bodies(epochs), "done": False}
        if epochs and epochs[-1].epoch < trial.recipe.epochs:
            return report if self._placed else report | self._place()
        network = _returned(self._running)
        report |= {"state": "finished", "done": True, "made_with": made_with()} | self._place()
        if self._job["stage"] == "teacher":
            report["teacher"] = self._store(network, trial, epochs[-1]).reference.model_dump()
        return report

    def _place(self) -> dict[str, Any]:
        self._placed = True
        return {"ran_on": provenance.of_attempt(on_gpu=bool(self._job["gpus"]))}

    def _begin(self, trial: TrialConfig) -> Running:
        if self._job["workers"] == 1:
            return self._begun(self._job) if self._begun is not None else begin(self._job)
        from sweep.engine import parallel

        return parallel.train(self._job, trial, data_of(self._job, trial).num_classes)

    def _store(self, teacher: Network, trial: TrialConfig, last: EpochResult) -> Passport:
        from trainers.teacher.store import TeacherStore

        store = TeacherStore(Path(self._job["teachers"]), patient_storage_of(self._job))
        return store.add(teacher, trial, data_of(self._job, trial), last, device_of(self._job))


def _is_the_trials(error: BaseException) -> bool:
    """Whether an error is this trial's alone: one that ends processes is, where a line of the user's code raised it."""
    return isinstance(error, Exception) or (not isinstance(error, KeyboardInterrupt) and raised_by_theirs(error))


def _state(error: BaseException) -> Broken:
    if isinstance(error, WorkerLostError):
        return "worker-died"
    return "out-of-memory" if is_out_of_memory(error) else "failed"


def _reason(error: BaseException) -> str:
    """An error in one line, with the place in the user's own code that it comes from, where there is one."""
    place = place_of(error)
    return f"{place}: {first_line(error)}" if place else first_line(error)


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


def _device_is_broken(error: BaseException) -> bool:
    """Whether the process's CUDA context is lost, so that no later trial could use it."""
    import torch

    return isinstance(error, torch.AcceleratorError)
