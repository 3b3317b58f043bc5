"""One run in this process: one trial, or cohort, at a time, without Ray, to the same numbers.

A debugger works here: what trains is called from the main thread of the process that the user started, whose terminal
nothing else reads. No other process can die or stand still, so there is neither a worker's death nor a vigil, and what
runs beside a trial is nothing: a share of a GPU is a whole one.
"""

from __future__ import annotations

import threading
import time
from bdb import BdbQuit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.engine.cohort import Cohort
from sweep.engine.job import describe_together
from sweep.engine.recorder import Recorder
from sweep.engine.running import Run, why_stopped
from sweep.engine.stop_signals import stop_signals
from sweep.text import first_line
from trainers.errors import InputError
from trainers.storage.patient import while_waiting

if TYPE_CHECKING:
    from sweep.plan.slots import Plan

SPEAK_SECONDS = 0.2
"""Within which a Ctrl-C is answered, however long an epoch takes."""
WAIT_SECONDS = 1.0
"""Between two looks whether others, who divide the plan with this process, have ended what it waits for."""
DEVICE_LOST = "the GPU is lost to this process"


def alone(plan: Plan) -> Plan:
    """The plan as this process runs it: on a whole GPU where a trial asks for a share, or for whatever is best.

    Raises:
        InputError: where a trial asks for several workers, or for GPUs that torch does not find here.
    """
    import torch

    if plan.compute["workers"] > 1:
        raise InputError(
            f"--local trains in one process, and a trial asks for {plan.compute['workers']} workers (compute.workers in"
            " the spec): leave one of them out"
        )
    asked, there = plan.compute["gpus"], torch.cuda.device_count()
    gpus = min(there, 1) if asked == "auto" else max(asked, 1) if asked else 0
    if gpus > there:
        raise InputError(
            f"a trial asks for {asked:g} GPUs (compute.gpus in the spec), and torch finds {there or 'none'} on this"
            " machine; lower compute.gpus"
        )
    return replace(plan, compute=plan.compute | {"gpus": gpus})


def train_here(run: Run) -> str:
    """Train what the queue holds in this process; why it was stopped before its end, empty where it was not.

    Args:
        run: all that it takes; its plan is what :func:`alone` returns.

    Raises:
        StorageError: when what happened could not be noted.
    """
    parts = run.paths, run.ledger, run.queue, run.display, run.watch, run.drop
    recorder = Recorder(*parts, until=run.until, lost=run.lost, dividing=run.dividing)
    lost = ""
    with ExitStack() as stack:
        stack.enter_context(stop_signals(recorder))
        stack.enter_context(_answering(recorder))
        stack.enter_context(_own_threads())
        stack.enter_context(while_waiting(lambda: _end_a_wait(recorder)))
        try:
            lost = _train_all(run, recorder)
        except (KeyboardInterrupt, BdbQuit):  # the second Ctrl-C, the end of a wait, or the debugger's `quit`
            recorder.stop_requested = True
    return why_stopped(run, recorder) or lost


def _train_all(run: Run, recorder: Recorder) -> str:
    """One after the other, to the queue's end; why there can be no other, where the device was lost."""
    recorder.tick()
    while not recorder.stopped():
        jobs = run.queue.next_together(room=1)
        if not jobs and not run.queue.held_elsewhere:
            return ""
        if not jobs:
            time.sleep(WAIT_SECONDS)
            recorder.tick()
            continue
        for job in jobs:
            recorder.started(job.key)
        described = describe_together(jobs, run.plan, run.root)
        lost = _train(run, recorder, [job.key for job in jobs], Cohort(described))
        if lost:
            return lost
    return ""


def _train(run: Run, recorder: Recorder, keys: list[str], cohort: Cohort) -> str:
    """Attempts that share this process, to their end or to the epoch after which they are stopped; what is said of a
    lost device."""
    queue, going = run.queue, True

    def given_up(key: str) -> bool:
        return queue.is_live(key) and queue.given_up(key)

    try:
        while going:
            step = cohort.step()
            for key, report in step["reports"]:
                recorder.result(key, report)
            recorder.tick()
            going = not (step["done"] or recorder.stopped() or any(map(given_up, keys)))
    except BdbQuit:
        raise
    except Exception as error:  # all others are the trial's result
        for key in keys:
            recorder.broke(key, "worker-died", f"{DEVICE_LOST}: {first_line(error)}")
        return DEVICE_LOST
    finally:
        cohort.leave()
    for key in keys:
        recorder.stopped_early(key)
    return ""


def _end_a_wait(recorder: Recorder) -> None:
    """A trial that waits for the storage is in no epoch whose end a run that stops would wait for. Raises
    KeyboardInterrupt."""
    recorder.tick()
    if recorder.stopped():
        raise KeyboardInterrupt


@contextmanager
def _answering(recorder: Recorder) -> Iterator[None]:
    """A Ctrl-C is answered at once: this thread is in the middle of an epoch, and a signal's handler must not write."""
    over = threading.Event()

    def speak() -> None:
        while not over.wait(SPEAK_SECONDS):
            recorder.speak()

    thread = threading.Thread(target=speak, name="answering", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _own_threads() -> Iterator[None]:
    """A trial sets how many threads torch has; what the process had before is set again."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
