"""Which trials share a worker: a cohort, of one data set, recipe, seed and teacher (:mod:`trainers.cohort`).

Only what must come to its end is in one: teachers, whose students wait, and trials of searches, which are given up one
by one, have a worker to themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sweep.engine.job import Job
from sweep.plan.slots import Slot

TO_THEIR_END = ("race", "confirm")
"""Stages whose trials nobody gives up."""


class Company:
    """Of a run's trials, by key.

    Args:
        most: trials in one worker.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._of: dict[str, frozenset[str]] = {}
        """The cohort of each live trial that has any."""
        self._alone: set[str] = set()
        self._kinds: dict[str, tuple[str, Any] | None] = {}

    def gather(self, first: Job, waiting: Iterable[Slot], take: Callable[[Slot], Job | None], fair: int) -> list[Job]:
        """A job, and those that are to share its worker.

        Args:
            first: was handed out just now.
            waiting: for the same teacher, and can start now; each that is taken waits no longer.
            take: hands out a slot that waits; None where it need not run, or runs elsewhere.
            fair: trials in one worker at most, so that none is without.
        """
        jobs, asked, most = [first], {first.slot.id, *self._alone}, min(self.most, fair)
        while some := list(itertools.islice(self._fellows(first, waiting, asked), most - len(jobs))):
            jobs += [job for job in map(take, some) if job is not None]
        if len(jobs) > 1:
            keys = frozenset(job.key for job in jobs)
            self._of |= dict.fromkeys(keys, keys)
        return jobs

    def _fellows(self, first: Job, waiting: Iterable[Slot], asked: set[str]) -> Iterator[Slot]:
        """Those that can share a job's worker, of which none was `asked` for yet; from now on they were."""
        kind = self._kind(first.slot)
        if kind is None or first.slot.stage not in TO_THEIR_END or first.crowded or first.key in self._alone:
            return
        for slot in waiting:
            if slot.stage in TO_THEIR_END and slot.id not in asked and self._kind(slot) == kind:
                asked.add(slot.id)  # scratch stands under each pair that shares its student
                yield slot

    def _kind(self, slot: Slot) -> tuple[str, Any] | None:
        """What slots that wait for one teacher have in common where they can be one cohort; None of one that is in
        none."""
        if slot.id not in self._kinds:
            from trainers.cohort import fellows

            trial = slot.trial()
            kind = fellows(trial)
            self._kinds[slot.id] = None if kind is None else (kind, trial.teacher)
        return self._kinds[slot.id]

    def workers(self, live: Iterable[str]) -> int:
        """How many workers live trials have."""
        return len({self._of.get(key, frozenset([key])) for key in live})

    def has(self, key: str) -> bool:
        """Whether a live trial began beside others in its worker, which may be why it broke."""
        return key in self._of

    def size(self, key: str) -> int:
        """How many began in a live trial's worker, itself included."""
        return len(self._of.get(key, (key,)))

    def left(self, job: Job, *, broke: bool = False) -> None:
        """A trial is live no longer; one that `broke` is tried again alone."""
        self._of.pop(job.key, None)
        if broke:
            self._alone |= {job.key, job.slot.id}
