"""Hears from Ray Tune what happened to its trials, tells the recorder, and ends workers that are hung."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweep.engine.job import Job, keys_of
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
            self._trials |= dict.fromkeys(keys_of(trial.config), trial)
        self._trials_known = len(trials)

    def _keys(self, trial: Trial) -> list[str]:
        """Of the trials that are on the worker of one of Ray's; one that broke there may be on another by now."""
        return [key for key in keys_of(trial.config) if self._trials.get(key) is trial]

    def _look_after(self, job: Job) -> None:
        """End the worker of a live trial where it is hung; Ray then tells of its death."""
        trial = self._trials[job.key]
        if has_worker(trial):
            self._recorder.vigil.asked(job)
        reason = self._recorder.vigil.hung(job)
        if reason:
            for key in self._keys(trial):
                self._hung[key] = reason
                self._recorder.vigil.left(key)  # and from the next look on it gets the time to die
            end_worker(trial)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a worker has taken up what it was given."""
        for key in keys_of(trial.config):
            self._trials[key] = trial
            self._recorder.started(key)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note what a worker reports of each trial: epochs, and its state where that is its end."""
        for key, report in result["reports"]:
            self._recorder.result(key, report)
            self._forget(key)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note what was stopped early; a trial whose last report told its end is not live any more."""
        for key in self._keys(trial):
            self._recorder.stopped_early(key)
            self._forget(key)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a worker died; where all its trials had ended before, only the log hears of it."""
        live = [key for key in self._keys(trial) if self._queue.is_live(key)]
        if not live:
            _log.warning("Ray lost the worker of trial %s after its end: %s", trial.config["key"], trial.get_error())
        for key in live:
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
