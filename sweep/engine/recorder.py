"""Hears from Ray what happened, and tells the ledger first, then the queue, then the display."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweep.cost.budget import BudgetWatch
from sweep.engine.display import Display
from sweep.engine.job import Job, devices
from sweep.engine.queue import TrialQueue
from sweep.engine.ray_internals.groups import release_left
from sweep.engine.ray_internals.workers import end_worker, has_worker
from sweep.engine.vigil import Vigil
from sweep.layout import SweepPaths
from sweep.ledger.bodies import final_body, start_body, taught_elsewhere
from sweep.ledger.failures import BROKEN, Broken, worker_death
from sweep.ledger.store import Ledger
from trainers.config import TeacherConfig

_log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
"""How often it is looked whether a worker is hung."""
LAST_SECONDS = 60.0
"""What runs when the budget is used up gets the time of its longest epoch to end the one that it is in; at least
this."""


class Recorder(Callback):
    """Ray's callback. An exception in one would end the whole experiment or redo a finished trial, so each is kept in
    :attr:`fatal`, which stops the sweep in good order."""

    def __init__(
        self,
        paths: SweepPaths,
        ledger: Ledger,
        queue: TrialQueue,
        display: Display,
        watch: BudgetWatch | None = None,
        drop: Callable[[Path], None] = lambda folder: None,
        vigil: Vigil | None = None,
    ) -> None:
        self._paths = paths
        self._ledger = ledger
        self._queue = queue
        self._display = display
        self._watch = watch
        self._drop = drop
        self._vigil = vigil or Vigil()
        self._begun: set[str] = set()
        self._trials: dict[str, Trial] = {}
        self._trials_known = 0
        self._hung: dict[str, str] = {}
        self._left_devices = False
        self._looked = 0.0
        self._ends_at: float | None = None
        self._says: list[str] = []
        self.stop_requested = False
        self.cluster_lost = False
        self.fatal: Exception | None = None

    def stopped(self) -> bool:
        """Whether trials should end after the epoch they are in."""
        return self.stop_requested or self.fatal is not None

    def out_of_time(self) -> bool:
        """Whether what runs should end where it is: the budget is used up, and an epoch has had its time since."""
        return self._ends_at is not None and self._vigil.look() >= self._ends_at

    def stop(self, says: str) -> None:
        """End the sweep after the epochs in flight, and say so soon. A signal's handler may call this: it must not
        write, since the signal may have come in the middle of another write."""
        self.stop_requested = True
        self._says.append(says)

    def lose_cluster(self) -> None:
        """The cluster is gone: nothing more will be heard of the trials that run."""
        self.cluster_lost = self.stop_requested = True

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Let the display refresh, ask for the sweep's end where its budget is used up, and end workers that are
        hung."""
        if self.cluster_lost:
            return
        while self._says:
            self._display.note(self._says.pop(0))
        self._display.tick()
        now = self._vigil.look()
        if self._ends_at is None and self._watch is not None and self._watch.over(datetime.now()):
            self.stop_requested = True
            self._ends_at = now + max(LAST_SECONDS, self._vigil.longest(self._queue.live))
        self._know(trials)
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            for trial in [self._trials[job.key] for job in self._queue.live if job.key in self._trials]:
                self._guarded(self._look_after, trial, trial)
            if self._left_devices:
                self._release()

    def _know(self, trials: list[Trial]) -> None:
        """Take over Ray's new trials; its list only grows."""
        for trial in trials[self._trials_known :]:
            self._trials[trial.config["key"]] = trial
        self._trials_known = len(trials)

    def _look_after(self, job: Job, trial: Trial) -> None:
        """End the worker of a live trial where it is hung; Ray then tells of its death."""
        if has_worker(trial):
            self._vigil.asked(job)
        reason = self._vigil.hung(job)
        if reason:
            self._hung[job.key] = reason
            self._vigil.left(job.key)  # and from the next look on it gets the time to die
            end_worker(trial)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a worker has taken a trial up."""
        self._trials[trial.config["key"]] = trial
        self._guarded(self._started, trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note what a worker reports: epochs, and the trial's state where that is its end."""
        self._guarded(self._result, trial, result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial was stopped early; one whose last report told its end is not live any more."""
        self._guarded(self._stopped_early, trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial's worker died; where the trial had ended before, only the log hears of it."""
        if trial.config["key"] not in {job.key for job in self._queue.live}:
            _log.warning("Ray lost the worker of trial %s after its end: %s", trial.config["key"], trial.get_error())
        self._guarded(self._worker_died, trial, trial)

    def _guarded(self, do: Any, trial: Trial, *more: Any) -> None:
        live = {job.key: job for job in self._queue.live} if not self.cluster_lost else {}
        job = live.get(trial.config["key"])
        try:
            if job is not None:
                do(job, *more)
        except Exception as error:  # see the class's docstring: raised again by the run, when Ray has ended
            self.fatal = self.fatal or error

    def _started(self, job: Job) -> None:
        self._begun.add(job.key)
        self._vigil.begun(job)
        if not self._ledger.is_final(job.key):  # a teacher that is only stored anew has its result already
            self._ledger.append("start", job.key, body=start_body(job.slot, job.trial, self._devices(job)))
        self._display.started(job)

    def _devices(self, job: Job) -> float:
        return devices(job, self._queue.plan)

    def _result(self, job: Job, result: dict[str, Any]) -> None:
        trained = [epoch["seconds"] for epoch in result["epochs"] if not epoch.get("replayed")]
        self._vigil.heard(job, max(trained, default=None))
        self._queue.report(job.key, result["epochs"])  # of its last epoch the scheduler does not hear
        epochs, ends = self._counting(job, result)
        for epoch in epochs:
            new = self._ledger.append("epoch", job.key, epoch["epoch"], epoch)
            if new and self._watch is not None:
                self._watch.spend(epoch["seconds"], self._devices(job))
        state = result.get("state")
        if state is None:
            self._display.epoch(job, result["epochs"][-1])
        elif ends and state in BROKEN:
            self._failed(job, state, result["reason"], result["log"])
        elif ends:
            self._ended(job, state, result)

    def _counting(self, job: Job, result: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """The epochs of a report that count, and whether its state does, which is how the trial ended.

        All of it does, unless the trial's search gave it up after one of these epochs. A resumed trial, which tells of
        several at once, would not have had the later ones before, nor the bad end that came after them. One that has
        finished nonetheless has its result.
        """
        if result.get("state") == "finished" or not self._queue.given_up(job.key):
            return result["epochs"], True
        last = self._queue.heard(job.key)
        return [epoch for epoch in result["epochs"] if epoch["epoch"] <= last], False

    def _ended(self, job: Job, state: str, result: dict[str, Any]) -> None:
        epochs = [event.body for event in self._ledger.events("epoch", trial=job.key)]
        body = final_body(state, epochs, self._queue.plan.protocol) | {
            key: result[key] for key in ("reason", "teacher") if key in result
        }
        noted = self._ledger.append("final", job.key, body=body)
        teacher = TeacherConfig.model_validate(result["teacher"]) if "teacher" in result else None
        if teacher is not None and not noted:
            self._note_retrained(job, result)
        self._queue.finished(job.key, teacher, body)
        self._left(job)
        self._drop_checkpoints(job)
        self._display.ended(job, state, body)

    def _note_retrained(self, job: Job, result: dict[str, Any]) -> None:
        """Note a teacher that had ended before, was no longer stored, and came out with other weights this time."""
        if self._ledger.finals()[job.key].get("teacher") != result["teacher"]:
            body = taught_elsewhere(result["epochs"][-1], result["teacher"])
            self._ledger.append("retrained", job.key, body=body)

    def _drop_checkpoints(self, job: Job) -> None:
        """Of a trial whose end is in the ledger, here; the storage forgets them when it knows the ledger."""
        checkpoints = self._paths.trial(job.key) / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        self._drop(checkpoints)

    def _failed(self, job: Job, state: Broken, reason: str, log: str = "") -> None:
        if job.key not in self._begun:  # its worker died before it could start
            self._started(job)
        crowded = state == "out-of-memory"
        again = self._queue.will_retry(job.key, crowded)
        body = {"state": state, "reason": reason, "log": log, "again": again}
        self._ledger.append("failed", job.key, body=body)
        self._queue.failed(job.key, crowded)
        self._left(job)
        self._display.ended(job, state, body)

    def _release(self) -> None:
        """Give back the devices of a dead worker that had several below it. Those die some time after it, so they are
        looked for until the run ends, which a head that is away for a moment does not."""
        try:
            release_left()
        except RayError as error:
            _log.warning("it is not known which devices are left reserved: %s", error)

    def _worker_died(self, job: Job, trial: Trial) -> None:
        self._left_devices |= self._queue.plan.compute["workers"] > 1
        if job.key in self._hung:
            self._failed(job, "hung", self._hung[job.key])
            return
        written = Path(trial.error_file) if trial.error_file else None  # by Ray, on this machine
        self._failed(job, *worker_death(written.read_text() if written and written.exists() else ""))

    def _stopped_early(self, job: Job) -> None:
        """Complete for Ray, but live in the queue: the trial was stopped after an epoch, by its search, by the user, or
        to make room for another."""
        if self._queue.given_up(job.key):
            body = self._queue.pruned(job.key)
            self._left(job)
            self._drop_checkpoints(job)
            self._display.ended(job, "pruned", body)
            return
        self._ledger.append("interrupted", job.key)
        self._left(job)
        if self._queue.interrupted(job.key):
            self._display.paused(job)

    def _left(self, job: Job) -> None:
        """No worker has the trial any more."""
        self._vigil.left(job.key)
        self._trials.pop(job.key, None)
        self._hung.pop(job.key, None)

    def interrupt_live(self, ledger: Ledger | None = None) -> None:
        """Note the trials that were stopped in the middle of an epoch; another thread gives a ledger of its own."""
        for job in self._queue.live:
            if job.key in self._begun:
                (ledger or self._ledger).append("interrupted", job.key)

    def __getstate__(self) -> dict[str, Any]:
        """Ray stores a pickled copy of its whole set-up, which nothing here ever reads."""
        return {}
