"""The attempts at jobs that share a worker, each of which goes its own way: one alone, or a cohort.

A cohort's trials are of one data set, recipe, seed and teacher, and train over the same batches
(:mod:`trainers.cohort`), with the numbers that each has alone. One that ends, well or badly, leaves the others at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweep.engine.attempt import Attempt
from sweep.engine.meter import Meter, gauges_of
from sweep.engine.worker import begin_together

if TYPE_CHECKING:
    from collections.abc import Generator

    from sweep.engine.attempt import Running
    from trainers.models import Network
    from trainers.result import EpochResult


class Cohort:
    """Attempts at jobs in one process.

    Args:
        job: as :func:`sweep.engine.job.describe_together` makes it.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        jobs = [job, *job["beside"]]
        begun = _Together(jobs) if job["beside"] else None
        self._attempts = {one["key"]: Attempt(one, begun) for one in jobs}
        self._is_cohort, self._on_gpu = len(jobs) > 1, bool(job["gpus"])
        self._meter: Meter | None = None
        """Of several."""

    def step(self) -> dict[str, Any]:
        """One epoch of each trial that has not ended.

        Returns:
            `reports`: pairs of a key and what :meth:`Attempt.step` reports, since Ray Tune takes a dictionary apart for
            its schedulers; and whether all are `done`.

        Raises:
            AcceleratorError: torch's, where the device is lost to this process.
        """
        reports = self._metered() if self._is_cohort else self._reports()
        for key, report in reports.items():
            if report["done"]:
                del self._attempts[key]
        if not self._attempts:
            self._close()
        return {"reports": list(reports.items()), "done": not self._attempts}

    def leave(self) -> None:
        """Leave what has not ended, with networks and data; its checkpoints are on the disk."""
        for attempt in self._attempts.values():
            attempt.leave()
        self._close()

    def _metered(self) -> dict[str, dict[str, Any]]:
        """The reports of several; each says what the epoch took of the machine for all of them."""
        self._meter = self._meter or Meter(gauges_of(on_gpu=self._on_gpu))
        self._meter.lap()  # what passed until the next epoch was asked for is none of its time
        reports = self._reports()
        system = self._meter.lap()
        for report in reports.values():
            for epoch in report["epochs"]:
                epoch["system"] = {} if epoch["replayed"] else system
        return reports

    def _reports(self) -> dict[str, dict[str, Any]]:
        """Of a step of each. Where one goes on that an earlier run has brought further, all others have come as far
        before it answers: they tell of all that."""
        reports = {key: attempt.step() for key, attempt in self._attempts.items()}
        trained = [epoch for report in reports.values() for epoch in report["epochs"] if not epoch["replayed"]]
        furthest = max((epoch["epoch"] for epoch in trained), default=0)
        for key, report in reports.items():
            while not report["done"] and report["epochs"][-1]["epoch"] < furthest:
                later = self._attempts[key].step()
                report |= later | {"epochs": report["epochs"] + later["epochs"]}
        return reports

    def _close(self) -> None:
        if self._meter is not None:
            self._meter.close()
            self._meter = None


class _Together:
    """Begins the trainings of several jobs when the first is asked for, and gives each its own."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self._jobs = jobs
        self._running: dict[str, Generator[EpochResult, None, Network]] = {}

    def __call__(self, job: dict[str, Any]) -> Running:
        self._running = self._running or begin_together(self._jobs)
        return self._running.pop(job["key"])
