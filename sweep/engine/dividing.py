"""One of several drivers that divide a plan: what it may train, and what the others have."""

from __future__ import annotations

from sweep.engine.display import Display
from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.layout import SweepPaths
from sweep.ledger.claims import Claims
from sweep.ledger.ended import Ended
from sweep.ledger.neighbours import WEIGHTS, Whole
from sweep.ledger.store import Ledger


class Dividing:
    """A member's part in a divided sweep.

    Args:
        paths: of the sweep.
        claims: the member's.
        ledger: its own.
        display: which hears of what others have trained.
    """

    def __init__(self, paths: SweepPaths, claims: Claims, ledger: Ledger, display: Display) -> None:
        self._paths, self._claims, self._ledger, self._display = paths, claims, ledger, display
        self._ended = Ended(paths.divided)

    def begin(self, queue: TrialQueue) -> None:
        """From now on a job is handed out only when it is claimed, and what others have trained is theirs."""
        queue.take, queue.takes_teachers, queue.claim = self.take, True, self.claim
        queue.take_over()

    def take(self, job: Job) -> Whole | None:
        """What another member has of a trial that has ended; None where none has."""
        told = self._ended.read(job.key) if job.key in self._ended.trials() else None
        if told is None:
            return None
        if told.final["state"] == "finished":
            self._display.taken(job, "another driver", told.final)
        return Whole(told.start, told.epochs, told.final, self._paths.trial(job.key) / WEIGHTS)

    def claim(self, job: Job) -> bool:
        """Whether a trial is to be trained here; not where it has ended while it was asked for."""
        return self._claims.take(job.key) and self._ended.read(job.key) is None

    def ended(self, key: str) -> None:
        """Tell the others of a trial that has ended here; not where they have taken it over meanwhile."""
        if self._claims.has(key):
            self._ended.tell(key, self._ledger)
            self._claims.done(key)

    def failed(self, key: str) -> None:
        """Let another driver try a trial that this one gives up."""
        self._claims.give_back(key)
