"""Hears from Ray Tune what happened to its trials, tells the recorder, and ends workers that are hung."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.engine.ray_internals.groups import release_left
from sweep.engine.ray_internals.workers import end_worker, has_worker
from sweep.engine.recorder import Recorder
from sweep.ledger.failures import worker_death

_log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
"""How often it is looked whether a worker is hung."""


class RayCallback(Callback):
    """Ray Tune's callback. No error leaves it: the recorder keeps the first, which ends the sweep.

    Args:
        recorder: is told everything.
        queue: which trials are live.
    """

    def __init__(self, recorder: Recorder, queue: TrialQueue) -> None:
        self._recorder = recorder
        self._queue = queue
        self._trials: dict[str, Trial] = {}
        self._trials_known = 0
        self._hung: dict[str, str] = {}
        self._left_devices = False
        self._looked = 0.0

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Let time pass, and end workers that are hung."""
        if self._recorder.cluster_lost:
            return
        now = self._recorder.tick()
        self._know(trials)
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            for key in [job.key for job in self._queue.live if job.key in self._trials]:
                self._recorder.guarded(key, self._look_after)
            if self._left_devices:
                self._release()

    def _know(self, trials: list[Trial]) -> None:
        """Take over Ray's new trials; its list only grows."""
        for trial in trials[self._trials_known :]:
            self._trials[trial.config["key"]] = trial
        self._trials_known = len(trials)

    def _look_after(self, job: Job) -> None:
        """End the worker of a live trial where it is hung; Ray then tells of its death."""
        trial = self._trials[job.key]
        if has_worker(trial):
            self._recorder.vigil.asked(job)
        reason = self._recorder.vigil.hung(job)
        if reason:
            self._hung[job.key] = reason
            self._recorder.vigil.left(job.key)  # and from the next look on it gets the time to die
            end_worker(trial)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a worker has taken a trial up."""
        self._trials[trial.config["key"]] = trial
        self._recorder.started(trial.config["key"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note what a worker reports: epochs, and the trial's state where that is its end."""
        self._recorder.result(trial.config["key"], result)
        self._forget(trial.config["key"])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial was stopped early; one whose last report told its end is not live any more."""
        self._recorder.stopped_early(trial.config["key"])
        self._forget(trial.config["key"])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial's worker died; where the trial had ended before, only the log hears of it."""
        key = trial.config["key"]
        if not self._queue.is_live(key):
            _log.warning("Ray lost the worker of trial %s after its end: %s", key, trial.get_error())
        self._recorder.guarded(key, lambda job: self._died(job, trial))
        self._forget(key)

    def _release(self) -> None:
        """Give back the devices of a dead worker that had several below it. Those die some time after it, so they are
        looked for until the run ends, which a head that is away for a moment does not."""
        try:
            release_left()
        except RayError as error:
            _log.warning("it is not known which devices are left reserved: %s", error)

    def _died(self, job: Job, trial: Trial) -> None:
        self._left_devices |= self._queue.plan.compute["workers"] > 1
        if job.key in self._hung:
            self._recorder.broke(job.key, "hung", self._hung[job.key])
            return
        written = Path(trial.error_file) if trial.error_file else None  # by Ray, on this machine
        self._recorder.broke(
            job.key, *worker_death(written.read_text("utf-8", "replace") if written and written.exists() else "")
        )

    def _forget(self, key: str) -> None:
        """A trial that no worker has any more."""
        if not self._queue.is_live(key):
            self._trials.pop(key, None)
            self._hung.pop(key, None)

    def __getstate__(self) -> dict[str, Any]:
        """Ray stores a pickled copy of its whole set-up, which nothing here ever reads."""
        return {}
