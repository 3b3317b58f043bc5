"""The queue of one of several drivers that divide a plan: a search is one driver's, and what it has won anyone's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.search.searches import Searches
from trainers.config import TeacherConfig


class DividedQueue(TrialQueue):
    """A queue whose searches run here only when they are claimed.

    Args:
        plan: what is to run, by all drivers together.
        teachers: teachers that are stored already, by slot id.
        ledger: the driver's own.
    """

    def __init__(self, plan: Plan, teachers: dict[str, TeacherConfig], ledger: Ledger) -> None:
        super().__init__(plan, teachers, set(), Searches(plan, ledger))
        self.searches.claim = self._may_search
        self.look: Callable[[], None] = lambda: None
        """Hears of the others, and they of what has happened here; called before each job."""
        self.claim_search: Callable[[SearchedCell, bool], bool] = lambda cell, anew: True
        """Whether a search goes on here, as :attr:`Searches.claim`."""
        self.drivers: Callable[[], int] = lambda: 1
        """How many train, this one included."""

    def next_together(self, room: int) -> list[Job]:
        """As :meth:`TrialQueue.next_together`, with as much room at each of the others."""
        return super().next_together(room * self.drivers())

    def next(self) -> Job | None:
        """The next job that can start now; see :meth:`TrialQueue.next`."""
        self.look()
        return super().next()

    def _may_search(self, cell: SearchedCell, anew: bool) -> bool:
        may = self.claim_search(cell, anew)
        self.held_elsewhere |= anew and not may
        return may

    def go_on(self, ledger: Ledger, after: int) -> None:
        """Go on with a search where another driver has left it; see :meth:`Searches.go_on`."""
        self.searches.go_on(ledger, after)
        self._wait_for(self.searches.unfinished.values())
        self._renew_searches()
        self._confirm()

    def settle(self, cell: str, won: Iterable[Slot]) -> None:
        """A search has come to its end elsewhere; what it has won is confirmed by whoever claims that."""
        self.leave(cell)
        self._wait_for(won)

    def leave(self, cell: str) -> None:
        """Let another driver have a search, with what waits of it."""
        self.searches.leave(cell)
        self._renew_searches()
