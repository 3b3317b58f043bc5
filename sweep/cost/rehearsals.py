"""Rehearsals of trials side by side, each in a process of its own, as a worker is (:mod:`trainers.rehearsal`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

from kd_sweep import spawning
from sweep.ledger.failures import is_out_of_memory
from sweep.text import first_line
from trainers.code import Code, current, load, load_installed
from trainers.config import TrialConfig
from trainers.errors import InputError
from trainers.process import WORKER_ENVIRONMENT

if TYPE_CHECKING:
    from sweep.plan.slots import Plan
    from trainers.rehearsal import Rehearsal

PATIENCE_SECONDS = 900.0
"""That the trials of a layout wait for each other's first pass."""


@dataclass(frozen=True)
class Layout:
    """How a machine, or one of its GPUs, is shared out."""

    trials: int
    """Side by side."""
    cpus: int
    """Cores of each, and threads."""
    gpus: float = 0
    """Share of a GPU of each."""


def rehearse_together(trial: TrialConfig, plan: Plan, layout: Layout) -> list[Rehearsal]:
    """One for each trial of the layout, all at the same time.

    Raises:
        MemoryError: when one of them has too little memory.
        InputError: when one of them fails otherwise.
    """
    context = get_context("spawn")
    barrier = context.Barrier(layout.trials)
    pipes = [context.Pipe(duplex=False) for _ in range(layout.trials)]
    with _as_workers(), spawning():
        processes = [
            context.Process(
                target=_rehearse,
                args=(sender, barrier, trial, plan.dataset, plan.source, layout, current()),
                daemon=True,
            )
            for _, sender in pipes
        ]
        for process in processes:
            process.start()
    for _, sender in pipes:
        sender.close()  # the child's end is the only one, so that its death is heard
    try:
        return _answers([receiver for receiver, _ in pipes], barrier, trial)
    finally:
        for process in processes:
            process.kill()
            process.join()


@contextmanager
def _as_workers() -> Iterator[None]:
    """Processes that are started here have a worker's environment."""
    before = dict(os.environ)
    os.environ.update(WORKER_ENVIRONMENT | before)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _answers(receivers: list[Connection], barrier: Barrier, trial: TrialConfig) -> list[Rehearsal]:
    """What the processes send, in any order; one that fails lets the others go."""
    from trainers.rehearsal import Rehearsal

    waiting: list[Any] = list(receivers)
    answers: list[Rehearsal | str | None] = []
    while waiting:
        for receiver in wait(waiting):
            waiting.remove(receiver)
            answers.append(_received(receiver))
            if not isinstance(answers[-1], Rehearsal):
                barrier.abort()
    if None in answers:
        raise MemoryError(f"{len(answers)} such trials do not fit")
    why = "".join({answer for answer in answers if isinstance(answer, str)})
    if why or "" in answers:
        why = why or f"its neighbours took more than {PATIENCE_SECONDS:.0f} seconds"
        raise InputError(f"{trial.method.name} on {trial.model} cannot be rehearsed: {why}")
    return [answer for answer in answers if isinstance(answer, Rehearsal)]


def _received(receiver: Any) -> Rehearsal | str | None:
    try:
        answer: Rehearsal | str | None = receiver.recv()
    except EOFError:  # the system ended the process, for want of memory as a rule
        return None
    return answer


def _rehearse(
    sender: Connection,
    barrier: Barrier,
    trial: TrialConfig,
    dataset: str,
    source: dict[str, Any],
    layout: Layout,
    code: Code,
) -> None:
    """In a process of its own: send the rehearsal, or what went wrong, or None for too little memory. Where another
    process went wrong, nothing of this one counts."""
    import torch

    from trainers.accelerator import limited
    from trainers.data import DATASETS
    from trainers.rehearsal import rehearse, stand_in

    torch.set_num_threads(layout.cpus)
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(layout.cpus))  # as of a worker
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # the compiler looks for CUDA, there or not
    try:
        load_installed()
        load(code)
        data = DATASETS[dataset].model_validate(source).load()
        teacher = stand_in(trial.teacher.architecture, data) if trial.teacher is not None else None
        device = "cuda" if layout.gpus else "cpu"
        limited(layout.gpus)
        ready = partial(barrier.wait, PATIENCE_SECONDS)
        sender.send(rehearse(trial, data=data, teacher=teacher, device=device, ready=ready))
    except BrokenBarrierError:
        sender.send("")
    except Exception as error:  # whatever it is, the parent tells the user
        sender.send(None if is_out_of_memory(error) else first_line(error))
