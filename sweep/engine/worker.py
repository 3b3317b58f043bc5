"""What a worker process holds: data, teacher and storage, and the training of one job."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.engine.meter import gauges_of, metered
from sweep.engine.stored_copy import StoredCopy
from sweep.plan.code import load_kept
from trainers.code import load_installed
from trainers.config import TeacherConfig, TrialConfig
from trainers.errors import InputError, StorageError
from trainers.storage.content import canonical_json
from trainers.storage.patient import patient
from trainers.storage.shared import Storage, storage_at

if TYPE_CHECKING:
    from trainers.data import ImageData
    from trainers.loop.data_parallel import Group
    from trainers.models import Network
    from trainers.result import EpochResult
    from trainers.teaching.logit_bank import LogitBank

GIGABYTE = 10**9
CHECKPOINTS = "checkpoints"
"""In the trial's folder."""


def begin(job: dict[str, Any], group: Group | None = None) -> Generator[EpochResult, None, Network]:
    """The job's training, in this process: a share of it, where `group` are several. The leading one has the
    checkpoints stored, and measures what the epochs take of its machine."""
    from trainers.fit import fit
    from trainers.loop.data_parallel import ALONE

    trial = TrialConfig.model_validate(job["trial"])
    together = group or ALONE
    folder = Path(job["folder"])
    running = fit(trial, folder=folder, group=together, **_needs(job, [trial]))
    if not together.leads:
        return running
    return metered(stored(running, storage_of(job), folder), gauges_of(on_gpu=bool(job["gpus"])))


def begin_together(jobs: Sequence[dict[str, Any]]) -> dict[str, Generator[EpochResult, None, Network]]:
    """The trainings of jobs that are a cohort, in this process, by key; without those whose code this machine has not.

    Raises:
        InputError: where they do not go together.
        ValueError: as :func:`data_of`.
        StorageError: when the checkpoints cannot be fetched.
    """
    from trainers.cohort import fit_cohort

    jobs = list(filter(_is_known, jobs))
    if not jobs:
        return {}
    trials = [TrialConfig.model_validate(job["trial"]) for job in jobs]
    folders = [Path(job["folder"]) for job in jobs]
    storage, needed = storage_of(jobs[0]), patient_storage_of(jobs[0])
    for folder in folders:  # the first to be asked sets all of them up
        needed.pull(folder / CHECKPOINTS)
    trainings = fit_cohort(trials, folders=folders, **_needs(jobs[0], trials))
    together = zip(jobs, trainings, folders, strict=True)
    return {job["key"]: stored(running, storage, folder) for job, running, folder in together}


def _is_known(job: dict[str, Any]) -> bool:
    """Whether this machine has the code of a job's trial; by itself the trial says what is missing."""
    try:
        data_of(job, TrialConfig.model_validate(job["trial"]))
    except InputError:
        return False
    return True


def _needs(job: dict[str, Any], trials: Sequence[TrialConfig]) -> dict[str, Any]:
    """What the trainings of a job, and of those that are a cohort with it, have in common; torch is set up for it."""
    import torch

    from trainers.accelerator import limited

    torch.set_num_threads(job["cpus"])
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(job["cpus"]))  # else a pool of up to 32 a worker
    device, teacher = device_of(job), None
    data = data_of(job, trials[0])
    taught = next((trial.teacher for trial in trials if trial.teacher is not None), None)
    if taught is not None:
        teacher = partial(_teacher, job["teachers"], patient_storage_of(job), taught, data, device)
    budget = None if job["bank_gb"] is None else int(job["bank_gb"] * GIGABYTE)
    bank = _bank(job["bank"], budget, storage_of(job))
    limited(job["gpus"])
    return {"data": data, "teacher": teacher, "bank": bank, "device": device}


def stored(
    running: Generator[EpochResult, None, Network], storage: Storage, folder: Path
) -> Generator[EpochResult, None, Network]:
    """A training whose checkpoints are in the storage as well: it goes on from there, on whatever machine.

    Args:
        running: what :func:`trainers.fit.fit` returns.
        storage: which a failed write to is only warned of while there are epochs to come. At the trial's beginning and
            end, which cannot do without, it is waited for.
        folder: the trial's.

    Raises:
        StorageError: when the checkpoints cannot be fetched, or the finished weights not be given.
    """
    from trainers.fit import WEIGHTS
    from trainers.storage.checkpoint import Checkpoints

    checkpoints, safe = folder / CHECKPOINTS, False
    copy, needed = StoredCopy(storage, checkpoints), patient(storage)
    needed.pull(checkpoints)
    try:
        while True:
            try:
                result = next(running)
            except StopIteration as end:
                needed.push(folder / WEIGHTS, anew=True)
                needed.mirror(checkpoints)
                safe = True
                network: Network = end.value
                return network
            if not result.replayed:
                safe = copy.renewed()
            yield result
    finally:
        with suppress(StorageError):  # nobody asks any more: a trial that is left goes on from what is there
            Checkpoints(checkpoints).settled()
        if safe:
            storage.release(checkpoints)


def device_of(job: dict[str, Any]) -> str:
    """Torch's name of the device that a job trains on."""
    return "cuda" if job["gpus"] else "cpu"


def storage_of(job: dict[str, Any]) -> Storage:
    """The storage of a job, with the root of this machine in front."""
    return _storage(job["storage"], job["root"])


def patient_storage_of(job: dict[str, Any]) -> Storage:
    """The same for what a trial cannot begin or end without."""
    return patient(storage_of(job))


@lru_cache(maxsize=2)
def _storage(uri: str, root: str) -> Storage:
    return storage_at(uri, Path(root), begun=True)


def data_of(job: dict[str, Any], trial: TrialConfig) -> ImageData:
    """The data set of a job's trial, read once per worker process, with plug-ins and the sweep's own code at hand.

    Raises:
        ValueError: when this machine holds other data under that name than the plan was made with.
        InputError: when a plug-in or the sweep's own code cannot be loaded here, or is not what was planned with.
    """
    load_installed()
    if job["code"]:
        load_kept(Path(job["code"]), patient_storage_of(job))
    _check_code(trial)
    return _loaded(trial.dataset.name, canonical_json(job["source"]), trial.dataset.content)


def _check_code(trial: TrialConfig) -> None:
    """Raises InputError when a plug-in that is installed here is not the one that the plan was made with."""
    from trainers.own import code_of

    models = [trial.model, *([trial.teacher.architecture] if trial.teacher is not None else [])]
    here = code_of(trial.dataset.name, models, trial.method)
    if here != trial.code:
        names = sorted(name for name in {**here, **trial.code} if here.get(name) != trial.code.get(name))
        raise InputError(f"this machine has other code of {', '.join(names)} than the one the plan was made with")


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


@lru_cache(maxsize=1)
def _bank(folder: str, budget: int | None, storage: Storage) -> LogitBank:
    """The logit bank, whose files a worker process opens once for all its trials: there may be thousands."""
    from trainers.teaching.logit_bank import LogitBank

    return LogitBank(Path(folder), budget, storage)


@lru_cache(maxsize=4)
def _teacher(folder: str, storage: Storage, teacher: TeacherConfig, data: ImageData, device: str) -> Network:
    """A verified teacher, once per worker process; `device` measures it."""
    from trainers.teacher.store import TeacherStore

    return TeacherStore(Path(folder), storage).load(teacher, data, device)
