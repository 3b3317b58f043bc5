"""When a trial's worker is taken for hung: nothing was heard of it for far longer than an epoch takes.

Ray notices a process that ends. Of one that stands still (stopped, waiting for a disk that does not answer, or for a
lock that nobody lets go of) nobody would ever hear again. How long is too long is learnt from what the run has heard:
no limit that is written down suits both an epoch of a second and one of a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

from sweep.engine.job import Job
from sweep.plan.kinds import kind_of
from sweep.text import duration

TIMES = 10
"""So many of the longest epochs that were heard of are too long."""
LEAST_SECONDS = 600.0
"""No epoch is too long before this; and no worker is hung before it that has only to take a trial up."""
LEAST_FIRST_SECONDS = 3600.0
"""The same of a worker's first epoch of a trial, for which a machine may have to decode the data set first, and of any
epoch with a teacher, whose logits may be there for some epochs and have to be computed for the next."""
ASLEEP_SECONDS = 10.0
"""A longer gap between two looks at the clock is one in which this process did not run, and counts as this."""

Phase = Literal["asked", "first", "later"]
"""What a worker is at: taking a trial up, its first epoch of it, or a later one."""


class AwakeClock:
    """Seconds in which this process ran. A whole job may be stopped for hours and go on (a laptop that is closed, a
    batch system that makes room): its workers were stopped with it, and are not late.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self.now = 0.0
        """At the last look."""

    def look(self) -> float:
        """Seconds since this clock was made, less those that were slept through."""
        last, self._last = self._last, self._clock()
        self.now += min(self._last - last, ASLEEP_SECONDS)
        return self.now


class Vigil:
    """Listens for the epochs of what runs, and says who is hung.

    Args:
        minutes: after which a worker that has told of nothing is hung, for each of its trials; None learns that from
            the epochs.
        clock: seconds; it has to be looked at (:meth:`look`) often.
        waits: seconds for which a worker may wait for what it cannot go on without, such as a storage; they are no part
            of `minutes`.
    """

    def __init__(
        self, minutes: float | None = None, clock: Callable[[], float] = time.monotonic, *, waits: float = 0.0
    ) -> None:
        self._limit = None if minutes is None else 60 * minutes
        self._waits = waits
        self._clock = AwakeClock(clock)
        self._heard: dict[str, tuple[float, Phase]] = {}
        self._together: dict[str, int] = {}
        """Trials in a trial's worker, whose epochs it does together; one where it is not said."""
        self._silences: dict[tuple[Any, ...], float] = {}
        self._epochs: dict[tuple[Any, ...], float] = {}
        """Of this and the one above: a trial's part of what its worker took."""

    def look(self) -> float:
        """Let time pass; seconds since the vigil began."""
        return self._clock.look()

    def asked(self, job: Job) -> None:
        """A worker is to take a trial up, and has not answered yet; what is known of the job already stands."""
        self._heard.setdefault(job.key, (self._clock.now, "asked"))

    def begun(self, job: Job, together: int = 1) -> None:
        """A worker has taken a trial up; with those beside it, so many."""
        self._heard[job.key] = self._clock.now, "first"
        self._together[job.key] = together

    def heard(self, job: Job, seconds: float | None) -> None:
        """A worker has told of a trial.

        Args:
            job: the trial.
            seconds: that the epoch took which it has trained since it was last heard of. None where there was none: of
                an error, or of epochs that were read from a checkpoint, nothing is learnt.
        """
        now = self._clock.now
        since, phase = self._heard.get(job.key, (now, "asked"))
        self._heard[job.key] = now, "later"
        if seconds is not None:
            own = (now - since) / self._beside(job)
            _keep(self._silences, job, own)
            # what comes before a first epoch, such as the reading of the data, is no part of it
            _keep(self._epochs, job, own if phase == "later" else seconds)

    def left(self, key: str) -> None:
        """A worker has left a trial, whatever came of it."""
        self._heard.pop(key, None)
        self._together.pop(key, None)

    def hung(self, job: Job) -> str:
        """Why a job's worker is taken for hung; empty while it is not."""
        if job.key not in self._heard:
            return ""
        since, phase = self._heard[job.key]
        limit = self._limit_of(job, phase)
        silent = self._clock.now - since
        if limit is None or silent < limit:
            return ""
        if self._limit is not None:
            beside = f" for each of {self._beside(job)} trials" if self._beside(job) > 1 else ""
            told = f"(compute.max_epoch_minutes: {self._limit / 60:g}{beside})"
            return f"its worker told of no epoch for {duration(silent)} {told}"
        if phase == "asked":
            return f"its worker did not take it up for {duration(silent)}"
        longest = duration((_longest(self._silences, job) or 0.0) * self._beside(job))
        return f"its worker told of no epoch for {duration(silent)}, and the longest took {longest}"

    def longest(self, jobs: Iterable[Job]) -> float:
        """Seconds of the longest epoch that trials like these have taken in this run, or would take of each worker with
        those that are on it; 0 where none was heard of."""
        return max(((_longest(self._epochs, job) or 0.0) * self._beside(job) for job in jobs), default=0.0)

    def _beside(self, job: Job) -> int:
        return self._together.get(job.key, 1)

    def _limit_of(self, job: Job, phase: Phase) -> float | None:
        if self._limit is not None:
            return self._limit * self._beside(job) + self._waits
        if phase == "asked":
            return LEAST_SECONDS + self._waits
        longest = _longest(self._silences, job)
        taught = job.slot.teacher is not None or job.slot.config["teacher"] is not None
        least = LEAST_FIRST_SECONDS if phase == "first" or taught else LEAST_SECONDS
        return None if longest is None else max(TIMES * longest * self._beside(job), least + self._waits)


def _keep(longest: dict[tuple[Any, ...], float], job: Job, seconds: float) -> None:
    """Keep what is longer than all before of its kind."""
    for kind in _kinds(job):
        longest[kind] = max(longest.get(kind, 0.0), seconds)


def _longest(longest: dict[tuple[Any, ...], float], job: Job) -> float | None:
    """Of the job's kind; where none of it was heard of, of other methods on the same networks."""
    exact, networks = _kinds(job)
    return longest.get(exact, longest.get(networks))


def _kinds(job: Job) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What decides how long an epoch takes, with the method and without."""
    exact = kind_of(job.slot.pair, job.slot.config)
    return exact, exact[1:]
