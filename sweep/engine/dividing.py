"""One of several drivers that divide a plan: what it may train, and what the others have."""

from __future__ import annotations

from sweep.engine.display import Display
from sweep.engine.divided_queue import DividedQueue
from sweep.engine.divided_searches import DividedSearches
from sweep.engine.job import Job
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
        self.searches = DividedSearches(paths, claims, ledger, display)

    def begin(self, queue: DividedQueue) -> None:
        """From now on a job is handed out only when it is claimed, and what others have trained is theirs."""
        queue.take, queue.takes_teachers, queue.claim = self.take, True, self.claim
        queue.drivers = self._claims.training
        self.searches.begin(queue)
        queue.take_over()

    def take(self, job: Job) -> Whole | None:
        """What another member has of a trial that has ended; None where none has."""
        told = self._ended.read(job.key) if job.key in self._ended.trials() else None
        if told is None:
            return None
        if self.searches.any:
            self._ledger.append_all(told.entries(job.key))
        if told.final["state"] == "finished":
            self._display.taken(job, "another driver", told.final)
        return Whole(told.start, told.epochs, told.final, self._paths.trial(job.key) / WEIGHTS)

    def claim(self, job: Job) -> bool:
        """Whether a trial is to be trained here; not where it has ended while it was asked for. Who takes it over must
        know which search has asked for it."""
        self.searches.tell()
        return self._claims.take(job.key) and self._ended.read(job.key) is None

    def ended(self, key: str) -> None:
        """Tell the others of a trial that has ended here; not where they have taken it over meanwhile."""
        self.searches.ended()
        if self._claims.has(key):
            self._ended.tell(key, self._ledger)
            self._claims.done(key)

    def pruned(self, key: str) -> None:
        """Tell the others of a trial that its search has given up here, and which may be asked for elsewhere."""
        self.searches.ended()
        self.searches.tell()
        self._claims.give_back(key)

    def failed(self, key: str) -> None:
        """Let another driver try a trial that this one gives up, and go on with the search that has asked for it."""
        self.searches.failed(key)
        self._claims.give_back(key)
